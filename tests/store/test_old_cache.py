"""The cache that version 0.1.1 wrote opens, resumes, is evaluated, checked and shown by every later version."""

import shutil
from pathlib import Path

import numpy as np
import pages
import pandas as pd
import pytest
from synthetic import rewrite

from aat_explore import datasets
from aat_explore.cli import main
from aat_explore.config import EvaluationConfig
from aat_explore.engine.networks import digest_of_weights
from aat_explore.experiments import checking
from aat_explore.experiments import run as experiment
from aat_explore.records import CHECKS_VERSION, RENAMED, EpochMetrics
from aat_explore.robustness import checks
from aat_explore.store import Run, Store

WRITTEN = Path(__file__).parents[1] / "fixtures" / "cache-0.1.1"
RUN = "tiny-c772a901-n20-p2-pgd3-s0-4fa97de4"
OPTIONAL = [name for name, field in EpochMetrics.model_fields.items() if not field.is_required()]


@pytest.fixture
def old(store) -> Run:
    """A copy of it in the cache that pages show."""
    shutil.copytree(WRITTEN, store.root, dirs_exist_ok=True)
    return store.open(RUN)


def where(run: Run) -> dict[str, object]:
    return {"cache_dir": run.path.parent.parent, "device": "cpu", "threads": 1}


def contents(run: Run) -> dict[str, bytes]:
    return {name: run.content(name) for name in run.head.files}


def test_it_opens_whole_under_its_name(old, store):
    old.verify()
    assert old.config.run_id == RUN
    assert (old.epoch, old.config.epochs, old.recorded) == (2, 4, True)
    assert [run.id for run in store.list().runs] == [RUN]
    assert not store.list().damaged
    assert old.config.resolved_attack.steps == 3
    assert old.metrics()["loss"].round(4).tolist() == [2.3252, 2.2748]
    for epoch in (1, 2):
        assert len(old.drawn(epoch)) == 20
        assert old.probabilities(epoch).shape == (90,)
        assert old.x_adv(epoch).shape == (6, 1, 16, 16)
        assert old.recorded_losses(epoch).shape == old.recorded_classes(epoch).shape == (6, 2)
        assert old.scores(epoch) == {}


def test_its_sums_of_scores_are_read_under_their_present_name_and_written_under_it(old):
    sums = pd.read_parquet(old.path / "metrics.parquet")["sum_gradient_norms"].tolist()
    assert all(total > 0 for total in sums)
    assert old.metrics()["sum_scores"].tolist() == sums
    run = experiment.train(old.config, evaluate_with=None, **where(old))
    columns = pd.read_parquet(run.path / "metrics.parquet")
    assert "sum_gradient_norms" not in columns
    assert columns["sum_scores"].tolist()[:2] == sums


def test_its_evaluation_and_checks_are_read(old):
    (evaluation,), (report,) = old.evaluations(), old.checks()
    assert evaluation.num_correct == (9, 8)
    assert old.verdicts(evaluation).sum(axis=-1).tolist() == [[9, 8]]
    assert len(report.checks) == 12
    assert report.rules == 2
    assert {made.model_digest for made in (evaluation, report)} == {digest_of_weights(old.weights(2))}


def test_it_is_listed_and_printed(old, capsys):
    assert main(["list", "--cache-dir", str(old.path.parent.parent)]) == 0
    assert main(["show", RUN, "--cache-dir", str(old.path.parent.parent)]) == 0
    printed = capsys.readouterr().out
    assert "epoch 2 of 4" in printed
    assert printed.count(RUN) >= 2


class Heard(experiment.Listener):
    """Remembers after which epoch training went on."""

    def began(self, config, epoch, device):
        self.after = epoch


def test_it_is_trained_to_its_end_from_where_it_was(old):
    before, rows, heard = contents(old), old.metrics(), Heard()
    steps = {name: state for name, state in old.training_state().items() if name.endswith("step")}
    run = experiment.train(old.config, evaluate_with=None, listener=heard, **where(old))
    assert heard.after == 2
    assert run.id == RUN
    assert run.complete
    run.verify()
    after = contents(run)
    lasting = [name for name in before if name.startswith(("epochs/", "evaluations/", "checks/", "config.json"))]
    assert len(lasting) == 14
    assert {name: after[name] for name in lasting} == {name: before[name] for name in lasting}
    assert [len(run.drawn(epoch)) for epoch in (3, 4)] == [20, 20]
    assert [len(run.scores(epoch)) for epoch in (2, 3, 4)] == [0, 4, 4]
    pd.testing.assert_frame_equal(run.metrics()[:2], rows)
    assert pd.read_parquet(run.path / "metrics.parquet").columns.tolist() == list(EpochMetrics.model_fields)
    assert steps
    for name, taken in steps.items():  # the optimiser went on too: as many steps again
        np.testing.assert_array_equal(run.training_state()[name], 2 * taken)


