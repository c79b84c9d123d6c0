"""The map of the Picks page: what the browser is given, and what the page says where there is nothing to show."""

import json
from functools import partial

import numpy as np
import pages
import pytest
from pages import captions, said, samples_map, sheets
from synthetic import make_run

from aat_explore import datasets
from aat_explore.dashboard import samples_map as module
from aat_explore.store.embeddings import Embeddings
from aat_explore.views import frames

opened = partial(pages.opened, "picks", view="Map")


@pytest.fixture
def run(store):
    return make_run(store, num_perturbed=300, epochs=3)


@pytest.fixture
def labels():
    return datasets.load("fashion-mini").train.labels


@pytest.fixture
def older(monkeypatch):
    """Every run as an older version recorded it: without scores."""
    monkeypatch.setattr("aat_explore.store.Run.scores", lambda self, epoch: {})


def test_the_map_is_the_data_map_with_the_picks_of_the_epoch(run, labels):
    data_map = frames.samples_map.data_map(run)
    app = opened(epoch=2)
    seen = samples_map(app)
    assert np.array_equal(seen["x"], data_map["variability"])
    assert np.array_equal(seen["y"], data_map["confidence"])
    assert set(np.flatnonzero(seen["picked"])) == set(run.drawn(2).tolist())
    assert not seen["selected"].any()
    assert np.array_equal(seen["labels"], labels)
    assert [axis["log"] for axis in seen["axes"]] == [False, False]
    assert "5,000 samples, 300 of them picked" in seen["alt"]
    assert seen["epoch"] == 2
    assert "by p" not in captions(app)


def test_the_map_of_an_older_run_is_made_of_p_and_says_so(run, older):
    of_p = frames.sample.sample_map(run)
    app = opened(epoch=2)
    seen = samples_map(app)
    assert seen["x"] == pytest.approx(5000 * of_p.mean, rel=1e-6)
    assert np.array_equal(seen["y"], of_p.variability)
    assert [axis["log"] for axis in seen["axes"]] == [True, False]
    assert "by p, because this run recorded no losses" in captions(app)
    asked = opened(epoch=2, axes="Scores", x="loss", y="entropy")  # a link made where a run has them
    assert {axis["title"].split(",")[0] for axis in samples_map(asked)["axes"]} == {"p", "times picked so far"}


def test_recorded_scores_are_axes(run):
    seen = samples_map(opened(epoch=2, axes="Scores", x="loss", y="entropy"))
    assert np.array_equal(seen["x"], run.scores(2)["loss"])
    assert np.array_equal(seen["y"], run.scores(2)["entropy"])


def test_a_score_of_an_older_run_follows_from_its_p_and_the_epoch(run, older):
    query = {"axes": "Scores", "x": "gradient-norm", "y": "times picked"}
    first, last = (samples_map(opened(epoch=epoch, **query)) for epoch in (1, 3))
    assert first["key"] == last["key"]  # so that points move
    assert first["stamp"] != last["stamp"]
    for epoch, seen in ((1, first), (3, last)):
        p = run.probabilities(epoch)
        assert seen["x"] == pytest.approx(123.0 * p / p.sum(dtype=np.float64), rel=1e-5)
        assert seen["y"].sum() == 300 * epoch
        assert seen["axes"][1] == {"title": "times picked so far", "log": False, "whole": True}
    assert "samples of a count are spread around it" in captions(opened(**query))


def test_zeros_on_a_log_axis_are_said(store, monkeypatch):
    run = make_run(store, num_perturbed=300, epochs=1)
    p = run.probabilities(1).copy()
    p[:40] = 0
    monkeypatch.setattr(type(run), "probabilities", lambda self, epoch: p)
    monkeypatch.setattr(type(run), "drawn", lambda self, epoch: np.arange(100, 400))
    assert "40 of 5,000 are 0 on a log axis" in captions(opened(axes="Scores"))


def test_a_class_filter_leaves_out_the_others_and_colour_by_class_has_a_legend(run, labels):
    app = opened(**{"class": "Bag"}, colour="class")
    seen = samples_map(app)
    assert np.array_equal(~np.isnan(seen["x"]), labels == 8)
    assert np.array_equal(~np.isnan(seen["y"]), labels == 8)
    assert [label for label, _ in seen["legend"]] == ["Bag"]
    assert len(seen["colours"]["classes"]) == 10
    assert "Strong colours: picked in epoch 3" in captions(app)
    assert "classes" not in samples_map(opened(colour="picked"))["colours"]


def test_the_selection_is_marked_and_its_images_stand_beside_the_map(run):
    rows = [3, 7, 4999]
    app = opened(rows="fashion-mini:3,7,4999")
    assert np.flatnonzero(samples_map(app)["selected"]).tolist() == rows
    assert [int(title[1:].split(",")[0]) for title in sheets(app)[0]["titles"]] == rows
    assert "3 selected" in captions(app)
    many = opened(rows="fashion-mini:0-499")
    assert len(sheets(many)[0]["titles"]) == module.MOST_BESIDE
    assert f"500 selected, the first {module.MOST_BESIDE} shown" in captions(many)


# --- The embedding ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "flag"), [("PCA", ""), ("UMAP", " --method umap")])
def test_a_run_without_an_embedding_says_the_command_that_makes_it(run, method, flag):
    app = opened(axes="Embedding", method=method)
    assert any(f"embed {run.id}{flag}" in code.value for code in app.code)
    assert not app.get("bidi_component")


@pytest.mark.parametrize(("method", "kind"), [("PCA", "pca"), ("UMAP", "umap")])
def test_an_embedding_in_the_cache_is_shown_with_its_epoch(run, store, method, kind):
    points = np.random.default_rng(0).normal(size=(5000, 2)).astype(np.float32)
    Embeddings(store.root).save(run, points, kind)
    app = opened(axes="Embedding", method=method, epoch=1)
    seen = samples_map(app)
    assert np.array_equal(np.stack([seen["x"], seen["y"]], 1), points)
    assert "placed by the network after epoch 3" in captions(app)


# --- Nothing to show -------------------------------------------------------------------------------------------------


def test_n_all_has_no_scores_but_may_have_an_embedding(store):
    run = make_run(store, num_perturbed="all", epochs=2)
    assert f"embed {run.id}" in said(opened(run=run.id))
    Embeddings(store.root).save(run, np.ones((5000, 2), np.float32))
    assert samples_map(opened(run=run.id))["picked"].all()


def test_an_epoch_without_p_is_a_message(store):
    run = make_run(store, num_perturbed=300, epochs=3)
    (run.path / "epochs/0001/probabilities.npy").unlink()
    head = json.loads((run.path / "HEAD.json").read_text())
    del head["files"]["epochs/0001/probabilities.npy"]
    (run.path / "HEAD.json").write_text(json.dumps(head))
    app = opened(epoch=1, axes="Scores")
    assert "Epoch 1 has no p (warm-up, or not recorded)" in app.info[0].value
    assert samples_map(opened(epoch=2, axes="Scores"))["count"] == 5000


def test_a_run_without_its_images_has_a_map_without_classes(store):
    run = make_run(store, num_perturbed=300, epochs=2, dataset="mnist")
    seen = samples_map(opened(run=run.id))
    assert seen["labels"] is None
    assert set(np.flatnonzero(seen["picked"])) == set(run.drawn(2).tolist())
