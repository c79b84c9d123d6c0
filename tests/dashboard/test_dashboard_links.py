"""A link says all that is needed to open the same page again; one selection, everywhere."""

from functools import partial

import pages
import pytest
from pages import images, ran, said, sheets
from streamlit.testing.v1 import AppTest
from synthetic import make_run

from aat_explore.dashboard import selection
from aat_explore.errors import AATError
from aat_explore.store.tags import Tags

opened = partial(pages.opened, "picks")


# --- Links -----------------------------------------------------------------------------------------------------------


def test_a_copied_link_opens_the_same_run_and_epoch_after_a_newer_run_was_trained(store):
    run = make_run(store, num_perturbed=100)
    link = dict(opened().query_params)
    assert (link["run"], link["epoch"]) == (run.id, "4")
    newer = make_run(store, num_perturbed=100, seed=1, epochs=6)
    make_run(store, num_perturbed=100, seed=2, epochs=6)
    assert opened().query_params["run"] != run.id
    again = opened(**link)
    assert images(again) == list(run.drawn(4))
    assert again.query_params["run"] == run.id != newer.id


def test_a_link_decides_everything_and_what_it_does_not_name_has_its_default(store):
    run = make_run(store, num_perturbed=100)
    app = opened(order="by p", **{"class": "Bag"})
    assert app.selectbox(key="order").value == "by p"
    ran(app, run=run.id, epoch=2)
    app = opened(run=run.id, epoch=2)
    assert app.selectbox(key="order").value == "as drawn"
    assert "order" not in app.query_params


def test_choices_that_are_defaults_are_not_in_the_url(store):
    make_run(store, num_perturbed=100)
    assert set(opened().query_params) == {"run", "epoch"}


def test_a_run_that_is_not_there_is_said_before_another_is_shown(store):
    run = make_run(store, num_perturbed=100)
    app = opened(run="fashion-mini-n5-p1-fgsm-s0-00000000")
    [warning] = app.warning
    assert "is not in this cache" in warning.value
    assert app.query_params["run"] == run.id


def test_a_run_without_picks_keeps_its_place_and_says_so(store):
    other = make_run(store, num_perturbed=100)
    none = make_run(store, num_perturbed=0)
    app = opened(run=none.id)
    assert "picked and perturbed nothing" in said(app)
    assert any(">Picks</h1>" in element.proto.body for element in app.get("html"))
    assert app.query_params["run"] == none.id
    app.button(key=f"instead {other.id}").click().run()
    assert app.query_params["run"] == other.id
    assert images(app) == list(other.drawn(4))


def test_a_local_run_comes_first_and_the_showcase_when_it_is_alone(tmp_path, monkeypatch, fresh_page):
    from aat_explore.store import Store

    monkeypatch.setenv("AAT_CACHE", str(tmp_path))
    shown = make_run(Store(tmp_path / "showcase"), num_perturbed=100)
    assert opened().query_params["run"] == shown.id
    local = make_run(Store(tmp_path), num_perturbed=100, epochs=2, seed=5)
    assert opened().query_params["run"] == local.id
    assert opened(run=shown.id).query_params["run"] == shown.id


def test_a_change_made_before_the_browser_has_taken_over_the_url_is_kept(store):
    run = make_run(store, num_perturbed=100)
    link = {"run": run.id, "epoch": "2", "order": "by p"}
    app = opened(**link)
    for epoch in (3, 1, 4):  # all sent with the link, as by a browser that is busy with drawing
        app.query_params = dict(link)
        app.slider(key="epoch").set_value(epoch).run()
        assert app.query_params["epoch"] == str(epoch)
    assert app.selectbox(key="order").value == "by p"


def test_a_change_made_while_a_link_is_drawn_is_kept_and_what_was_not_yet_drawn_is_as_the_link_says():
    def script():
        import streamlit as st

        from aat_explore.dashboard import choices

        choices.begin()
        choices.number("Epoch", 1, 9, 9, "epoch")
        choices.param("row", "0")
        if st.session_state.get("runs", 0) == 0:
            choices.set_param("row", "7")  # as a click would
        st.session_state["runs"] = st.session_state.get("runs", 0) + 1
        if st.session_state["runs"] < 3:
            st.stop()  # here the browser's next change interrupts the page, which writes no URL
        choices.choose("Order", ["drawn", "p"], "order")
        choices.write_url()

    app = AppTest.from_function(script)
    app.query_params = {"epoch": "2", "order": "p", "row": "3"}
    app.run()
    for epoch in (5, 6):
        app.slider[0].set_value(epoch).run()
    assert app.query_params == {"epoch": "6", "row": "7", "order": "p"}


