"""`aat app`: the dashboard, served on this machine only."""

import dataclasses
from typing import Annotated

import tyro

from aat_explore.cli.flags import CacheDir, Command, default_cache


@dataclasses.dataclass
class App(Command):
    """Serve the dashboard, on this machine only."""

    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    port: Annotated[int, tyro.conf.arg(help="Port on 127.0.0.1; if it is taken, the next free one.")] = 8501

    def run(self) -> int:
        """Serve."""
        from aat_explore.cli.server import free_port, serve

        serve(self.cache_dir, free_port(self.port))
