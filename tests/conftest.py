"""Fixtures that more than one wing needs: data, an empty cache that pages show, a browser."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from jaxtyping import install_import_hook

from aat_explore.store import Store

pytest_plugins = ["browsers"]

# Processes that share the cores must not each start a thread for every one of them. Torch is not imported yet.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    cores, processes = os.cpu_count() or 1, int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))

# Every call of the algorithm under pytest checks the shapes and dtypes that its annotations promise.
install_import_hook("aat_explore.algorithm", "typechecker.check")

# A machine that had other work to do for two seconds is no fault of what is tested.
hypothesis_settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("patient")

PACKED = Path(__file__).resolve().parents[2] / "shared" / "datasets"
NAMES = ("mnist", "fashion-mnist", "cifar10")


def _has_arrays(folder: Path) -> bool:
    stems = ("train_images", "train_labels", "test_images", "test_labels")
    return all((folder / name / f"{stem}.npy").is_file() for name in NAMES for stem in stems)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder to use as AAT_DATA with all three full sets: the user's, or one unpacked once a machine."""
    given = os.environ.get("AAT_DATA")
    if given and _has_arrays(Path(given)):
        return Path(given)
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    unpacked = cache_home / "aat-explore" / "test-data"
    if _has_arrays(unpacked):
        return unpacked
    if not (PACKED / "prepare.py").is_file():
        pytest.skip(f"full data sets needed: AAT_DATA={given!r} does not hold all three, and {PACKED} is not there")
    unpacked.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=unpacked.parent) as scratch:
        subprocess.run([sys.executable, str(PACKED / "prepare.py"), scratch], check=True, stdout=subprocess.DEVNULL)
        for name in NAMES:  # two sessions may unpack at once: the first to arrive wins, both have the same bytes
            target = unpacked / name
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                (Path(scratch) / name).rename(target)
    return unpacked


@pytest.fixture
def no_other_data(monkeypatch):
    """No data and no cache of whoever runs the tests."""
    monkeypatch.delenv("AAT_DATA", raising=False)
    monkeypatch.delenv("AAT_CACHE", raising=False)


@pytest.fixture
def fresh_page(monkeypatch):
    """Pages that remember nothing of other tests and see no data set but the embedded one."""
    import streamlit as st

    monkeypatch.delenv("AAT_DATA", raising=False)
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def store(tmp_path, monkeypatch, fresh_page):
    """An empty cache of one's own, which pages show."""
    monkeypatch.setenv("AAT_CACHE", str(tmp_path))
    return Store(tmp_path)
