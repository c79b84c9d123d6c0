"""The Sampler page on normal, empty, partial and damaged caches, and its arithmetic against counting."""

import itertools
from functools import partial

import numpy as np
import pages
import pytest
from pages import chosen_run, images, markup, said
from synthetic import make_run

from aat_explore import datasets
from aat_explore.dashboard import page, sheet
from aat_explore.dashboard.pages import dynamics
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


def test_the_overlap_with_the_epoch_before_is_that_of_the_sets_and_its_chance_of_their_sizes(run):
    found = frames.dynamics.overlap_with_previous(frames.sample.draw_matrix(run)).set_index("epoch")
    assert list(found.index) == [2, 3, 4]
    for epoch in (2, 3, 4):
        of_sets = diagnostics.jaccard(run.drawn(epoch), run.drawn(epoch - 1))
        assert found.loc[epoch, "overlap"] == pytest.approx(of_sets)
    assert found["chance"].to_numpy() == pytest.approx(0.14 * 0.14 / (0.28 - 0.14 * 0.14))


def test_an_epoch_without_draws_overlaps_with_none():
    is_drawn = np.zeros((5, 100), dtype=bool)
    is_drawn[[0, 1, 3, 4], :10] = True
    found = frames.dynamics.overlap_with_previous(is_drawn)
    assert list(found["epoch"]) == [2, 5]
    assert list(found["overlap"]) == [1, 1]
    assert frames.dynamics.overlap_with_previous(is_drawn[:1]).empty


def test_unevenness_is_that_of_each_epochs_p(run):
    found = frames.dynamics.unevenness(run).pivot(index="epoch", columns="measure", values="value")
    for epoch in range(1, 5):
        p = run.probabilities(epoch)
        assert found.loc[epoch, "effective sample size"] == diagnostics.effective_sample_size(p)
        assert found.loc[epoch, "Gini coefficient"] == diagnostics.gini(p)
        on_picks = frames.picks.draw_statistics(run, epoch)  # two pages do not differ in a number
        assert found.loc[epoch, "mass of the top 1%"] == on_picks.top_mass == diagnostics.top_mass(p)
    uniform = frames.dynamics.unevenness(run).groupby("measure")["uniform"].first()
    assert uniform["entropy"] == pytest.approx(diagnostics.entropy(np.ones(5000)))
    assert uniform["mass of the top 1%"] == pytest.approx(diagnostics.top_mass(np.ones(5000)))


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


# --- The charts ------------------------------------------------------------------------------------------------------


def _marks(chart, kind):
    """The layers of a chart with this kind of mark, as Vega-Lite, with their rows under `rows`."""
    spec = chart.to_dict()
    layers = [layer for layer in spec["layer"] if layer["mark"]["type"] == kind]
    named = [layer.get("data", spec.get("data"))["name"] for layer in layers]  # of one layer, Altair moves it up
    return [layer | {"rows": spec["datasets"][name]} for layer, name in zip(layers, named, strict=True)]


@pytest.mark.parametrize("measure", frames.dynamics.UNEVENNESS)
def test_lines_of_several_runs_end_in_their_letters_and_uniform_p_is_a_thin_line(run, measure):
    data = frames.sample.together([frames.dynamics.unevenness(run, letter) for letter in "ABC"])
    chart = charts.dynamics.measure_of_p(data, measure, epoch=3)
    [thin] = [rule for rule in _marks(chart, "rule") if "y" in rule["encoding"]]
    assert "strokeDash" not in thin["mark"]
    words = [[row.get("run", row.get("word")) for row in layer["rows"]] for layer in _marks(chart, "text")]
    assert words == [["uniform"], ["A", "B", "C"]]
    places = [row["at"] for row in _marks(chart, "text")[1]["rows"]]
    low, high = _marks(chart, "line")[0]["encoding"]["y"]["scale"]["domain"]
    assert np.diff(places).min() > 0.07 * (high - low)  # though the lines are one
    assert places[-1] <= high + 1e-9


