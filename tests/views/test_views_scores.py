"""The scores of a sample over the epochs: against what each epoch recorded."""

import numpy as np
import pytest
from synthetic import make_run

from aat_explore.views import charts, frames


def test_the_history_has_every_recorded_score_of_every_epoch_and_marks_the_picks(store):
    run = make_run(store, num_perturbed=100)
    drawn, matrices = frames.sample.draw_matrix(run), frames.scores.matrices(run)
    image = int(run.drawn(3)[0])
    history = frames.scores.history(matrices, drawn, image, "it")
    assert list(dict.fromkeys(history["score"])) == ["loss", "margin", "entropy", "gradient-norm"]
    for score, of_score in history.groupby("score"):
        assert of_score["epoch"].tolist() == [1, 2, 3, 4]
        assert of_score["value"].tolist() == [float(run.scores(epoch)[score][image]) for epoch in (1, 2, 3, 4)]
        assert of_score["drawn"].tolist() == [image in run.drawn(epoch) for epoch in (1, 2, 3, 4)]
        assert charts.sample.score_history(of_score, epoch=2).to_dict()


def test_epochs_without_a_scoring_pass_have_no_point_and_runs_without_one_no_history(store, monkeypatch):
    run = make_run(store, num_perturbed=100)
    whole, p_of = run.scores, run.probabilities
    monkeypatch.setattr(run, "scores", lambda epoch: {} if epoch == 1 else whole(epoch))
    monkeypatch.setattr(run, "probabilities", lambda epoch: None if epoch == 1 else p_of(epoch))
    history = frames.scores.history(frames.scores.matrices(run), frames.sample.draw_matrix(run), 0, "it")
    assert sorted(set(history["epoch"])) == [2, 3, 4]
    full = make_run(store, num_perturbed="all")
    assert frames.scores.matrices(full) == {}
    assert frames.scores.history({}, frames.sample.draw_matrix(full), 0, "it").empty


def test_a_run_of_an_older_version_has_the_gradient_norm_that_its_p_tells(store, monkeypatch):
    run = make_run(store, num_perturbed=100)
    monkeypatch.setattr(run, "scores", lambda epoch: {})
    assert list(frames.scores.matrices(run)) == ["gradient-norm"]


@pytest.mark.parametrize(
    ("values", "kind"), [([0.1, 2.0], "log"), ([1.0, 2.0], None), ([0.0, 2.0], None), ([0.5, 0.5], None)]
)
def test_an_axis_is_logarithmic_where_positive_values_span_a_decade(values, kind):
    history = frames.scores.history(
        {"loss": np.array([[value] for value in values], np.float32)}, np.zeros((2, 1), bool), 0, "it"
    )
    spec = charts.sample.score_history(history).to_dict()
    scales = [layer["encoding"]["y"]["scale"] for layer in spec["layer"] if "y" in layer["encoding"]]
    assert {scale.get("type") for scale in scales} == {kind}