def test_a_link_to_a_page_that_was_left_decides_again(store):
    run = make_run(store, num_perturbed=100)
    link = {"run": run.id, "epoch": "2"}
    app = opened(**link)
    app.slider(key="epoch").set_value(4).run()
    app.query_params.clear()  # as in the links to other pages
    app.run()
    assert app.slider(key="epoch").value == 4
    app.query_params = dict(link)  # Back
    assert app.run().slider(key="epoch").value == 2


# --- The selection ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [(0,), (3, 7, 8, 9), (0, 1, 2, 5, 54_999), tuple(range(0, 100, 2))])
def test_a_selection_as_text_is_the_same_selection(rows):
    assert selection.parsed(f"fashion-mini:{selection.compact(rows)}") == rows


@pytest.mark.parametrize("text", ["", "5", "x:", "x:a", "x:5-3", "x:-1", "x:1,,2", "x:0-99999999", "x:1e3", "x:1.5"])
def test_junk_is_no_selection(text):
    assert selection.parsed(text) is None


def test_a_linked_selection_is_marked_on_the_sheet_and_stays_in_the_url(store):
    run = make_run(store, num_perturbed=100)
    rows = sorted(int(row) for row in run.drawn(4)[:3])
    text = f"fashion-mini:{selection.compact(rows)}"
    app = opened(run=run.id, epoch=4, rows=text)
    assert sheets(app)[0]["selected"] == rows
    assert app.query_params["rows"] == text
    assert "Selection: 3 of Fashion-mini" in said(app)
    app.slider(key="epoch").set_value(2).run()
    assert sheets(app)[0]["selected"] == rows
    app.button(key="selection clear").click().run()
    assert sheets(app)[0]["selected"] == []
    assert "rows" not in app.query_params


def test_another_data_sets_selection_is_not_shown(store):
    make_run(store, num_perturbed=100)
    assert sheets(opened(rows="mnist:1-3"))[0]["selected"] == []


def test_a_selection_too_long_for_a_link_stays_in_the_session():
    def script():
        import streamlit as st

        from aat_explore.dashboard import choices, selection

        choices.begin()
        if st.button("put"):
            selection.put("mnist", range(0, 4000, 2))
        st.write(str(len(selection.rows("mnist"))))
        choices.write_url()

    app = AppTest.from_function(script).run()
    app.button[0].click().run()
    assert app.markdown[0].value == "2000"
    app.run()
    assert app.markdown[0].value == "2000"
    assert "rows" not in app.query_params


# --- Tags ------------------------------------------------------------------------------------------------------------


def test_a_tag_is_kept_beside_the_runs_and_of_its_data_set_only(tmp_path):
    tags = Tags("fashion-mini", tmp_path)
    tags.save("hard  sandals", [9, 3, 3])
    tags.save("Bags", [1])
    assert [(tag.name, tag.rows) for tag in tags.list()] == [("Bags", (1,)), ("hard sandals", (3, 9))]
    assert Tags("mnist", tmp_path).list() == []
    tags.save("Bags", [2])
    tags.remove("hard sandals")
    tags.remove("never there")
    assert [(tag.name, tag.rows) for tag in tags.list()] == [("Bags", (2,))]


def test_names_that_differ_are_files_that_differ_and_none_leaves_its_folder(tmp_path):
    tags = Tags("../x y", tmp_path)
    names = ["a b", "A B", "a-b", "../../up", "..", "ä", "ö", "x" * 60]
    for at, name in enumerate(names):
        tags.save(name, [at])
    assert {tag.name: tag.rows for tag in tags.list()} == {name: (at,) for at, name in enumerate(names)}
    assert all((tmp_path / "tags") in path.parents for path in tmp_path.rglob("*.json"))


@pytest.mark.parametrize(("name", "rows"), [("", [1]), (" ", [1]), ("x" * 61, [1]), ("x", []), ("x", [-1])])
def test_what_is_no_tag_is_an_error_and_nothing_is_written(tmp_path, name, rows):
    with pytest.raises(AATError, match=r"tag=|rows="):
        Tags("mnist", tmp_path).save(name, rows)
    assert not list(tmp_path.iterdir())


def test_a_damaged_tag_is_passed_over(tmp_path):
    tags = Tags("mnist", tmp_path)
    tags.save("good", [1])
    (next(tmp_path.rglob("*.json")).parent / "bad.json").write_text("junk")
    assert [tag.name for tag in tags.list()] == ["good"]


def test_a_tag_chosen_on_the_page_is_the_selection(store):
    run = make_run(store, num_perturbed=100)
    rows = tuple(sorted(int(row) for row in run.drawn(4)[:5]))
    Tags("fashion-mini", store.root).save("five", rows)
    app = opened()
    app.button(key="tag five").click().run()
    assert tuple(sheets(app)[0]["selected"]) == rows
    app.button(key="delete five").click().run()
    assert Tags("fashion-mini", store.root).list() == []
