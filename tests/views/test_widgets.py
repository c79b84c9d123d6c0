"""The explorers of notebooks, without a browser: what is shown is what the controls ask for, once a burst, in words."""

import asyncio
import base64
import io
import json
import threading
import time
from dataclasses import replace

import ipywidgets
import networks
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic import make_run

from aat_explore import datasets
from aat_explore.engine.networks import weights_of
from aat_explore.experiments import lab as attack_lab
from aat_explore.presets import preset
from aat_explore.store import Store, light_copy
from aat_explore.views import frames, gallery
from aat_explore.views.charts.files import JUPYTERLABS_KIND
from aat_explore.views.widgets import AttackExplorer, FilmstripExplorer, PickExplorer, SampleExplorer, explorer
from aat_explore.views.widgets.sheet import Sheet

VIEW = "application/vnd.jupyter.widget-view+json"
MINI = datasets.load("fashion-mini")


@pytest.fixture
def run(tmp_path):
    return make_run(Store(tmp_path), epochs=4, num_perturbed=300, num_recorded=40)


def click(sheet: Sheet, message: object) -> None:
    """What the browser sends when a button is pressed."""
    sheet._handle_custom_msg(message, [])


def redraws_of(shown) -> list[int]:
    """The epoch at each of an explorer's redraws from now on."""
    heard, draw = [], shown._draw

    def counted():
        heard.append(shown.epoch.value)
        return draw()

    shown._draw = counted
    return heard


# --- Picks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [1, 2, 4])
@pytest.mark.parametrize("order", list(frames.picks.ORDERS))
def test_the_sheet_of_picks_is_the_gallerys_of_that_epoch_and_order(run, epoch, order):
    shown = PickExplorer(run, MINI, count=9)
    shown.epoch.value, shown.order.value = epoch, order
    assert shown.sheet.png == gallery.picked_sheet(run, epoch, MINI, order=order, count=9)


def test_a_class_filter_leaves_that_class_alone_and_all_classes_brings_the_others_back(run):
    shown = PickExplorer(run, MINI, count=40)
    everything = shown.sheet.png
    shown.classes.value = "Bag"
    label = MINI.class_names.index("Bag")
    recorded = run.drawn(1)[:40]
    assert shown.state.rows == [row for row in recorded.tolist() if MINI.train.labels[row] == label]
    assert shown.state.rows
    shown.classes.value = shown.classes.options[0]
    assert shown.sheet.png == everything


@pytest.mark.parametrize("mode", ["clean", "adversarial", "difference"])
def test_one_column_alone_is_that_column_of_the_side_by_side(run, mode):
    shown = PickExplorer(run, MINI, count=9)
    columns = list(shown.state.images.values())
    shown.mode.value = mode
    (alone,) = shown.state.images.values()
    assert np.array_equal(alone, columns[["clean", "adversarial", "difference"].index(mode)])


def test_without_the_data_set_x_adv_is_shown_as_recorded(run):
    shown = PickExplorer(run, count=9)
    assert list(shown.state.images) == ["adversarial"]
    assert np.array_equal(shown.state.images["adversarial"], run.x_adv(1)[:9])
    assert len(shown.mode.options) == len(shown.classes.options) == 1


def test_the_words_of_an_epoch_are_its_draw_statistics(run):
    shown = PickExplorer(run, MINI)
    shown.epoch.value = 3
    found = frames.picks.draw_statistics(run, 3)
    assert f"Epoch 3: 300 of 5,000 images drawn; effective sample size {found.effective_sample_size:,.0f}," in (
        shown.words.value
    )
    assert f"Gini {found.gini:.2f}" in shown.words.value
    assert f"{found.overlap:.1%}" in shown.words.value


def test_playing_moves_the_slider_and_stepping_moves_the_player(run):
    shown = PickExplorer(run, MINI)
    shown.play.value = 3
    assert shown.epoch.value == 3
    shown.epoch.value = 2
    assert shown.play.value == 2
    assert (shown.play.min, shown.play.max) == (shown.epoch.min, shown.epoch.max) == (1, 4)


