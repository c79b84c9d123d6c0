"""Python, the command line and the dashboard look for the cache in one place."""

import inspect
from pathlib import Path

import numpy as np
import pytest

from aat_explore import datasets, store
from aat_explore.bench import run as measurement
from aat_explore.cli.arguments import parse
from aat_explore.config import EvaluationConfig
from aat_explore.dashboard import page
from aat_explore.experiments import checking
from aat_explore.experiments import run as experiment
from aat_explore.places import Place
from aat_explore.presets import preset
from aat_explore.records import Timing
from aat_explore.robustness import checks

PUBLIC = [
    value
    for module in (checking, datasets, experiment, measurement, store)
    for name, value in vars(module).items()
    if inspect.isfunction(value) and not name.startswith("_") and value.__module__.startswith(module.__name__)
]
DEFAULTING = {
    made.__name__: made
    for made in PUBLIC
    if "cache_dir" in (taken := inspect.signature(made).parameters)
    and taken["cache_dir"].default is not inspect.Parameter.empty
}


def images() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"train_images": rng.integers(0, 256, (60, 16, 16), dtype=np.uint8), "train_labels": np.arange(60) % 3}


def test_no_public_function_has_a_cache_of_its_own():
    expected = {
        *("add", "names", "load", "num_train", "num_test", "open_run", "list_runs"),
        *("train", "evaluate", "evaluate_every", "check"),
    }
    assert set(DEFAULTING) == expected
    assert {inspect.signature(made).parameters["cache_dir"].default for made in DEFAULTING.values()} == {None}


@pytest.mark.parametrize(
    "work",
    [experiment.train, experiment.evaluate, experiment.evaluate_every, checking.check],
    ids=lambda it: it.__name__,
)
def test_a_place_says_by_name_what_these_functions_take(work):
    assert Place().arguments() == vars(Place())
    assert Place().arguments().keys() <= inspect.signature(work).parameters.keys()


@pytest.mark.parametrize("asked", ["of the environment", "beside one", "given"])
def test_what_every_public_function_leaves_behind_is_in_the_cache_asked_for(
    tmp_path, monkeypatch, no_other_data, asked
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "SQUARE_QUERIES", 10)
    where, cache = {}, tmp_path / "cache"
    if asked != "beside one":
        monkeypatch.setenv("AAT_CACHE", str(tmp_path / "elsewhere"))
        cache = tmp_path / "elsewhere"
    if asked == "given":
        where = {"cache_dir": tmp_path / "given"}
        cache = where["cache_dir"]
    here = where | {"device": "cpu", "threads": 1}

    name = datasets.add(images(), name="stripes", **where)
    assert name in datasets.names(**where)
    assert (datasets.num_train(name, **where), datasets.num_test(name, **where)) == (45, 10)
    assert len(datasets.load(name, **where).train) == 45
    few = {"num_perturbed": 5, "batch_size": 15, "val_attack_steps": 1, "num_recorded": 2}
    run = experiment.train(preset("mini", dataset=name, epochs=1, **few), evaluate_with=None, **here)
    quick = EvaluationConfig(steps=1, epsilons=(0.0,))
    experiment.evaluate(run.id, quick, **here)
    experiment.evaluate_every(run.id, quick.model_copy(update={"seed": 1}), 1, **here)
    checking.check(run.id, images=5, **here)
    (listed,) = store.list_runs(**where)
    assert listed.path == store.open_run(run.id, **where).path
    assert listed.path.resolve() == cache / "runs" / run.id
    assert len(listed.evaluations()) == 2
    assert len(listed.checks()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {cache.name}


def test_benchmarks_write_and_read_in_the_cache_of_the_environment(tmp_path, monkeypatch, no_other_data):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AAT_CACHE", str(tmp_path / "elsewhere"))
    name = datasets.add(images(), name="stripes")
    seen = []
    whole = measurement.TemporaryDirectory
    monkeypatch.setattr(
        measurement, "TemporaryDirectory", lambda **options: seen.append(options["dir"]) or whole(**options)
    )
    nothing = {"config": {}, "phases": {}, "peak_bytes": None, "flops": None, "bytes_moved": None}
    timing = Timing(name="nothing", kind="ours", seconds=(1.0,), **nothing)

    class Report:
        timings = (timing,)

        def model_copy(self, update):
            return update["timings"]

    monkeypatch.setattr(measurement, "measure", lambda *given, **options: Report())
    place = Place(device="cpu", threads=1)
    assert [made.name for made in measurement.bench(name, rounds=1, place=place)] == ["nothing", "writing a record"]
    assert seen == [tmp_path / "elsewhere"]
    report = measurement.fidelity(name, num_perturbed=5, epsilon=0.1, epochs=2, seeds=1, place=place)
    assert (report.dataset, report.num_train) == (name, 45)
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_the_command_line_the_dashboard_and_python_agree(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["app.py"])
    for value, cache in ((str(tmp_path), tmp_path), ("", Path("cache"))):
        monkeypatch.setenv("AAT_CACHE", value)
        assert parse(["train"]).place.cache_dir == Place().cache_dir == cache
        assert parse(["list"]).cache_dir == page.cache_dir() == store.Store().root == store.default_cache() == cache
