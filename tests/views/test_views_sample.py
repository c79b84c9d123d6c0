"""One sample over the epochs: against counting by hand, sorting, and numpy in float64."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_run

from aat_explore import datasets
from aat_explore.config import RunConfig
from aat_explore.errors import AATError
from aat_explore.store import Store
from aat_explore.views import charts, diagnostics, frames
from aat_explore.views.frames import sample as subject


@dataclass
class Made:
    """A run of given p (None: no p in that epoch) and drawn sets."""

    ps: list
    draws: list
    x_advs: list = field(default_factory=list)
    config: RunConfig = field(default_factory=RunConfig)
    id: str = "made"

    @property
    def epoch(self) -> int:
        return len(self.draws)

    def probabilities(self, epoch):
        p = self.ps[epoch - 1]
        return None if p is None else np.asarray(p, dtype=np.float32)

    def drawn(self, epoch):
        return np.asarray(self.draws[epoch - 1], dtype=np.int32)

    def x_adv(self, epoch):
        return self.x_advs[epoch - 1]


@pytest.fixture
def run(tmp_path):
    return make_run(Store(tmp_path), epochs=5, num_perturbed=300, num_recorded=40)


@pytest.fixture(scope="module")
def mini():
    return datasets.load("fashion-mini")


def tied(epochs=6, T=50):
    """p with many ties and zeros, float32 (epochs, T)."""
    return np.random.default_rng(1).integers(0, 8, (epochs, T)).astype(np.float32)


# --- Matrices --------------------------------------------------------------------------------------------------------


def test_row_k_of_the_matrix_is_p_of_its_epoch(run):
    matrix = frames.sample.p_matrix(run)
    assert matrix.p.dtype == np.float32
    assert list(matrix.epochs) == [1, 2, 3, 4, 5]
    for epoch, row in zip(matrix.epochs, matrix.p, strict=True):
        assert np.array_equal(row, run.probabilities(epoch))


def test_warm_up_epochs_have_no_row_and_keep_their_number():
    made = Made([None, None, [0.5, 0.3, 0.2]], [[], [], [2]])
    assert list(frames.sample.p_matrix(made).epochs) == [3]
    assert frames.sample.draw_matrix(made).tolist() == [[False] * 3, [False] * 3, [False, False, True]]
    history = frames.sample.sample_history(frames.sample.p_matrix(made), frames.sample.draw_matrix(made), 2, "x")
    assert history[["epoch", "rank", "drawn"]].to_numpy().tolist() == [[3, 3, True]]


@pytest.mark.parametrize(("n", "T"), [(0, 0), ("all", 5000)])
def test_baselines_have_no_p_and_all_is_drawn_in_every_epoch(tmp_path, n, T):
    run = make_run(Store(tmp_path), epochs=2, num_perturbed=n)
    matrix, drawn = frames.sample.p_matrix(run), frames.sample.draw_matrix(run)
    assert matrix.p.size == 0
    assert drawn.shape == (2, T)
    assert list(frames.sample.times_drawn(frames.sample.draw_matrix(run))) == [2] * T
    assert frames.sample.sample_map(run) is None
    assert frames.sample.sample_facts(matrix, drawn, 0).mean_p is None
    assert frames.sample.neighbours(matrix, drawn, 1, 0) is None


def test_times_drawn_counts_the_epochs_whose_set_holds_the_sample(run):
    counted = np.zeros(5000, dtype=int)
    for epoch in range(1, 6):
        for row in run.drawn(epoch):
            counted[row] += 1
    assert np.array_equal(frames.sample.times_drawn(frames.sample.draw_matrix(run)), counted)
    assert frames.sample.most_drawn(frames.sample.draw_matrix(run)) == int(counted.argmax())


def test_epochs_of_different_length_are_refused():
    with pytest.raises(AATError, match="2 and of 3"):
        frames.sample.p_matrix(Made([[0.5, 0.5], [0.5, 0.3, 0.2]], [[0], [0]]))


def test_without_records_the_data_set_says_how_many_samples_there_are(tmp_path, mini):
    run = make_run(Store(tmp_path), epochs=1, num_perturbed=0)
    records = frames.sample.p_matrix(run), frames.sample.draw_matrix(run)
    assert frames.sample.num_train(*records, mini) == 5000
    assert frames.sample.num_train(*records, None) == 0
    assert frames.sample.list_names(*records, None) == []
    assert frames.sample.list_names(*records, mini) == ["same class"]


# --- One sample ------------------------------------------------------------------------------------------------------


def test_counted_ranks_are_the_sorted_ones_ties_and_zeros_included():
    p = tied()
    sorted_ = np.stack([diagnostics.ranks(row) for row in p])
    for image in range(p.shape[1]):
        assert np.array_equal(subject.rank_history(p, image), sorted_[:, image])


def test_history_and_facts_are_what_the_epochs_say(run):
    matrix, drawn = frames.sample.p_matrix(run), frames.sample.draw_matrix(run)
    image = frames.sample.most_drawn(drawn)
    history = frames.sample.sample_history(matrix, drawn, image, "this")
    for row in history.itertuples():
        assert row.p == run.probabilities(row.epoch)[image]
        assert row.rank == diagnostics.ranks(run.probabilities(row.epoch))[image]
        assert row.drawn == (image in run.drawn(row.epoch))
    assert set(history["uniform"]) == {1 / 5000}
    facts = frames.sample.sample_facts(matrix, drawn, image)
    assert list(facts.drawn_in) == list(history.loc[history["drawn"], "epoch"])
    assert facts.mean_p == pytest.approx(history["p"].mean(), rel=1e-6)
    assert facts.times_uniform == pytest.approx(5000 * facts.mean_p)


def test_versions_are_the_pixels_recorded_for_this_sample_and_no_other(run):
    drawn = frames.sample.draw_matrix(run)
    matrix = frames.sample.p_matrix(run)
    some = set()
    for image in range(0, 5000, 7):
        drawn_in = frames.sample.sample_facts(matrix, drawn, image).drawn_in
        expected = {e: run.x_adv(e)[list(run.drawn(e)).index(image)] for e in drawn_in if image in run.drawn(e)[:40]}
        found = frames.recorded.sample_versions(run, image, drawn_in)
        assert (found is None) == (not expected)
        if found is not None:
            assert found.epochs == tuple(expected)
            assert np.array_equal(found.x_adv, np.stack(list(expected.values())))
        some.add((bool(drawn_in), bool(expected)))
    assert some == {(False, False), (True, False), (True, True)}


@pytest.mark.parametrize(("right", "first"), [(((0, 1), (1, 0), (1, 0)), 1), (((0, 0), (1, 1)), 1), (((0, 0),), None)])
def test_the_first_fooled_is_right_on_x_and_wrong_on_x_adv_else_right_on_x(run, mini, monkeypatch, right, first):
    rows = run.drawn(run.epoch)[: len(right)]
    labels = mini.train.labels[rows].astype(np.int32)
    predicted = np.where(np.array(right, bool), labels[:, None], (labels[:, None] + 1) % 10)
    monkeypatch.setattr(run, "recorded_classes", lambda epoch: predicted)
    assert frames.recorded.first_fooled(run, mini) == (0 if first is None else rows[first])


def test_a_row_beyond_the_data_set_is_named(run, mini):
    with pytest.raises(AATError, match=r"image=5000 of run=.* which has 5000 training images"):
        frames.sample.clean_images(run, mini, [3, 5000])
    with pytest.raises(AATError, match="image=5001"):
        frames.sample.class_of(run, mini, 5001)


# --- Lists and neighbours --------------------------------------------------------------------------------------------


def test_lists_hold_what_their_names_say(run, mini):
    records = frames.sample.p_matrix(run), frames.sample.draw_matrix(run)
    listed = {
        name: frames.sample.listed(name, *records, mini, 3, 10) for name in frames.sample.list_names(*records, mini)
    }
    assert np.array_equal(listed["drawn in the epoch"], np.sort(run.drawn(3)))
    p = run.probabilities(3)[listed["by p in the epoch"]]
    assert len(p) == 5000
    assert (np.diff(p) <= 0).all()
    times = frames.sample.times_drawn(frames.sample.draw_matrix(run))
    assert (np.diff(times[listed["most often drawn"]]) <= 0).all()
    assert set(listed["most often drawn"]) == set(np.flatnonzero(times))
    assert np.array_equal(listed["never drawn"], np.flatnonzero(times == 0))
    labels = mini.train.labels
    assert set(listed["same class"]) == {i for i in range(5000) if labels[i] == labels[10]}
    with pytest.raises(AATError, match="list=drawn twice is unknown; choose one of most often drawn, never drawn"):
        frames.sample.listed("drawn twice", *records, mini, 3, 10)


def test_next_walks_the_whole_list_and_previous_walks_back():
    rows = np.array([4, 9, 1, 7])
    walked = [frames.sample.place_in_list(rows, 100).after]
    while (after := frames.sample.place_in_list(rows, walked[-1]).after) is not None:
        walked.append(after)
    assert walked == [4, 9, 1, 7]
    assert [frames.sample.place_in_list(rows, row).before for row in walked] == [None, 4, 9, 1]
    assert frames.sample.place_in_list(rows, 1) == frames.sample.PlaceInList(3, 4, 9, 7)
    assert frames.sample.place_in_list(rows, 100) == frames.sample.PlaceInList(None, 4, None, 4)
    assert frames.sample.place_in_list(rows[:0], 4) == frames.sample.PlaceInList(None, 0, None, None)


@pytest.mark.parametrize("image", range(50))
def test_neighbours_are_the_next_ranks_without_itself(image):
    p = tied()
    made = Made(list(p), [[0, 3]] * 6)
    matrix, drawn = frames.sample.p_matrix(made), frames.sample.draw_matrix(made)
    found = frames.sample.neighbours(matrix, drawn, 2, image, 6)
    ranks = diagnostics.ranks(p[1])
    low = min(max(ranks[image] - 3, 1), 44)
    assert sorted([*found["rank"], ranks[image]]) == list(range(low, low + 7))
    assert list(found["rank"]) == list(ranks[found["image"]])
    assert list(found["p"]) == list(p[1][found["image"]])
    assert list(found["drawn"]) == [row in (0, 3) for row in found["image"]]


def test_of_a_few_samples_all_others_are_neighbours():
    made = Made([[0.2, 0.5, 0.3]], [[1]])
    found = frames.sample.neighbours(frames.sample.p_matrix(made), frames.sample.draw_matrix(made), 1, 2, 24)
    assert list(found["image"]) == [1, 0]


# --- Data map --------------------------------------------------------------------------------------------------------


def test_the_map_is_mean_and_sd_over_mean_in_float64(run):
    found = frames.sample.sample_map(run)
    p = frames.sample.p_matrix(run).p.astype(np.float64)
    assert np.allclose(found.mean, p.mean(axis=0), rtol=1e-6)
    assert np.allclose(found.variability, p.std(axis=0) / p.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_every_sample_that_had_p_is_in_one_cell(run):
    found = frames.sample.sample_map(run)
    assert found.grid["count"].sum() == found.shown == 5000
    assert len(found.grid) <= 60 * 36
    place = frames.sample.sample_places(found, [5], ["x"]).iloc[0]
    grid = found.grid
    inside = (grid["mean_low"] <= place["mean"]) & (place["mean"] <= grid["mean_high"])
    inside &= (grid["variability_low"] <= place["variability"]) & (place["variability"] <= grid["variability_high"])
    assert inside.sum() == 1


def test_variability_is_0_for_constant_p_and_largest_for_a_single_epoch():
    E = 9
    p = np.zeros((E, 3))
    p[:, 0] = 0.25
    p[4, 1] = 1e-12  # also where squares are near float32's end
    found = frames.sample.sample_map(Made(list(p), [[0]] * E))
    assert found.variability == pytest.approx([0, np.sqrt(E - 1), 0], abs=1e-4)
    assert (found.zeros, found.shown) == (1, 2)
    assert list(frames.sample.sample_places(found, [0, 2], ["a", "b"])["sample"]) == ["a"]


def test_uniform_p_has_a_cell_of_some_width():
    found = frames.sample.sample_map(Made([np.full(8, 1 / 8)] * 3, [[0]] * 3))
    assert found.grid["count"].tolist() == [8]
    low, high = found.grid.loc[0, ["mean_low", "mean_high"]]
    assert low <= 1 / 8 * (1 + 1e-9)
    assert high > 1 / 8


# --- Charts ----------------------------------------------------------------------------------------------------------


def drawn_marks(spec):
    """Rows under each layer of drawn marks in a chart."""
    layers = [layer for panel in spec["vconcat"] for layer in panel["layer"]]
    marks = [layer for layer in layers if layer["mark"].get("filled")]
    return [(layer["mark"]["shape"], len(spec["datasets"][layer["data"]["name"]])) for layer in marks]


def test_the_chart_marks_each_epoch_that_drew_each_sample_in_both_panels():
    made = Made([[0.5, 0.3, 0.2]] * 4, [[0], [1], [0], [0]])
    records = frames.sample.p_matrix(made), frames.sample.draw_matrix(made)
    both = frames.sample.together(
        [frames.sample.sample_history(*records, 0, "a"), frames.sample.sample_history(*records, 1, "b")]
    )
    assert drawn_marks(charts.sample.sample_history(both).to_dict()) == [("circle", 3), ("diamond", 1)] * 2
    none = frames.sample.sample_history(*records, 2, "c")
    assert drawn_marks(charts.sample.sample_history(none).to_dict()) == []


def test_p_of_zero_is_kept_off_the_log_axis():
    made = Made([[1, 0.0], [0.5, 0.5]], [[0], [0]])
    history = frames.sample.sample_history(frames.sample.p_matrix(made), frames.sample.draw_matrix(made), 1, "x")
    spec = charts.sample.sample_history(history).to_dict()
    shown = []
    for panel in spec["vconcat"]:
        (line,) = [layer for layer in panel["layer"] if layer["mark"]["type"] == "line"]
        data = line.get("data", panel.get("data"))  # its own or its panel's
        shown.append([row["p"] for row in spec["datasets"][data["name"]]])
    assert shown == [[0.5], [0.0, 0.5]]


@given(low=st.floats(1e-9, 1e6), span=st.floats(1, 1e9), at_most=st.integers(3, 8))
def test_ticks_of_a_log_axis_cover_all_values_and_are_few(low, span, at_most):
    ticks = charts.style.log_ticks(low, low * span, at_most)
    assert ticks[0] <= low * (1 + 1e-6)
    assert ticks[-1] >= low * span * (1 - 1e-6)
    assert 2 <= len(ticks) <= at_most
    assert all(f"{tick:e}"[0] in "125" for tick in ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.4, 2.2, [0.2, 0.5, 1, 2, 5]), (1, 1, [1, 2]), (0.03, 900, [0.01, 0.1, 1, 10, 100, 1000]), (1e-9, 1, None)],
)
def test_ticks_of_a_log_axis_are_1_2_5_or_powers_of_ten(low, high, ticks):
    expected = [1e-9, 1e-7, 1e-5, 1e-3, 0.1, 10] if ticks is None else ticks
    assert charts.style.log_ticks(low, high) == pytest.approx(expected)


def test_the_labels_of_p_cover_its_line_and_the_chosen_epoch_is_marked():
    made = Made([[0.5, 0.3, 0.2], [0.01, 0.5, 0.49]], [[0], [1]])
    history = frames.sample.sample_history(frames.sample.p_matrix(made), frames.sample.draw_matrix(made), 0, "x")
    spec = charts.sample.p_history(history, epoch=2).to_dict()
    (line,) = [layer for layer in spec["layer"] if layer["mark"]["type"] == "line"]
    low, high = line["encoding"]["y"]["scale"]["domain"]
    assert (low, high) == (line["encoding"]["y"]["axis"]["values"][0], line["encoding"]["y"]["axis"]["values"][-1])
    assert low <= history["times uniform"].min() < history["times uniform"].max() <= high
    rules = [layer for layer in spec["layer"] if layer["mark"]["type"] == "rule"]
    assert {"epoch": 2} in [row for rule in rules for row in spec["datasets"][rule["data"]["name"]]]


@pytest.mark.parametrize("dark", [False, True])
def test_the_map_marks_both_samples(run, dark):
    found = frames.sample.sample_map(run)
    spec = charts.sample.sample_map(
        found.grid, frames.sample.sample_places(found, [1, 2], ["a", "b"]), dark=dark
    ).to_dict()
    rows = [len(spec["datasets"][layer["data"]["name"]]) for layer in spec["layer"]]
    assert rows == [len(found.grid), 2]