# --- One redraw for a burst, and never a stale picture ---------------------------------------------------------------


def test_a_burst_of_events_is_drawn_once_and_as_the_last_asks(run):
    shown = PickExplorer(run, MINI)
    heard = redraws_of(shown)

    async def burst():
        for epoch in (2, 3, 4, 3):
            shown.epoch.value = epoch
        assert heard == []
        await asyncio.sleep(5 * explorer.PAUSE)

    asyncio.run(burst())
    assert heard == [3]
    assert shown.sheet.png == gallery.picked_sheet(run, 3, MINI, count=12)


def test_without_an_event_loop_each_event_is_drawn_at_once(run):
    shown = PickExplorer(run, MINI)
    heard = redraws_of(shown)
    shown.epoch.value = 2
    shown.epoch.value = 4
    assert heard == [2, 4]


def test_what_is_displayed_in_a_burst_is_up_to_date_and_not_drawn_again(run):
    shown = PickExplorer(run, MINI)
    heard = redraws_of(shown)

    async def burst():
        shown.epoch.value = 4
        displayed = shown._repr_mimebundle_()
        await asyncio.sleep(3 * explorer.PAUSE)
        return displayed

    bundle = asyncio.run(burst())
    assert base64.b64decode(bundle["image/png"]) == gallery.picked_sheet(run, 4, MINI, count=12)
    assert heard == [4]


def test_events_of_two_threads_end_in_the_picture_of_the_last(run):
    """JupyterLab hands widgets' events to a thread of their own, while cells run in the kernel's."""
    shown = PickExplorer(run, MINI, count=2)

    async def events(epochs):
        for epoch in epochs:
            shown.epoch.value = epoch
            await asyncio.sleep(0.01)
        await asyncio.sleep(3 * explorer.PAUSE)

    threads = [threading.Thread(target=asyncio.run, args=(events(range(1, 5)),)) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.005)
    for thread in threads:
        thread.join()
    assert shown.sheet.png == gallery.picked_sheet(run, shown.epoch.value, MINI, count=2)


# --- Clicks ----------------------------------------------------------------------------------------------------------


def test_a_click_on_a_pick_shows_that_sample_also_after_the_sheet_has_changed(run):
    picks = PickExplorer(run, MINI)
    sample = SampleExplorer(run, MINI, follows=picks)
    for epoch in (1, 3):  # the same place on two sheets
        picks.epoch.value = epoch
        click(picks.sheet, {"clicked": 2})
        assert sample.image.value == run.drawn(epoch)[2]
        assert picks.sheet.shown["tiles"][2]["title"].startswith(f"#{sample.image.value},")


@pytest.mark.parametrize(
    "message", [{"clicked": -1}, {"clicked": 12}, {"clicked": "2"}, {"clicked": None}, {}, [], "x"]
)
def test_a_message_that_is_no_click_on_a_sample_is_not_heard(run, message):
    picks, heard = PickExplorer(run, MINI), []
    picks.on_click(heard.append)
    click(picks.sheet, message)
    assert heard == []


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("count", [1, 7, 24])
def test_each_button_covers_its_sample_and_caption_and_no_other(columns, count):
    images = {f"column {k}": np.full((count, 1, 28, 28), 200, np.uint8) for k in range(columns)}
    captions = [f"#{k} WWWWWWWWWWWWWWWWWWWWWWWWWW\nsecond line" for k in range(count)]
    plan = gallery.layout(images, captions)
    inked = np.asarray(Image.open(io.BytesIO(gallery.contact_sheet(images, captions))))[..., 3] > 0
    covered = np.zeros(inked.shape, dtype=int)
    for k in range(count):
        left, top, width, height = plan.box(k)
        covered[top : top + height, left : left + width] += 1
        assert inked[top : top + height, left : left + width].mean() > 0.5
    assert covered.max() == 1
    assert not (inked & (covered == 0))[gallery.HEADING :].any()