def test_without_any_optional_column_it_is_trained_to_its_end(old):
    frame = pd.read_parquet(old.path / "metrics.parquet").rename(columns=RENAMED[EpochMetrics])
    rewrite(old, "metrics.parquet", frame.drop(columns=OPTIONAL))
    run = experiment.train(old.config, evaluate_with=None, **where(old))
    assert run.complete
    assert pd.read_parquet(run.path / "metrics.parquet").columns.tolist() == list(EpochMetrics.model_fields)
    assert run.metrics()["sum_scores"].isna().tolist() == [True, True, False, False]


def test_it_is_evaluated_and_its_own_evaluation_is_not_made_again(old):
    (stored,) = old.evaluations()
    again = experiment.evaluate(RUN, EvaluationConfig(epsilons=(0.0, 0.05), steps=5), **where(old))
    assert again == stored
    made = experiment.evaluate(RUN, EvaluationConfig(epsilons=(0.0, 0.1), steps=5), **where(old))
    assert made.model_digest == stored.model_digest
    assert abs(made.num_correct[0] - stored.num_correct[0]) <= 1  # another machine may round another way
    assert len(Store(old.path.parent.parent).open(RUN).evaluations()) == 2


def test_its_checks_count_whatever_torch_and_python_are_now_until_the_rules_change(old, monkeypatch):
    monkeypatch.setattr(checking, "versions", lambda: {"aat-explore": "9", "torch": "9", "python": "9"})
    monkeypatch.setattr(checking, "_library", lambda: {"pyautoattack": "0.2.0"})
    monkeypatch.setattr(checks, "SQUARE_QUERIES", 50)
    (stored,) = old.checks()
    assert checking.check(RUN, images=20, **where(old)) == stored
    monkeypatch.setattr(checking, "CHECKS_VERSION", CHECKS_VERSION + 1)
    made = checking.check(RUN, images=20, **where(old))
    assert (made.rules, made.versions["torch"]) == (CHECKS_VERSION + 1, "9")
    assert checking.check(RUN, images=20, **where(old)) == made
    assert len(Store(old.path.parent.parent).open(RUN).checks()) == 2


def test_a_square_attack_that_was_not_to_be_had_is_made_up_for(old, monkeypatch):
    monkeypatch.setattr(checks, "SQUARE_QUERIES", 50)
    monkeypatch.setattr(checking, "_library", lambda: {"pyautoattack": "0.3.0"})
    made = checking.check(RUN, images=20, **where(old))
    assert made.versions["pyautoattack"] == "0.3.0"
    monkeypatch.setattr(checking, "_library", dict)  # and one that is not there makes nothing anew
    assert checking.check(RUN, images=20, **where(old)) in Store(old.path.parent.parent).open(RUN).checks()
    assert len(Store(old.path.parent.parent).open(RUN).checks()) == 2


def test_picks_shows_its_drawn_images(old):
    assert pages.images(pages.opened("picks", run=RUN, epoch=2)) == old.drawn(2).tolist()
    assert pages.images(pages.opened("picks", run=RUN, epoch=2, show="x′")) == old.drawn(2)[:6].tolist()


def test_runs_lists_it(old):
    assert RUN in str(pages.sheets(pages.opened("runs")))


def test_sample_shows_one_of_its_images(old):
    image = int(old.drawn(2)[0])
    data = datasets.load(old.config.dataset, cache_dir=old.path.parent.parent)
    times = sum(image in old.drawn(epoch) for epoch in (1, 2))
    page = pages.opened("sample", run=RUN, image=image)
    assert not page.error
    assert f'alt="Training image {image}, clean"' in pages.markup(page)
    assert data.class_names[data.train.labels[image]] in pages.said(page).replace("\\", "")
    assert f"picked in {times} of 2 epochs" in pages.said(page)