def test_the_axis_of_entropy_spans_its_values_and_not_all_from_0(run):
    data = frames.dynamics.unevenness(run)
    chart = charts.dynamics.measure_of_p(data, frames.dynamics.ENTROPY)
    values = data.loc[data["measure"] == frames.dynamics.ENTROPY, ["value", "uniform"]].to_numpy()
    low, high = _marks(chart, "line")[0]["encoding"]["y"]["scale"]["domain"]
    assert low < values.min() < values.max() < high
    assert high - low < 3 * max(np.ptp(values), 0.1)


def test_the_effective_sample_size_of_runs_of_different_size_is_drawn_as_a_share(run):
    data = frames.dynamics.unevenness(run)
    rows = _marks(charts.dynamics.measure_of_p(data, frames.dynamics.ESS), "line")[0]["rows"]
    wanted = [diagnostics.effective_sample_size(run.probabilities(epoch)) / 5000 for epoch in range(1, 5)]
    assert [row["value"] for row in rows] == pytest.approx(wanted)


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_the_epoch_is_a_rule_in_the_panels_of_lines_and_a_frame_in_the_maps(run, epoch):
    is_drawn = frames.sample.draw_matrix(run)
    overlap = charts.dynamics.overlap_with_previous(frames.dynamics.overlap_with_previous(is_drawn), epoch=epoch)
    [rule] = _marks(overlap, "rule")
    assert rule["rows"] == [{"epoch": epoch}]
    mix = frames.dynamics.mix_over_epochs(run, is_drawn, datasets.load("fashion-mini"))
    for chart in (
        charts.dynamics.overlaps(frames.dynamics.overlaps(is_drawn), epoch=epoch),
        charts.dynamics.mix_over_epochs(mix, epoch=epoch),
    ):
        framed = [layer for layer in _marks(chart, "rect") if layer["mark"].get("filled") is False]
        assert framed
        assert all(layer["rows"] == [{"left": epoch - 0.5, "right": epoch + 0.5}] for layer in framed)


def test_the_columns_of_thinned_epochs_touch_each_other():
    edges = charts.dynamics._edges([1, 4, 5, 9])
    assert edges == {1: (0.5, 2.5), 4: (2.5, 4.5), 5: (4.5, 7.0), 9: (7.0, 9.5)}


def test_classes_drawn_most_above_chance_are_on_top(run):
    mix = frames.dynamics.mix_over_epochs(run, frames.sample.draw_matrix(run), datasets.load("fashion-mini"))
    [cells] = _marks(charts.dynamics.mix_over_epochs(mix), "rect")
    mean = mix.groupby("class")["ratio"].mean()
    assert list(mean[cells["encoding"]["y"]["sort"]]) == sorted(mean, reverse=True)
    assert len(cells["rows"]) == 4 * 10


# --- The page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def links(monkeypatch):
    """The pages that were opened, with their parameters, instead of opening them."""
    found = []
    monkeypatch.setattr(page, "open_page", lambda name, **params: found.append((name, params)))
    return found


def test_a_run_shows_every_panel_and_its_most_often_and_never_drawn(run):
    app = opened()
    assert not app.error
    shown = app.get("vega_lite_chart")
    assert len(shown) == 8
    assert all(chart.proto.alt for chart in shown)
    is_drawn = frames.sample.draw_matrix(run)
    assert images(app) == list(frames.sample.most_often(is_drawn)[:72])
    assert images(app, 1) == list(frames.sample.never(is_drawn)[:72])
    assert f"{len(frames.sample.never(is_drawn)):,} of 5,000 samples" in said(app)


def test_the_statement_has_the_numbers_of_the_epoch_as_picks_has_them(run):
    for epoch in (1, 3):
        statistics = frames.picks.draw_statistics(run, epoch)
        words = said(opened(epoch=epoch))
        assert f"**Epoch {epoch}** · p of 5,000 samples · " in words
        assert f" · effective size {statistics.effective_sample_size:,.0f} · " in words
        assert f"top 1% hold {statistics.top_mass:.1%} of p" in words
        assert (str(frames.picks.picked_again(run, epoch)) in words) == (epoch > 1)


