"""Fixtures: the dashboard as a server, and Debian's chromium to look at it."""

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest
from servers import serving
from waiting import PATIENCE

from aat_explore.store import Store

APP = Path(__file__).parents[2] / "app.py"
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def served_store(tmp_path_factory):
    """An empty cache that the server at `address` shows."""
    return Store(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def address(served_store, tmp_path_factory):
    """Where a server of the dashboard, started in another folder, answers as long as the tests of one file run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port), "--server.headless=true"]
    cache = ["--", "--cache-dir", str(served_store.root)]
    environment = {name: value for name, value in os.environ.items() if name not in ("AAT_CACHE", "AAT_DATA")}
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with serving([*command, *cache], f"http://127.0.0.1:{port}/_stcore/health", cwd=elsewhere, env=environment):
        yield f"http://127.0.0.1:{port}"


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
