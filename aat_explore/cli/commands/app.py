"""`aat app`: the dashboard, served on this machine only."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import tyro

import aat_explore
from aat_explore.cli.flags import CacheDir, Command, default_cache
from aat_explore.errors import AATError


@dataclasses.dataclass
class App(Command):
    """Serve the dashboard, on this machine only."""

    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    port: Annotated[int, tyro.conf.arg(help="Port on 127.0.0.1.")] = 8501

    def run(self) -> int:
        """Serve."""
        return serve(self.cache_dir, self.port)


def check_port(port: int) -> None:
    """Raise AATError unless a server can listen there."""
    if not 1 <= port <= 65535:
        raise AATError(f"port={port} is not in 1..65535; use e.g. 8501")


def serve(cache_dir: Path, port: int) -> int:
    """Serve the dashboard until it is stopped."""
    check_port(port)
    package = Path(aat_explore.__file__).parent
    pages = next(
        (path for path in (package / "dashboard" / "app.py", package.parent / "app.py") if path.exists()), None
    )
    if pages is None:
        raise AATError("app.py is not beside the package; run `streamlit run app.py` in the project's folder")
    flags = [  # the project's .streamlit/config.toml says the same, but holds only in the project's folder
        "--server.address=127.0.0.1",
        f"--server.port={port}",
        "--server.allowedHosts=127.0.0.1",
        "--server.allowedHosts=localhost",
        "--server.headless=true",
        "--browser.gatherUsageStats=false",
    ]
    print(f"dashboard on http://127.0.0.1:{port} (Ctrl-C stops it)", flush=True)
    try:
        command = [sys.executable, "-m", "streamlit", "run", str(pages), *flags]
        return subprocess.run(command, env=os.environ | {"AAT_CACHE": str(cache_dir.resolve())}, check=False).returncode
    except KeyboardInterrupt:
        return 0