# --- One sample ------------------------------------------------------------------------------------------------------


def test_a_sample_is_shown_clean_and_as_recorded_in_each_epoch_that_drew_it(run):
    shown = SampleExplorer(run, MINI)
    image = int(run.drawn(2)[0])
    shown.choose(image)
    drawn_in = [epoch for epoch in range(1, 5) if image in run.drawn(epoch)]
    assert f"drawn in {len(drawn_in)} of 4 epochs ({', '.join(map(str, drawn_in))})" in shown.words.value
    pictures = shown.state.images[""]
    assert np.array_equal(pictures[0], MINI.train.images(np.array([image]))[0])
    recorded = [e for e in drawn_in if image in run.drawn(e)[:40]]
    assert [caption.split("\n")[0] for caption in shown.state.captions] == ["clean", *(f"epoch {e}" for e in recorded)]
    for picture, epoch in zip(pictures[1:], recorded, strict=True):
        assert np.array_equal(picture, run.x_adv(epoch)[run.drawn(epoch).tolist().index(image)])


def test_the_chart_of_a_sample_holds_its_p_of_every_epoch(run):
    shown = SampleExplorer(run, MINI)
    shown.choose(17)
    (output,) = shown.chart.outputs
    sets = [pd.DataFrame(rows) for rows in output["data"][JUPYTERLABS_KIND]["datasets"].values()]
    p = [float(run.probabilities(epoch)[17]) for epoch in range(1, 5)]
    assert any("rank" in rows and np.allclose(rows["p"], p, rtol=1e-6) for rows in sets)


def test_next_and_previous_walk_the_chosen_list(run):
    shown = SampleExplorer(run, MINI)
    shown.listing.value = "never drawn"
    never = frames.sample.never(frames.sample.draw_matrix(run))
    shown.next.click()
    assert shown.image.value == never[0]
    assert shown.previous.disabled
    shown.next.click()
    shown.next.click()
    assert shown.image.value == never[2]
    assert shown.place.value == f"3 of {len(never):,} (never drawn)"
    shown.previous.click()
    assert shown.image.value == never[1]
    shown.choose(int(never[-1]))
    assert shown.next.disabled


def test_a_row_beyond_the_training_split_is_brought_back_to_its_end(run):
    shown = SampleExplorer(run, MINI)
    shown.image.value = 10**9
    assert shown.image.value == 4999
    assert "Image 4999," in shown.words.value


# --- An attack -------------------------------------------------------------------------------------------------------


@pytest.fixture
def attacked():
    """An explorer of a network of a run; no store, for the network is not the run's."""
    network, asked = networks.fresh("StdCNN").eval(), []

    class Made:
        config, epoch = preset("mini", epsilon=0.1), 1

    def attack(image, label, attempt):
        asked.append(attempt)
        return attack_lab.attack(network, image, label, attempt)

    return AttackExplorer(Made(), MINI, attack), asked


def test_the_attack_made_is_the_one_that_the_controls_say(attacked):
    shown, asked = attacked
    assert asked[-1].kind == "fgsm"
    assert asked[-1].epsilon == pytest.approx(0.1)  # the training ε
    shown.kind.value, shown.epsilon.value, shown.steps.value, shown.image.value = "pgd", 0.05, 7, 3
    assert (asked[-1].kind, asked[-1].epsilon, asked[-1].steps) == ("pgd", pytest.approx(0.05), 7)
    clean, x_adv, signs = shown.state.images[""].astype(int)
    assert np.array_equal(clean[:1], MINI.test.images(np.array([3]))[0])
    largest = np.abs(x_adv - clean).max()
    assert 0 < largest <= 0.05 * 255 + 1
    up, down, still = x_adv[0] > clean[0], x_adv[0] < clean[0], x_adv[0] == clean[0]
    assert (signs[0] > signs[2])[up].all()  # orange
    assert (signs[0] < signs[2])[down].all()  # blue
    assert signs[:, still].min() >= 255 * (1 - 0.5 / (0.05 * 255))  # white, but for changes that were rounded away
    assert f"Test image 3, {MINI.class_names[MINI.test.labels[3]]}:" in shown.words.value
    assert "under PGD" in shown.words.value


