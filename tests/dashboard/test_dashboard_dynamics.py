"""The Sampler page on normal, empty, partial and damaged caches, and its arithmetic against counting."""

import itertools
import json
from functools import partial

import numpy as np
import pages
import pytest
from pages import images, said
from synthetic import make_run

from aat_explore import datasets
from aat_explore.errors import AATError
from aat_explore.views import charts, diagnostics, frames

opened = partial(pages.opened, "dynamics")


@pytest.fixture
def run(store):
    return make_run(store, num_perturbed=700, epochs=4)


# --- Arithmetic ------------------------------------------------------------------------------------------------------


def test_overlaps_are_jaccard_indices_of_the_sets(run):
    found = frames.dynamics.overlaps(frames.sample.draw_matrix(run)).set_index(["epoch", "other"])["overlap"]
    for one, other in itertools.product(range(1, 5), repeat=2):
        assert found[one, other] == pytest.approx(diagnostics.jaccard(run.drawn(one), run.drawn(other)), abs=1e-4)


def test_many_epochs_are_thinned_evenly_with_both_ends(run):
    found = frames.dynamics.overlaps(frames.sample.draw_matrix(run), at_most=2)
    assert sorted(found["epoch"].unique()) == [1, 4]
    assert len(found) == 4


def test_uniform_draws_overlap_as_by_chance():
    rng = np.random.default_rng(0)
    sets = [rng.choice(5000, 700, replace=False) for _ in range(40)]
    seen = np.mean([diagnostics.jaccard(one, other) for one, other in itertools.combinations(sets, 2)])
    assert seen == pytest.approx(0.14 * 0.14 / (0.28 - 0.14 * 0.14), rel=0.01)


def test_chance_overlap_is_of_the_sizes_drawn(run):
    assert frames.dynamics.chance_overlap(frames.sample.draw_matrix(run)) == pytest.approx(
        0.14 * 0.14 / (0.28 - 0.14 * 0.14)
    )


def test_unevenness_is_that_of_each_epochs_p(run):
    found = frames.dynamics.unevenness(run).pivot(index="epoch", columns="measure", values="value")
    for epoch in range(1, 5):
        p = run.probabilities(epoch)
        assert found.loc[epoch, "effective sample size"] == diagnostics.effective_sample_size(p)
        assert found.loc[epoch, "Gini"] == diagnostics.gini(p)
    uniform = frames.dynamics.unevenness(run).groupby("measure")["uniform"].first()
    assert uniform["entropy, nats"] == pytest.approx(diagnostics.entropy(np.ones(5000)))
    assert uniform["top 1 % hold"] == pytest.approx(diagnostics.top_mass(np.ones(5000)))


def test_the_histogram_of_times_drawn_is_of_all_samples_and_expect_a_binomial(run):
    found = frames.dynamics.times_drawn_histogram(frames.sample.draw_matrix(run))
    drawn = np.concatenate([run.drawn(epoch) for epoch in range(1, 5)])
    times = np.bincount(drawn, minlength=5000)
    assert list(found["samples"]) == list(np.bincount(times, minlength=len(found)))
    binomial = 5000 * np.array([1, 4, 6, 4, 1]) * 0.14 ** np.arange(5) * 0.86 ** (4 - np.arange(5))
    assert found["expected"].to_numpy() == pytest.approx(binomial[: len(found)])


def test_often_and_never_drawn_are_all_samples_once(run):
    often, never = (
        frames.sample.most_often(frames.sample.draw_matrix(run)),
        frames.sample.never(frames.sample.draw_matrix(run)),
    )
    assert sorted([*often, *never]) == list(range(5000))
    times = frames.sample.times_drawn(frames.sample.draw_matrix(run))
    assert (np.diff(times[often]) <= 0).all()
    assert (times[never] == 0).all()


def test_class_mix_sums_to_one_and_its_mean_ratio_is_one(run):
    found = frames.dynamics.mix_over_epochs(run, frames.sample.draw_matrix(run), datasets.load("fashion-mini"))
    assert found.groupby("epoch")["share"].sum().to_numpy() == pytest.approx(1)
    assert found.groupby("epoch")["ratio"].mean().to_numpy() == pytest.approx(1)  # its classes are of one size


