"""The committed showcase: whole, real, small, and made by the commands its README gives."""

import re
import shlex
from dataclasses import asdict
from pathlib import Path

import pytest

from aat_explore import datasets, readings
from aat_explore.cli.arguments import parse
from aat_explore.config import checked_config
from aat_explore.presets import preset
from aat_explore.store import Store
from aat_explore.views import checks
from aat_explore.views.evaluations import accuracy_at

SHOWCASE = Path(__file__).resolve().parents[2] / "cache" / "showcase"
EVERY = Store(SHOWCASE).list().runs
FIRST = "fashion-mnist-n10000-p1-pgd7-s3-9604f890"
RUNS = [run for run in EVERY if run.config.dataset == "fashion-mini"]
LIGHT = [run for run in EVERY if run not in RUNS and run.id != FIRST]


def ids_of_readme() -> set[str]:
    """Run ids of the commands in the showcase's README, its shell loops unrolled."""
    text = (SHOWCASE / "README.md").read_text(encoding="utf-8")
    ids = set()
    for line in re.findall(r"^ *(aat train .*)$", text, flags=re.MULTILINE):
        for seed in ("0", "1"):
            for power in ("1", "2"):
                for n in ("100", "1000"):
                    words = line.replace("$seed", seed).replace("$power", power).replace("$n", n)
                    command = parse(shlex.split(words)[1:])
                    ids.add(checked_config(asdict(command.flags)).run_id)
    return ids


def test_it_is_the_runs_of_its_readme():
    assert {run.id for run in RUNS} == ids_of_readme()
    assert not Store(SHOWCASE).list().damaged


def test_it_holds_both_norms_all_n_and_two_seeds():
    found = {(run.config.num_perturbed, run.config.norm_power, run.config.seed) for run in RUNS}
    assert {(n, power, seed) for n in (100, 1000) for power in (1.0, 2.0) for seed in (0, 1)} <= found
    assert {(n, 1.0, seed) for n in (0, "all") for seed in (0, 1)} <= found


def test_it_is_small():
    assert sum(path.stat().st_size for path in SHOWCASE.rglob("*") if path.is_file()) <= 16e6


def test_no_copy_has_what_is_not_looked_at():
    for run in EVERY:
        assert not [name for name in run.head.files if "training" in name], run.id
        assert run.checkpoints() in ([], [run.epoch])


def test_the_run_shown_first_is_real_robust_and_has_its_picks(tmp_path, monkeypatch):
    """What pages about a run open on in a fresh checkout: all of Fashion-MNIST, PGD-7, and no check failed."""
    import streamlit as st
    from pages import chosen_run, opened

    run = Store(SHOWCASE).open(FIRST)
    run.verify()
    text = " ".join((SHOWCASE / "README.md").read_text(encoding="utf-8").split())
    (line,) = re.findall(r"id=\$\((aat train [^)]* --seed 3 [^)]*)\)", text)
    words = [word for word in shlex.split(line)[1:] if word != "--quiet"]
    assert run.id == checked_config(asdict(parse(words).flags)).run_id
    assert not checks.flags(run)
    (tested,) = run.evaluations()
    assert tested.num_images == 10_000
    for epsilon, what in ((0.0, "clean"), (0.1, "robust")):
        assert f"{accuracy_at(tested, epsilon):.1%} {what}" in text
    for epoch in range(1, run.epoch + 1):
        assert len(run.probabilities(epoch)) == 55_000
        assert len(run.drawn(epoch)) == 10_000
        assert run.x_adv(epoch).shape == (100, 1, 28, 28)
    st.cache_data.clear()
    (tmp_path / "showcase").symlink_to(SHOWCASE)
    monkeypatch.setenv("AAT_CACHE", str(tmp_path))
    monkeypatch.delenv("AAT_DATA", raising=False)
    assert [chosen_run(opened(name)) for name in ("picks", "runs", "sample", "checks")] == [FIRST] * 4