def test_the_labs_explorer_attacks_the_runs_last_network(tmp_path):
    run = make_run(Store(tmp_path), epochs=1)
    network = networks.fresh("StdCNN")
    weights = weights_of(network)

    class Trained:
        config, epoch, id = run.config, 1, run.id

        def weights(self, epoch):
            return weights if epoch == 1 else None

    shown = attack_lab.explorer(Trained(), MINI)
    label = int(MINI.test.labels[0])
    attempt = frames.attack.Attempt("fgsm", run.config.epsilon, 20)
    expected = attack_lab.attack(network.eval(), MINI.test.images(np.array([0]))[0], label, attempt)
    assert np.array_equal(shown.state.images[""][1][:1], frames.attack.eight_bits(expected.x_adv))


# --- What cannot be shown is said ------------------------------------------------------------------------------------


@pytest.mark.parametrize("show", [PickExplorer, SampleExplorer])
def test_a_light_copy_says_what_it_lacks(run, tmp_path, show):
    light_copy(run, tmp_path / "light")
    shown = show(Store(tmp_path / "light").open(run.id), MINI)
    assert "holds a summary only, without the picks of each epoch" in shown.words.value
    assert shown.sheet.png is None
    assert shown.chart.outputs == ()
    assert set(shown._repr_mimebundle_()) == {VIEW, "text/plain"}


def test_a_run_that_picked_nothing_says_so_and_its_samples_can_be_seen(tmp_path):
    run = make_run(Store(tmp_path), epochs=2, num_perturbed=0)
    assert "n = 0" in PickExplorer(run, MINI).words.value
    sample = SampleExplorer(run, MINI)
    sample.choose(5)
    assert "Image 5," in sample.words.value
    assert len(sample.state.images[""]) == 1


def test_a_run_of_all_is_shown_without_p(tmp_path):
    run = make_run(Store(tmp_path), epochs=2, num_perturbed="all", num_recorded=10)
    picks = PickExplorer(run, MINI)
    assert "5,000 images perturbed, without sampling" in picks.words.value
    assert len(picks.state.rows) == 10
    sample = SampleExplorer(run, MINI, follows=picks)
    click(picks.sheet, {"clicked": 4})
    assert sample.image.value == 4
    assert "no p is recorded" in sample.words.value


def test_damage_is_said_in_words_and_gone_when_another_epoch_is_chosen(run):
    shown = PickExplorer(run, MINI)
    (run.path / "epochs/0002/x_adv.npy").unlink()
    shown.epoch.value = 2
    assert "epochs/0002/x_adv.npy is missing" in shown.words.value
    assert shown.sheet.png is None
    shown.epoch.value = 4
    assert shown.sheet.png == gallery.picked_sheet(run, 4, MINI, count=12)


def test_what_files_say_is_never_html(run):
    names = ("<img src=x onerror=alert(1)>", *MINI.class_names[1:])
    shown = SampleExplorer(run, replace(MINI, class_names=names))
    shown.choose(int(np.flatnonzero(MINI.train.labels == 0)[0]))
    assert "&lt;img src=x" in shown.words.value
    assert "<img" not in shown.words.value


# --- Where no kernel runs --------------------------------------------------------------------------------------------


def test_a_displayed_explorer_carries_its_picture_and_words_beside_the_widget(run):
    shown = PickExplorer(run, MINI)
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {VIEW, "image/png", "text/plain"}
    assert bundle[VIEW]["model_id"] == shown.box.model_id
    assert base64.b64decode(bundle["image/png"]) == shown.sheet.png
    assert bundle["text/plain"].startswith("Epoch 1: 300 of 5,000 images drawn")
    json.dumps(bundle)


