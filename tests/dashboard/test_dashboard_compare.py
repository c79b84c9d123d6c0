"""The Compare page on normal, empty, partial and damaged caches, and its state in the URL."""

import re
from functools import partial

import pages
from pages import HOSTILE, said, sheets
from synthetic import make_evaluation, make_run

from aat_explore.dashboard import page

opened = partial(pages.opened, "compare")


def two_of_each(store, **fields):
    """n = 100 and n = 1000 of two seeds: ids by (n, seed)."""
    return {(n, seed): make_run(store, num_perturbed=n, seed=seed, **fields).id for n in (100, 1000) for seed in (0, 1)}


def test_two_runs_are_compared_without_a_word_of_complaint(store):
    ids = two_of_each(store)
    app = opened()
    assert app.multiselect(key="compare").value == [ids[100, 0], ids[1000, 0]]
    assert not app.warning
    assert not app.error
    assert len(app.get("vega_lite_chart")) == 2
    differences, _, pairs, means = (table.value for table in app.dataframe)
    assert differences.to_dict("list") == {"setting": ["num_perturbed"], "A": ["100"], "B": ["1000"]}
    assert pairs["seed"].tolist() == [0, 1]
    assert means["seeds"].tolist() == [2, 2]
    assert len(sheets(app)) == 1


def test_the_url_chooses_runs_pair_measure_and_list(store):
    ids = two_of_each(store)
    wanted = [ids[1000, 1], ids[100, 1], ids[100, 0]]
    app = opened(compare=wanted, pair="B and C", curve="clean accuracy", only="most unequally")
    assert app.multiselect(key="compare").value == wanted
    assert f"First: B, {page.plain(ids[100, 1])}. Second: C, {page.plain(ids[100, 0])}." in said(app)
    assert "differ in no more than the seed" in said(app)
    assert "On validation images" in said(app)
    assert "drawn by either in epochs 1 to 4" in said(app)


def test_junk_in_the_url_falls_back_with_a_note(store):
    ids = two_of_each(store)
    app = opened(compare="../../etc", pair="Z and Y", curve="x", only="y", at="z", test="w", sheet="-4")
    assert app.multiselect(key="compare").value == [ids[100, 0], ids[1000, 0]]
    assert said(app).count(":material/link_off:") >= 4


def test_the_gallery_counts_and_pages_through_all_of_them(store):
    ids = two_of_each(store)
    app = opened(compare=[ids[100, 0], ids[1000, 0]], only="only B")
    one, other = (
        {int(row) for epoch in range(1, 5) for row in store.open(ids[n, 0]).drawn(epoch)} for n in (100, 1000)
    )
    total = len(other - one)
    assert f"Showing 60 of {total:,} samples (1 to 60)" in said(app)
    last = -(-total // 60)
    app.number_input(key="sheet").set_value(last).run()
    assert f"of {total:,} samples ({60 * (last - 1) + 1:,} to {total:,})" in said(app)


def test_one_run_and_no_run_get_the_way_on(store):
    assert "aat demo" in said(opened())
    run = make_run(store, epochs=1)
    assert "aat train --seed 1" in said(opened())
    make_run(store, epochs=1, seed=1)
    app = opened(compare=[run.id])
    assert "Choose at least two runs" in said(app)
    assert not app.get("vega_lite_chart")


def test_runs_of_different_data_sets_are_told_why_they_share_nothing(store):
    one, other = make_run(store), make_run(store, dataset="mnist", num_perturbed=100)
    app = opened(compare=[one.id, other.id])
    assert "draw from different training images" in said(app)
    assert "no sample that only one of them could have drawn" in said(app)
    assert len(app.get("vega_lite_chart")) == 1
    assert not sheets(app)


def test_standard_training_draws_nothing_and_is_compared_in_the_rest(store):
    run, none = make_run(store), make_run(store, num_perturbed=0)
    app = opened(compare=[none.id, run.id])
    assert "n = 0 and warm-up draw none" in said(app)
    assert "In epochs 1 to 4 no sample was drawn by A alone." in said(app)
    assert app.dataframe[1].value["seed"].tolist() == [0]
    app = opened(compare=[none.id, run.id], only="only B")
    assert len(sheets(app)) == 1


def test_warm_up_and_full_training_without_p_are_compared(store):
    warm, full = make_run(store, warmup_epochs=2), make_run(store, num_perturbed="all")
    app = opened(compare=[warm.id, full.id])
    assert len(app.get("vega_lite_chart")) == 2
    assert not app.error


def test_runs_tested_in_different_ways_or_not_at_all_make_no_pair(store):
    run, not_yet = make_run(store), make_run(store, num_perturbed=100, committed=2, evaluated=False)
    app = opened(compare=[run.id, not_yet.id])
    assert f"aat evaluate {not_yet.id}" in said(app)
    assert len(app.get("vega_lite_chart")) == 2
    assert "in epochs 1 to 2" in said(app)
    with store.writer(not_yet.config) as writer:
        writer.add_evaluation(make_evaluation(not_yet.config, 2, attack={"kind": "pgd", "steps": 5}))
    assert "no evaluation on test images in common" in said(opened(compare=[run.id, not_yet.id]))


def test_runs_without_a_common_seed_make_no_pair(store):
    one, other = make_run(store), make_run(store, num_perturbed=100, seed=1)
    assert "There is no seed with a run of both kinds" in said(opened(compare=[one.id, other.id]))


def test_without_images_the_samples_are_a_table(store):
    for n in (100, 300):
        make_run(store, dataset="mnist", num_perturbed=n)
    app = opened()
    assert page.plain("AAT_DATA") in said(app)
    assert not sheets(app)
    assert set(app.dataframe[-1].value.columns) == {"image", "first", "second", "difference"}


def test_a_damaged_epoch_is_a_message(store):
    make_run(store, seed=1)
    run = make_run(store)
    (run.path / "epochs/0002/drawn.npy").write_bytes(b"junk")
    app = opened()
    assert page.plain("epochs/0002/drawn.npy is damaged") in app.error[0].value


def test_a_damaged_run_is_named_and_the_others_are_compared(store):
    two_of_each(store)
    (make_run(store, epochs=1, seed=7).path / "config.json").write_text("junk")
    app = opened()
    assert len(app.warning) == 1
    assert len(app.get("vega_lite_chart")) == 2


def test_hostile_names_are_shown_and_not_obeyed(store):
    for lr in (0.1, 0.2):
        make_run(store, dataset=HOSTILE, epochs=1, num_perturbed=100, lr=lr)
    make_run(store, dataset="mnist", epochs=1)
    app = opened(compare=[run.id for run in store.list().runs])
    assert not app.error
    texts = [part.value for part in [*app.info, *app.markdown, *app.caption]]
    assert any(page.plain(HOSTILE) in text for text in texts)
    for text in texts:
        assert not re.search(r"(?<!\\)(\*\*bold|`x|\$y|:red|\]\(http|<img)", text)


def test_a_run_deleted_while_it_is_viewed_is_dropped(store):
    ids = two_of_each(store)
    app = opened(compare=[ids[100, 0], ids[100, 1]])
    run = store.open(ids[100, 1])
    run.path.rename(run.path.parents[1] / "gone")
    app.run()
    assert not app.exception
    assert ids[100, 1] not in app.multiselect(key="compare").options