def test_the_picks_of_four_small_runs_are_there():
    kept = {(run.config.num_perturbed, run.config.norm_power, run.config.seed) for run in RUNS if run.recorded}
    assert kept == {(100, 1.0, 0), (1000, 1.0, 0), (1000, 1.0, 1), (1000, 2.0, 0)}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_each_run_is_whole_complete_and_evaluated_on_the_full_test_set(run):
    run.verify()
    assert run.complete
    evaluations = run.evaluations()
    assert {evaluation.attack.get("curve") for evaluation in evaluations} == {None, "nested"}
    for evaluation in evaluations:
        assert evaluation.num_images == len(datasets.load(run.config.dataset).test)
        assert evaluation.epoch == run.config.epochs


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_each_runs_evaluation_can_be_repeated(run):
    """The stored weights have the stored clean accuracy: nothing here was typed in."""
    import torch

    from aat_explore.engine.batches import ImageSet
    from aat_explore.engine.counting import clean_correct
    from aat_explore.engine.networks import digest_of_weights
    from aat_explore.experiments.run import load_network

    data = datasets.load(run.config.dataset)
    evaluation = run.evaluations()[0]
    test = ImageSet.from_numpy(data.test.images(), data.test.labels, torch.device("cpu"))
    correct = int(clean_correct(load_network(run, data, evaluation.epoch), test).sum())
    assert abs(correct - evaluation.num_correct[0]) <= 2  # another machine may round another way
    assert evaluation.model_digest == digest_of_weights(run.weights(evaluation.epoch))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_the_nested_curve_never_rises_and_is_not_above_the_independent_one(run):
    """But for 1% of the images: the two were made by versions that drew their random starts in another order."""
    by_curve = {evaluation.attack.get("curve"): evaluation for evaluation in run.evaluations()}
    nested, alone = by_curve["nested"].num_correct, by_curve[None].num_correct
    assert list(nested) == sorted(nested, reverse=True)
    assert all(one <= other + 20 for one, other in zip(nested, alone, strict=True))


def test_the_light_copies_are_what_its_readmes_commands_make():
    text = (SHOWCASE / "README.md").read_text(encoding="utf-8")
    assert "--preset $reading-$data --num-perturbed $n --epochs 15 --num-recorded 8" in text
    expected = {
        preset(f"letter-{data}", epochs=15, num_recorded=8, num_perturbed=n).run_id
        for data in ("mnist", "fashion")
        for n in (0, 1000, 10000, "all")
    }
    lines = re.findall(r"^ *(aat grid .*)$", text, flags=re.MULTILINE)
    for line in {line.replace("$grid", f"paper-{data}") for line in lines for data in ("mnist", "fashion")}:
        asked = parse(shlex.split(line)[1:])
        settings = {"epochs": asked.epochs, "num_recorded": asked.num_recorded}
        made = readings.configs(asked.name, seeds=asked.seeds, n=asked.n, norm_powers=asked.norm_powers, **settings)
        expected |= {config.run_id for config in made}
    assert {run.id for run in LIGHT} == expected


@pytest.mark.parametrize("run", LIGHT, ids=lambda run: run.id)
def test_each_light_copy_is_whole_tested_on_the_full_test_set_checked_and_in_the_table(run):
    run.verify()
    assert run.complete
    assert run.checks()
    (tested,) = (made for made in run.evaluations() if made.num_images == 10_000)
    assert tested.epoch == run.config.epochs
    assert run.verdicts(tested).shape == (1, 9, 10_000)
    text = (SHOWCASE / "README.md").read_text(encoding="utf-8")
    for epsilon in {0.0, run.config.epsilon, *([] if run.config.dataset == "cifar10" else [0.1])}:
        assert f"{accuracy_at(tested, epsilon):.2%}" in text


def test_what_a_run_took_is_the_same_by_rows_as_by_frame():
    """Bit for bit, of every committed run: `aat list` does without pandas."""
    from aat_explore.views.summary import COST_PHASES, summary

    for run in EVERY:
        row, metrics = summary(run), run.metrics()
        assert row["seconds per epoch"] == metrics[list(COST_PHASES)].sum(axis=1).median()
        assert row["total seconds"] == metrics.filter(like="seconds_").sum().sum()
