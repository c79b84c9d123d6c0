"""Every page of the dashboard on normal, empty, partial and damaged caches, by Streamlit's own test runner."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pages
import pytest
from pages import HOSTILE, opened, ran, said, sheets
from streamlit.testing.v1 import AppTest
from synthetic import make_run

from aat_explore import datasets
from aat_explore.dashboard import page
from aat_explore.dashboard.text import label, plain
from aat_explore.presets import preset
from aat_explore.store import Store
from aat_explore.views.names import full_name

APP = Path(__file__).parents[2] / "app.py"
PAGES = ("overview", "runs", "picks", "results")


pytestmark = pytest.mark.usefixtures("fresh_page")


@pytest.fixture(scope="module")
def grid_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("grid")
    for n, power, seed in ((0, 1.0, 0), (100, 1.0, 0), (100, 1.0, 1), (100, 2.0, 0), ("all", 1.0, 0)):
        make_run(Store(root), epochs=2, num_perturbed=n, norm_power=power, seed=seed, num_recorded=8)
    return root


@pytest.fixture
def grid(grid_root, monkeypatch):
    """A cache to be read only: n = 0, 100 (both norms), all."""
    monkeypatch.setenv("AAT_CACHE", str(grid_root))


@pytest.fixture(scope="module")
def broken_root(grid_root, tmp_path_factory):
    root = tmp_path_factory.mktemp("broken") / "cache"
    shutil.copytree(grid_root, root)
    for seed, file in ((7, "config.json"), (8, "metrics.parquet"), (9, "HEAD.json")):
        (make_run(Store(root), epochs=1, seed=seed).path / file).write_text("junk")
    return root


def pictures(app: AppTest) -> list[str]:
    """A hash of each sheet of images shown."""
    return [sheet["stamp"] for sheet in sheets(app) if "png" in sheet]


# --- Every page, every cache -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_cache_gets_the_command_to_type(name, store):
    app = opened(name)
    assert f"aat demo --no-app --cache-dir {store.root}" in [code.value for code in app.code]
    assert not app.get("vega_lite_chart")


@pytest.mark.parametrize("name", PAGES)
def test_a_full_cache_is_shown_without_a_word_of_complaint(name, grid):
    app = opened(name)
    assert not app.warning
    assert not app.error
    assert app.get("vega_lite_chart")
    assert app.latex[0].value


@pytest.mark.parametrize("name", PAGES)
def test_a_damaged_run_is_named_and_the_others_are_shown(name, broken_root, monkeypatch):
    monkeypatch.setenv("AAT_CACHE", str(broken_root))
    app = opened(name)
    assert len(app.warning) == 3
    assert "3 runs are damaged and left out" in [expander.label for expander in app.expander]
    assert app.get("vega_lite_chart")


@pytest.mark.parametrize("name", PAGES)
def test_only_damaged_runs_are_reasons_and_a_command_and_no_traceback(name, store):
    (make_run(store).path / "HEAD.json").write_text("{}")
    app = opened(name)
    assert len(app.warning) == 1
    assert any("aat demo" in code.value for code in app.code)


@pytest.mark.parametrize("name", PAGES)
def test_a_run_still_in_its_first_epochs_shows_what_there_is(name, store):
    run = make_run(store, epochs=10, committed=1, evaluated=False)
    app = opened(name)
    assert not app.error
    if name == "picks":
        assert pictures(app)
    else:
        assert f"aat evaluate {run.id}" in said(app)
        assert (name == "runs") == bool(app.get("vega_lite_chart"))
        assert (name == "overview") == bool(pictures(app))


@pytest.mark.parametrize("name", PAGES)
def test_hostile_names_are_shown_and_not_obeyed(name, store):
    for lr in (0.1, 0.2):
        make_run(store, dataset=HOSTILE, epochs=1, num_perturbed=100, lr=lr)
    app = opened(name)
    assert not app.error
    texts = [*(part.value for part in [*app.info, *app.markdown, *app.caption]), *(s.label for s in app.selectbox)]
    for text in texts:
        assert not re.search(r"(?<!\\)(\*\*bold|`x|\$y|:red|\]\(http|<img)", text)
    if name in ("picks", "overview", "results"):
        assert any(page.plain(HOSTILE) in text for text in texts)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    "query", [{"run": "../../etc/passwd", "epoch": "-3"}, {"epoch": "x", "dataset": "y", "n": "z"}]
)
def test_junk_in_the_url_falls_back_to_defaults(name, query, grid):
    assert not opened(name, **query).error


# --- Runs ------------------------------------------------------------------------------------------------------------


def standings(app) -> list[str]:
    """How the runs stand, by the table of runs."""
    (table,) = (data for data in sheets(app) if data.get("label") == "Runs in the cache")
    at = [column["title"] for column in table["columns"]].index("status")
    return [row["values"][at] for row in table["rows"]]


def test_runs_table_tells_a_run_that_trains(store):
    config = preset("mini", epochs=4)
    make_run(store, committed=2, evaluated=False)
    make_run(store, epochs=2, seed=1)
    with store.writer(config):
        assert sorted(standings(opened("runs"))) == ["complete", "training 2/4"]
    assert sorted(standings(opened("runs"))) == ["complete", "cut off 2/4"]


def test_runs_page_shows_an_epoch_committed_since(store):
    make_run(store, committed=2)
    app = opened("runs")
    assert standings(app) == ["cut off 2/4"]
    make_run(store, evaluated=False)
    app.run()
    assert standings(app) == ["complete"]


# --- Picks -----------------------------------------------------------------------------------------------------------


def test_each_epoch_has_its_own_picture_and_the_same_epoch_the_same(store):
    make_run(store)
    app = opened("picks")
    last = pictures(app)
    app.slider(key="epoch").set_value(1).run()
    first = pictures(app)
    assert len(first) == len(last) == 1
    assert first != last
    app.slider(key="epoch").set_value(4).run()
    assert pictures(app) == last


def test_the_url_chooses_run_and_epoch(store):
    make_run(store)
    run = make_run(store, seed=1)
    app = opened("picks", run=run.id, epoch="3")
    assert (app.query_params["run"], app.slider(key="epoch").value) == (run.id, 3)
    assert plain(full_name(run.config)) == app.button(key="choose run").label
    assert opened("picks", run=run.id, epoch="99").slider(key="epoch").value == 4


def test_a_shorter_run_shows_its_last_epoch(store):
    long, short = make_run(store, seed=0), make_run(store, epochs=2, seed=1)
    app = opened("picks", run=long.id, epoch="3")
    app = ran(app, run=short.id)
    assert app.slider(key="epoch").value == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "FGSM at ε = 0.3, once per epoch by the epoch-start network"),
        (
            {"attack": {"kind": "pgd"}, "epsilon": 0.1, "perturbing_network": "on-the-fly"},
            "PGD-10 at ε = 0.1, in each batch by the current network",
        ),
    ],
)
def test_picks_say_how_and_when_they_were_perturbed(store, fields, words):
    make_run(store, epochs=1, **fields)
    assert f"attack A: here, {page.plain(words)}." in said(opened("picks"))


def test_standard_training_picks_nothing_and_full_training_has_no_p(store):
    none, all_ = make_run(store, num_perturbed=0), make_run(store, num_perturbed="all")
    make_run(store)
    app = opened("picks", run=none.id)
    assert "picked and perturbed nothing" in said(app)
    assert not pictures(app)
    app = opened("picks", run=all_.id)
    assert "drawn from no distribution" in said(app)
    assert pictures(app)


def test_without_the_data_set_adversarial_images_are_shown_and_the_way_to_get_it(store):
    run = make_run(store, dataset="mnist", num_perturbed=100)
    app = opened("picks", run=run.id)
    assert pictures(app)
    assert page.plain("AAT_DATA") in said(app)
    assert "picks have a recorded x′" in said(app)
    assert len(app.get("vega_lite_chart")) == 1  # p, but no classes


def test_an_epoch_damaged_on_the_disk_is_a_message(store):
    run = make_run(store)
    (run.path / "epochs/0004/drawn.npy").write_bytes(b"junk")
    app = pages.app("picks").run()
    assert not app.exception
    assert page.plain("epochs/0004/drawn.npy is damaged") in app.error[0].value


# --- The whole -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fashion-mini", "cifar10"])
def test_a_label_of_letters_digits_and_hyphens_has_no_backslashes_to_be_read_aloud(name):
    assert label(name) == name


@pytest.mark.parametrize("text", [HOSTILE, "_a_", "-a", "a\n\n# b", "1. a", "www.a.b", "a b"])
def test_a_label_of_anything_else_is_escaped_as_text_is(text):
    assert label(text) == page.plain(text)


@pytest.mark.parametrize("text", [HOSTILE, "a\n\n# b", "C:\\d", "plain words"])
def test_escaped_text_keeps_its_words_and_loses_its_marks(text):
    escaped = page.plain(text)
    assert re.sub(r"\\(.)", r"\1", escaped) == " ".join(text.split())
    assert not re.search(r"(?<!\\)(?:\\\\)*[*`$\[\]<>#_|~!&(){}:]", escaped)


def test_other_results_do_not_crowd_out_the_runs_summaries(store, monkeypatch):
    run, read = make_run(store, epochs=1), []
    monkeypatch.setattr(page, "summary", lambda run: read.append(run.id))
    page.readable_runs()
    for key in range(200):
        page._remembered(("other", key), lambda: None)
    page.readable_runs()
    assert read == [run.id]


@pytest.mark.parametrize("value", [[1, 2, "x"], ("a", None, 0.5)])
def test_plain_values_are_keys(value):
    hash(page._key(value))


def test_an_array_is_no_key(store):
    with pytest.raises(TypeError, match="cannot be a key"):
        page._key(datasets.load("fashion-mini").train.labels)


def test_the_command_line_chooses_the_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["app.py", "--cache-dir", str(tmp_path), "--other"])
    assert page.cache_dir() == tmp_path
    assert page.command("demo") == f"aat demo --cache-dir {tmp_path}"
    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.delenv("AAT_CACHE", raising=False)
    assert page.command("demo") == "aat demo"


def test_the_app_and_all_its_pages_run_without_torch(store):
    make_run(store)
    script = """
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file(sys.argv[1], default_timeout=60).run()
assert not app.exception, app.exception
for name in sys.argv[2:]:
    script = f"from aat_explore.dashboard.pages import {name}; {name}.show()"
    shown = AppTest.from_string(script, default_timeout=60).run()
    assert not shown.exception, shown.exception
    assert shown.title or any("<h1" in element.proto.body for element in shown.get("html")), name
assert "torch" not in sys.modules, "torch was imported"
"""
    names = re.findall(r"st\.Page\((\w+)\.show", APP.read_text())
    names.remove("attack")  # the lab, which attacks by torch
    assert len(names) >= 10
    subprocess.run([sys.executable, "-c", script, str(APP), *names], check=True, cwd=APP.parent, timeout=120)


def test_the_app_is_reachable_from_this_machine_only():
    import tomllib

    config = tomllib.loads((APP.parent / ".streamlit/config.toml").read_text())
    assert config["server"]["address"] == "127.0.0.1"
    assert set(config["server"]["allowedHosts"]) == {"127.0.0.1", "localhost"}
    assert config["browser"]["gatherUsageStats"] is False
