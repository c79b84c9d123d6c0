"""The dashboard's server: its port, its command line, and the process that serves while others work."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import aat_explore
from aat_explore.errors import AATError

HOST = "127.0.0.1"
PORTS_TRIED = 50


@dataclass(frozen=True)
class Server:
    """A dashboard in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int

    def up(self, timeout: float = 60) -> bool:
        """Wait until it answers; False if it has ended, or does not answer within `timeout` seconds."""
        until = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < until:
            try:
                with urllib.request.urlopen(address(self.port, "_stcore/health"), timeout=2):
                    return True
            except OSError:
                time.sleep(0.1)
        return False


def address(port: int, path: str = "") -> str:
    """The URL of a page of the dashboard."""
    return f"http://{HOST}:{port}" + (f"/{path}" if path else "")


def free_port(port: int) -> int:
    """Return `port`, or the next one above it that no other server listens on; AATError if there is none."""
    if not 1 <= port <= 65535:
        raise AATError(f"port={port} is not in 1..65535; use e.g. 8501")
    candidates = range(port, min(port + PORTS_TRIED, 65536))
    for candidate in candidates:
        if _is_free(candidate):
            return candidate
    raise AATError(f"port={port} is taken, and so are all up to {candidates[-1]}; use another, e.g. {_any_port()}")


def serve(cache_dir: Path, port: int) -> NoReturn:
    """Become the dashboard's server, so that every signal reaches it; `port` must be free."""
    command = _command(port)
    print(f"dashboard on {address(port)} (Ctrl-C stops it)", flush=True)
    os.execve(command[0], command, _environment(cache_dir))


@contextmanager
def serving(cache_dir: Path, port: int) -> Iterator[Server]:
    """Serve in a child process, which ends with the block, also when this process is told to end; `port` is free."""
    command = _command(port)
    kept = {}
    for sign in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(sign) is signal.SIG_DFL:  # nohup's choice stands
            kept[sign] = signal.signal(sign, _end)
    process = subprocess.Popen(command, env=_environment(cache_dir), stdout=subprocess.DEVNULL)
    try:
        yield Server(process, port)
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for sign, handler in kept.items():
            signal.signal(sign, handler)


def _end(sign: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + sign)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do; a closed one's port is free
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except PermissionError:
            raise AATError(f"port={port} is reserved for the system; use one from 1024, e.g. 8501") from None
        except OSError:
            return False
    return True


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _command(port: int) -> list[str]:
    package = Path(aat_explore.__file__).parent
    pages = next(
        (path for path in (package / "dashboard" / "app.py", package.parent / "app.py") if path.exists()), None
    )
    if pages is None:
        raise AATError("app.py is not beside the package; run `streamlit run app.py` in the project's folder")
    flags = [  # all else, the theme too, says .streamlit/config.toml beside app.py
        f"--server.address={HOST}",
        f"--server.port={port}",
        "--server.headless=true",
        "--logger.hideWelcomeMessage=true",  # it would print the URL again
        "--logger.level=warning",
    ]
    return [sys.executable, "-m", "streamlit", "run", str(pages), *flags]


def _environment(cache_dir: Path) -> dict[str, str]:
    return os.environ | {"AAT_CACHE": str(cache_dir.resolve())}