def test_a_data_set_with_too_few_images_is_an_error_and_no_traceback(store):
    made = make_run(store, num_perturbed=700, epochs=1, num_train=6000)
    with pytest.raises(AATError, match="which has 5000 training images"):
        frames.dynamics.mix_over_epochs(made, frames.sample.draw_matrix(made), datasets.load("fashion-mini"))
    assert "which has 5000 training images" in said(opened()).replace("\\", "")


def test_map_cells_hold_every_sample_and_every_draw(run):
    found, times = frames.sample.sample_map(run), frames.sample.times_drawn(frames.sample.draw_matrix(run))
    cells = frames.dynamics.map_cells(found, times)
    assert cells["samples"].sum() == (found.mean > 0).sum()
    assert (cells["samples"] * cells["times"]).sum() == pytest.approx(times[found.mean > 0].sum())


def test_a_rectangle_holds_the_samples_within_it(run):
    found = frames.sample.sample_map(run)
    low, high = np.quantile(found.mean, [0.4, 0.9])
    rows = frames.dynamics.inside(found, (low, high), (0.0, 0.5))
    expected = [i for i in range(5000) if low <= found.mean[i] <= high and found.variability[i] <= 0.5]
    assert sorted(rows) == expected
    assert (np.diff(found.mean[rows]) <= 0).all()


# --- The page --------------------------------------------------------------------------------------------------------


def test_a_run_shows_every_chart_and_its_most_often_drawn(run):
    app = opened()
    assert not app.error
    assert len(app.get("vega_lite_chart")) == 5
    assert images(app) == list(frames.sample.most_often(frames.sample.draw_matrix(run))[:48])
    assert (
        f"Showing 48 of {len(frames.sample.most_often(frames.sample.draw_matrix(run))):,} samples (most often drawn)"
        in said(app)
    )


def test_the_gallery_of_never_drawn_is_in_the_url(run):
    assert images(opened(gallery="never drawn")) == list(frames.sample.never(frames.sample.draw_matrix(run))[:48])


def test_a_rectangle_in_the_url_has_its_gallery(run):
    found = frames.sample.sample_map(run)
    app = opened(region="1e-9_1_0_0.6")
    assert images(app, 1) == list(frames.dynamics.inside(found, (1e-9, 1), (0, 0.6))[:48])


@pytest.mark.parametrize("region", ["a_b_c_d", "1_2", "**bold**", "nan_nan_nan_nan", "2_1_0_1"])
def test_a_region_that_is_none_is_a_note(run, region):
    app = opened(region=region)
    assert "which is no rectangle" in said(app)
    assert len(app.get("bidi_component")) == 1


def test_other_runs_can_be_laid_over(store, run):
    other = make_run(store, num_perturbed=700, norm_power=2.0, epochs=2)
    app = opened(run=run.id, against=frames.dynamics.run_name(other))
    assert app.multiselect(key="against").value == [frames.dynamics.run_name(other)]


def test_brushing_the_map_is_named(run):
    spec = charts.dynamics.data_map(
        frames.dynamics.map_cells(
            frames.sample.sample_map(run), frames.sample.times_drawn(frames.sample.draw_matrix(run))
        )
    ).to_dict()
    assert charts.dynamics.MAP_BRUSH in json.dumps(spec["params"])


@pytest.mark.parametrize(("n", "words"), [(0, "No epoch of this run has drawn"), ("all", "so there is no p")])
def test_runs_without_p_say_so(store, n, words):
    make_run(store, num_perturbed=n, epochs=2)
    app = opened()
    assert words in said(app)
    assert not app.error


def test_a_run_in_its_first_epoch_is_shown(store):
    make_run(store, epochs=10, committed=1, evaluated=False)
    assert not opened().error


def test_an_empty_cache_gets_the_command(store):
    assert any("aat demo" in code.value for code in opened().code)


def test_a_damaged_epoch_is_a_message(run):
    (run.path / "epochs/0002/drawn.npy").write_bytes(b"junk")
    assert "damaged" in opened().error[0].value


def test_without_its_images_a_run_has_numbers(store):
    make_run(store, dataset="mnist", num_perturbed=100, epochs=2)
    app = opened()
    assert not app.error
    assert len(app.get("vega_lite_chart")) == 4
    assert not app.get("bidi_component")
