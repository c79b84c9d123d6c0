"""The default cache folder, the same for Python, the command line and the dashboard; and where work is done."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def default_cache() -> Path:
    """Return `$AAT_CACHE`, or ./cache."""
    return Path(os.environ.get("AAT_CACHE") or "cache")


def cache_folder(cache_dir: Path | str | None) -> Path:
    """Return the given cache folder, or `default_cache` for None."""
    return default_cache() if cache_dir is None else Path(cache_dir)


@dataclass(frozen=True)
class Place:
    """Where work is done: the cache, the device (None: the best here) and how many CPU threads (None: all cores)."""

    cache_dir: Path = field(default_factory=default_cache)
    device: str | None = None
    threads: int | None = None

    def arguments(self) -> dict[str, Any]:
        """Return them as the keyword arguments of `train`, `evaluate` and `check`."""
        return {"cache_dir": self.cache_dir, "device": self.device, "threads": self.threads}