def test_a_click_on_a_tile_opens_its_sample_and_next_follows_the_list(run, links, monkeypatch):
    real = sheet.draw
    monkeypatch.setattr(
        sheet, "draw", lambda *args, **kwargs: 5 if args[2] == dynamics.NEVER else real(*args, **kwargs)
    )
    app = opened()
    rows = frames.sample.never(frames.sample.draw_matrix(run))
    assert links == [("sample", {"run": run.id, "image": rows[5]})]
    assert app.session_state["state list"] == ("fashion-mini", "never picked", tuple(rows))


def test_the_map_of_all_samples_is_a_view_of_picks(run, links):
    opened(epoch=2).button(key="open map").click().run()
    [(name, params)] = links
    assert (name, params) == ("picks", {"run": run.id, "epoch": 2, "view": "Map", **_axes_of_map()})
    shown = pages.opened("picks", **params)
    assert pages.samples_map(shown)["count"] == 5000
    of_run = frames.sample.sample_map(run)
    assert pages.samples_map(shown)["y"] == pytest.approx(of_run.variability)


def _axes_of_map():
    return {"axes": "Scores", "x": "mean p", "y": "variability of p"}


def test_a_rectangle_in_an_older_link_is_selected_and_shown_on_the_map(run, links):
    found = frames.sample.sample_map(run)
    app = opened(region="1e-9_1_0_0.6")
    rows = frames.dynamics.inside(found, (1e-9, 1), (0, 0.6))
    assert 0 < len(rows) < 5000
    assert f"marks {len(rows):,} samples" in said(app)
    app.button(key="open region").click().run()
    assert links == [("picks", {"run": run.id, "epoch": 4, "view": "Map", **_axes_of_map()})]
    assert app.session_state["state selected"] == ("fashion-mini", tuple(sorted(rows)))
    assert "region" not in app.query_params


@pytest.mark.parametrize("region", ["a_b_c_d", "1_2", "**bold**", "nan_nan_nan_nan", "2_1_0_1"])
def test_a_region_that_is_none_is_a_note(run, region):
    app = opened(region=region)
    assert "which is no rectangle" in said(app)
    assert len(app.get("vega_lite_chart")) == 8
    assert "region" not in app.query_params


def test_other_runs_can_be_laid_over_and_taken_off(store, run):
    others = [make_run(store, num_perturbed=700, norm_power=power, epochs=2) for power in (2.0, 0.0)]
    app = opened(run=run.id, against=",".join(other.id for other in others))
    assert chosen_run(app, "against") == ",".join(other.id for other in others)
    assert "A · n 700 · Norm" in markup(app)
    assert "B · n 700 · Squared Norm" in markup(app)
    assert "C · n 700 · Uniform" in markup(app)
    app.button(key="remove against 0").click().run()
    assert chosen_run(app, "against") == others[1].id
    app.button(key="remove against 0").click().run()
    assert "against" not in app.query_params
    assert len(app.get("vega_lite_chart")) == 8


def test_a_run_to_compare_with_is_chosen_in_a_table_of_names(store, run):
    other = make_run(store, num_perturbed=700, norm_power=2.0, epochs=2)
    app = opened(run=run.id)
    app.button(key="add against").click().run()
    [table] = app.dataframe
    assert list(table.value["run"]) == [other.id]
    assert "n 700 · Squared Norm" in table.value["name"].iloc[0]


def test_at_most_three_runs_are_laid_over_and_unknown_ones_are_named(store, run):
    others = [make_run(store, num_perturbed=700, seed=seed, epochs=2) for seed in (1, 2, 3, 4)]
    app = opened(run=run.id, against=",".join(["no-such-run", run.id, *(other.id for other in others)]))
    assert chosen_run(app, "against") == ",".join(other.id for other in others[:3])
    assert "no-such-run" in said(app).replace("\\", "")
    assert not [button for button in app.button if button.key == "add against"]


def test_runs_without_picks_are_not_offered_for_comparison(store, run):
    make_run(store, num_perturbed=0)
    make_run(store, num_perturbed="all")
    assert not [button for button in opened(run=run.id).button if button.key == "add against"]


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
    assert len(app.get("vega_lite_chart")) == 7  # all but the class mix
    assert not app.get("bidi_component")