def test_html_of_a_notebook_without_widget_state_shows_the_picture(run):
    from nbconvert import HTMLExporter
    from nbformat import v4

    shown = PickExplorer(run, MINI)
    output = v4.new_output("display_data", data=shown._repr_mimebundle_())
    page, _ = HTMLExporter().from_notebook_node(v4.new_notebook(cells=[v4.new_code_cell("picks", outputs=[output])]))
    assert f"data:image/png;base64,{base64.b64encode(shown.sheet.png).decode()}" in page.replace("\n", "")


def test_every_control_is_displayed(run):
    shown = [PickExplorer(run, MINI), SampleExplorer(run, MINI)]
    for one in shown:
        displayed = set()
        waiting = [one.box]
        while waiting:
            widget = waiting.pop()
            displayed.add(widget)
            waiting += getattr(widget, "children", ())
        assert {value for value in vars(one).values() if isinstance(value, ipywidgets.Widget)} <= displayed


# --- Filmstrip and selection -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", frames.filmstrip.ORDERS)
def test_the_filmstrip_shows_the_clean_images_of_each_epochs_row(run, order):
    shown = FilmstripExplorer(run, MINI, per_row=6)
    shown.order.value = order
    film = frames.filmstrip.filmstrip(run, [1, 2, 3, 4], 6, order, MINI)
    assert shown.state.rows == [row for of_epoch in film for row in of_epoch.rows.tolist()]
    assert shown.sheet.png == gallery.strip(
        {f"epoch {of_epoch.epoch}": MINI.train.images(of_epoch.rows) for of_epoch in film}
    )
    assert [tile["title"] for tile in shown.sheet.shown["tiles"]] == [t for of_epoch in film for t in of_epoch.titles]


def test_the_tiles_of_a_filmstrip_lie_on_their_images(run):
    shown = FilmstripExplorer(run, MINI, per_row=6)
    picture = np.asarray(Image.open(io.BytesIO(shown.sheet.png)).convert("L"))
    for tile, row in zip(shown.sheet.shown["tiles"], shown.state.rows, strict=True):
        left, top, width, height = tile["box"]
        image = MINI.train.images(np.array([row]))[0, 0]
        assert np.array_equal(picture[top : top + height : 2, left : left + width : 2], image)


def test_a_class_that_no_epoch_picked_leaves_words(tmp_path):
    few = make_run(Store(tmp_path), epochs=2, num_perturbed=1, num_recorded=1)
    shown = FilmstripExplorer(few, MINI)
    labels = {int(MINI.train.labels[row]) for row in shown.state.rows}
    missing = next(name for label, name in enumerate(MINI.class_names) if label not in labels)
    shown.classes.value = missing
    assert shown.sheet.png is None
    assert "None was picked" in shown.words.value


@pytest.mark.parametrize("kind", [PickExplorer, FilmstripExplorer])
def test_rows_are_the_selected_samples_wherever_they_are_shown(run, kind):
    shown = kind(run, MINI)
    first, second = shown.state.rows[:2]
    click(shown.sheet, {"selected": 1})
    click(shown.sheet, {"selected": 0})
    assert shown.rows == sorted({first, second})
    assert shown.sheet.selected == [at for at, row in enumerate(shown.state.rows) if row in (first, second)]
    click(shown.sheet, {"selected": 1})
    assert shown.rows == [first]
    shown.order.value = shown.order.options[-1]
    assert shown.sheet.selected == [at for at, row in enumerate(shown.state.rows) if row == first]
    shown.rows = [5, 3]
    assert shown.rows == [3, 5]


def test_a_selection_that_points_nowhere_is_ignored(run):
    shown = PickExplorer(run, MINI, count=9)
    for message in ({"selected": 9}, {"selected": -1}, {"selected": "0"}, {}, "selected"):
        click(shown.sheet, message)
    assert shown.rows == []
