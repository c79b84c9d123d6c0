"""Charts that are sent again as they were, and their files."""

from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pages import opened, sound
from synthetic import make_run

from aat_explore.dashboard import downloads
from aat_explore.views import charts

PAGES_OF_CHARTS = ["runs", "compare", "picks", "sample", "dynamics", "overview", "results"]


@pytest.mark.parametrize("name", PAGES_OF_CHARTS)
def test_a_page_drawn_again_shows_the_same_charts_in_the_same_places(store, name):
    for seed in (0, 1):
        make_run(store, num_perturbed=100, seed=seed)
    app = opened(name)
    first = _charts(app)
    app.run()
    assert len(first) > 0
    assert _charts(sound(app)) == first


def _charts(app):
    """Where each chart stands on the page, how it is drawn, and its numbers."""
    found = []

    def walk(block, path):
        for at, child in block.children.items():
            if "vega" in getattr(child, "type", ""):
                spec, tables = child.proto.spec, []
                for number, one in enumerate(child.proto.datasets):  # named by their bytes, which depend on their types
                    spec = spec.replace(one.name, f"table {number}")
                    tables.append(pa.ipc.open_stream(one.data.data).read_all().to_pydict())
                found.append(((*path, at), spec, repr(tables)))
            if hasattr(child, "children"):
                walk(child, (*path, at))

    walk(app.main, ())
    return found


def test_one_changed_cell_of_many_is_another_chart():
    frame = pd.DataFrame({"x": np.arange(60_000), "y": 0.0})
    changed = frame.copy()
    changed.loc[31_415, "y"] = 1.0
    key = downloads._fingerprint(partial(charts.dynamics.overlaps, frame))
    assert downloads._fingerprint(partial(charts.dynamics.overlaps, frame.copy())) == key
    assert downloads._fingerprint(partial(charts.dynamics.overlaps, changed)) != key
    assert downloads._fingerprint(partial(charts.dynamics.unevenness, frame)) != key
    assert downloads._fingerprint(partial(charts.dynamics.overlaps, frame, dark=True)) != key


def test_a_chart_is_made_once_for_the_same_numbers(store, monkeypatch):
    make_run(store, num_perturbed=100)
    calls = []
    made = charts.runs.epoch_metrics
    monkeypatch.setattr(charts.runs, "epoch_metrics", lambda *args: calls.append(args[1]) or made(*args))
    app = opened("runs")
    app.run()
    assert sorted(calls) == ["accuracy", "loss"]
