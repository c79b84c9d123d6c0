"""The default cache folder, the same for Python, the command line and the dashboard."""

import os
from pathlib import Path


def default_cache() -> Path:
    """Return `$AAT_CACHE`, or ./cache."""
    return Path(os.environ.get("AAT_CACHE") or "cache")


def cache_folder(cache_dir: Path | str | None) -> Path:
    """Return the given cache folder, or `default_cache` for None."""
    return default_cache() if cache_dir is None else Path(cache_dir)
