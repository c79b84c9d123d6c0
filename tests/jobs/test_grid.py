"""Grids: every run of a figure once, done once, resumed, and one that fails stops no other."""

import pytest

from aat_explore import readings
from aat_explore.cli import main
from aat_explore.config import EvaluationConfig
from aat_explore.errors import AATError
from aat_explore.jobs import grid
from aat_explore.places import Place
from aat_explore.presets import PRESETS, preset
from aat_explore.store import Store

NEVER = 3600.0


@pytest.fixture
def work(tmp_path):
    test = EvaluationConfig(images=20, epsilons=(0.0, 0.1), steps=1)
    return grid.Work(place=Place(tmp_path, threads=1), test=test, check_images=0)


def test_a_grid_is_the_papers_figures_with_each_baseline_once():
    """Fig. 1–4: n = 0, 100, 1000, 10000 and all, Norm and Squared Norm; Fig. 5: PGD on all."""
    for name in ("letter-mnist", "paper-fashion", "letter-cifar10"):
        made = readings.configs(name, seeds=2)
        assert len({config.run_id for config in made}) == len(made) == 2 * (1 + 3 * 2 + 1 + 1)
        sampled = {(one.num_perturbed, one.norm_power) for one in made if one.samples}
        assert sampled == {(n, power) for n in (100, 1000, 10000) for power in (1.0, 2.0)}
        everything = [one for one in made if one.num_perturbed == "all"]
        assert sorted(one.attack.kind for one in everything) == ["fgsm", "fgsm", "pgd", "pgd"]
        assert {one.epochs for one in made} == {100}


def test_seeds_come_one_after_another_so_that_a_cut_off_grid_has_whole_figures():
    seeds = [one.seed for one in readings.configs("paper", seeds=3)]
    assert seeds == sorted(seeds)
    assert len(seeds) == 3 * 27


def test_readings_differ_in_what_they_say_they_differ_in():
    letter, paper = PRESETS["letter-mnist"], PRESETS["paper-mnist"]
    assert (letter.perturbing_network, letter.drawn_samples) == ("epoch-start", "replace")
    assert (paper.perturbing_network, paper.drawn_samples) == ("on-the-fly", "half")
    same = {"perturbing_network": "epoch-start", "drawn_samples": "replace"}
    assert paper.model_copy(update=same) == letter


@pytest.mark.parametrize(
    ("options", "said"),
    [({"name": "nope"}, "grid=nope is unknown"), ({"name": "mini", "seeds": 0}, "seeds=0 is less than 1"),
     ({"name": "mini", "n": (-1,)}, "num_perturbed=-1 is negative"),
     ({"name": "mini", "norm_powers": (-1.0,)}, "norm_power"), ({"name": "mini", "num_recorded": -1}, "num_recorded")],
)  # fmt: skip
def test_what_is_no_grid_is_refused(options, said):
    with pytest.raises(AATError, match=said):
        readings.configs(**options)


def test_the_small_reading_is_the_papers_with_another_network():
    paper, small = PRESETS["paper-cifar10"], PRESETS["small-cifar10"]
    network = ("model", "optimizer", "lr", "weight_decay", "lr_milestones", "epochs")
    assert small.model == "StdCNN"
    assert small.model_copy(update={name: getattr(paper, name) for name in network}) == paper


def test_what_is_given_replaces_what_the_grid_has():
    made = readings.configs("frontier-mini", seeds=1, n=(300,), norm_powers=(0.0, 2.0), epochs=3, num_recorded=8)
    assert [(one.num_perturbed, one.norm_power, one.epochs, one.num_recorded) for one in made] == [
        (300, 0.0, 3, 8),
        (300, 2.0, 3, 8),
    ]


def test_every_grid_has_its_presets():
    assert all(one.preset in PRESETS for one in readings.GRIDS.values())
    assert all(member in readings.GRIDS for members in readings.GROUPS.values() for member in members)


def test_an_n_beyond_the_data_set_is_refused_before_anything_is_trained(work):
    with pytest.raises(AATError, match="num_perturbed=6000 exceeds num_train=5000"):
        grid.run(readings.configs("mini", epochs=1, seeds=1, n=(0, 6000)), work)
    assert Store(work.place.cache_dir).run_ids() == []


@pytest.mark.slow
def test_a_grid_is_trained_tested_and_checked_and_then_has_nothing_left_to_do(tmp_path, capsys):
    words = ["grid", "mini", "--epochs", "1", "--seeds", "1", "--n", "0", "100", "--images", "20", "--jobs", "2"]
    words += ["--check-images", "10", "--cache-dir", str(tmp_path)]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    runs = Store(tmp_path).list().runs
    assert len(lines) == len(runs) == 3
    assert all(run.complete and len(run.evaluations()) == len(run.checks()) == 1 for run in runs)
    assert {run.evaluations()[0].num_images for run in runs} == {20}
    before = {run.id: run.revision for run in runs}
    assert main(words) == 0
    assert {run.id: run.revision for run in Store(tmp_path).list().runs} == before
    assert main([*words, "--dry"]) == 0
    assert "3 of 3 done" in capsys.readouterr().out
    all_images = [word if word != "20" else "None" for word in words]  # which 20 are not
    assert main([*all_images, "--dry"]) == 0
    assert "0 of 3 done" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_fails_stops_no_other_and_is_named(work):
    """Its learning rate makes its network diverge."""
    bad = preset("mini", epochs=2, num_perturbed=100, lr=1e30)
    good = preset("mini", epochs=1, num_perturbed=0)
    found = {one.config.run_id: one for one in grid.run([bad, good], work)}
    assert found[good.run_id].state == "done"
    assert found[bad.run_id].state == "failed"
    assert "diverged" in found[bad.run_id].reason


@pytest.mark.slow
def test_a_grid_that_is_stopped_leaves_no_worker_behind_and_goes_on(work):
    """Stopped as soon as its first epoch is on disk: two are at work, and a third waits."""
    made = readings.configs("mini", epochs=40, seeds=1, n=(0, 100))

    def stop(found):
        if any(one.epoch > 0 for one in found):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grid.run(made, work, jobs=2, hear=stop, every=0.2)
    store = Store(work.place.cache_dir)
    assert 1 <= len(store.run_ids()) <= 2
    assert not any(run.training for run in store.list().runs)
    before = {run.id: run.epoch for run in store.list().runs}
    assert all(0 < epoch < 40 for epoch in before.values())
    short = [config for config in made if config.run_id in before][:1]
    (standing,) = grid.run(short, work)
    assert standing.state == "done"


def test_the_time_left_is_that_of_all_runs_over_the_jobs_but_no_less_than_the_longest():
    def left(*seconds, jobs):
        config = preset("mini")
        return grid.seconds_left([grid.Standing(config, "waiting", 0, one) for one in seconds], jobs)

    assert left(10.0, 20.0, 30.0, jobs=1) == 60.0
    assert left(10.0, 20.0, 30.0, jobs=2) == 30.0
    assert left(5.0, 5.0, NEVER, jobs=3) == NEVER
    assert left(10.0, None, jobs=1) is None
    assert left(jobs=2) == 0.0


def test_bad_words_are_one_line(tmp_path, capsys):
    for words, said in ((["--jobs", "0"], "jobs=0"), (["--check-images", "-1"], "check_images=-1")):
        assert main(["grid", "mini", *words, "--epochs", "1", "--seeds", "1", "--cache-dir", str(tmp_path)]) == 2
        assert said in capsys.readouterr().err
