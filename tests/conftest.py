"""Fixtures that more than one test file needs."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from jaxtyping import install_import_hook
from waiting import PATIENCE, wait_for

from aat_explore.store import Store

# Every call of the algorithm under pytest checks the shapes and dtypes that its annotations promise.
install_import_hook("aat_explore.algorithm", "typechecker.check")

# A machine that had other work to do for two seconds is no fault of what is tested.
hypothesis_settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("patient")

PACKED = Path(__file__).resolve().parents[2] / "shared" / "datasets"
NAMES = ("mnist", "fashion-mnist", "cifar10")


@contextmanager
def disk_full_at(stem):
    """No array whose file's name holds `stem` can be saved whole."""
    save = np.save

    def full(path, array, **options):
        save(path, array, **options)
        if stem in path.name:
            raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(np, "save", full)
        yield


APP = Path(__file__).parents[1] / "app.py"
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


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


# --- The dashboard in a browser --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served_store(tmp_path_factory):
    """An empty cache that the server at `address` shows."""
    return Store(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def address(served_store):
    """Where a server of the dashboard answers as long as the tests of one file run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port), "--server.headless=true"]
    cache = ["--", "--cache-dir", str(served_store.root)]
    environment = {name: value for name, value in os.environ.items() if name not in ("AAT_CACHE", "AAT_DATA")}
    with serving([*command, *cache], f"http://127.0.0.1:{port}/_stcore/health", cwd=APP.parent, env=environment):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def serving(command, sign_of_life, **options):
    """A server process that answers at `sign_of_life`, stopped at the end."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, **options) as server:
        try:
            wait_for(lambda: answers(sign_of_life))
            yield
        finally:
            server.terminate()
            try:
                server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; apt install chromium")
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def new_tab(browser, address):
    """Opens tabs that know nothing of each other; fails the test if one talked to any but the server."""
    asked, contexts = [], []

    def new_tab():
        context = browser.new_context(viewport={"width": 1280, "height": 1200}, base_url=address)
        context.set_default_timeout(1000 * PATIENCE)
        context.on("request", lambda request: asked.append(request.url))
        contexts.append(context)
        return context.new_page()

    yield new_tab
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


@pytest.fixture
def tab(new_tab):
    """One tab."""
    return new_tab()
