"""The Compare page on normal, empty, partial and damaged caches, and its state in the URL."""

import re
from functools import partial

import pages
from pages import HOSTILE, said, sheets
from synthetic import make_evaluation, make_run

from aat_explore.dashboard import page
from aat_explore.store import Store, light_copy

opened = partial(pages.opened, "compare")


def two_of_each(store, **fields):
    """n = 100 and n = 1000 of two seeds: ids by (n, seed)."""
    return {(n, seed): make_run(store, num_perturbed=n, seed=seed, **fields).id for n in (100, 1000) for seed in (0, 1)}


def table(app) -> str:
    """The table of results."""
    return next(part.value for part in app.markdown if part.value.startswith("| run |"))


def test_the_open_run_is_compared_with_its_nearest_neighbour_without_a_word_of_complaint(store):
    ids = two_of_each(store)
    app = opened(run=ids[100, 0])
    assert pages.chosen_run(app) == ids[100, 0]
    assert pages.chosen_run(app, "with") == ids[1000, 0]
    assert not app.warning
    assert not app.error
    assert len(app.get("vega_lite_chart")) == 4
    assert "differ in **n, perturbed per epoch**: 100 (A), 1000 (B)" in said(app).replace("\\", "")
    pairs, means, differences = (part.value for part in app.dataframe)
    assert differences.to_dict("list") == {"setting": ["num_perturbed"], "A": ["100"], "B": ["1000"]}
    assert pairs["seed"].tolist() == [0, 1]
    assert means["seeds"].tolist() == [2, 2]


def test_the_first_thing_told_is_clean_and_robust_accuracy_and_their_difference_in_points(store):
    ids = two_of_each(store, evaluated=False)
    for run_id, counts in ((ids[100, 0], (1700, 300)), (ids[1000, 0], (1640, 700))):
        with store.writer(store.open(run_id).config) as writer:
            writer.add_evaluation(make_evaluation(store.open(run_id).config, 4, epsilons=(0, 0.3), num_correct=counts))
    lines = table(opened(run=ids[100, 0])).splitlines()
    assert "ε 0.3" in lines[0]
    assert "A · n 100 · Norm | 85.0% | 15.0%" in lines[2].replace("\\", "")
    assert "B · n 1,000 · Norm | 82.0% | 35.0%" in lines[3].replace("\\", "")
    assert "*B − A* | **−3.0 points** | **+20.0 points**" in lines[4]


def test_two_summaries_are_not_the_first_choice(store):
    for seed in (3, 4):
        light_copy(make_run(Store(store.root / "other"), epochs=2, seed=seed), store.root)
    full = {make_run(store, epochs=2, seed=seed).id for seed in (1, 2)}
    app = opened()
    assert {pages.chosen_run(app), pages.chosen_run(app, "with")} == full


def test_the_neighbour_follows_a_run_opened_elsewhere_until_one_is_chosen(store):
    ids = two_of_each(store)
    app = opened(run=ids[100, 0])
    app.session_state["asked run"] = ids[1000, 1]  # as a link of another page does
    app.run()
    assert pages.chosen_run(app, "with") == ids[100, 1]
    app.session_state["asked with"] = ids[1000, 0]
    app.run()
    app.session_state["asked run"] = ids[100, 0]
    app.run()
    assert pages.chosen_run(app, "with") == ids[1000, 0]


def test_the_url_chooses_runs_pair_measure_and_list(store):
    ids = two_of_each(store)
    wanted = {"run": ids[1000, 1], "with": ids[100, 1], "third": ids[100, 0]}
    app = opened(**wanted, pair="B and C", curve="FGSM", only="most unequally")
    assert [pages.chosen_run(app, key) for key in wanted] == list(wanted.values())
    assert len(table(app).splitlines()) == 2 + 3 + 2
    assert "differ in no more than the seed" in said(app)
    assert "samples picked most unequally" in said(app)
    app.button(key="remove third").click().run()
    assert "third" not in app.query_params
    assert len(table(app).splitlines()) == 2 + 2 + 1


def test_junk_in_the_url_falls_back_with_a_note(store):
    two_of_each(store)
    app = opened(**{"run": "../../etc", "with": "x"}, curve="x", only="y", at="z", sheet="-4")
    assert said(app).count(":material/link_off:") >= 5
    assert len(app.get("vega_lite_chart")) == 4


def test_samples_of_each_alone_stand_side_by_side_and_are_paged_through(store):
    ids = two_of_each(store)
    app = opened(run=ids[100, 0], **{"with": ids[1000, 1]})
    one, other = (
        {int(row) for epoch in range(1, 5) for row in store.open(run_id).drawn(epoch)}
        for run_id in (ids[100, 0], ids[1000, 1])
    )
    assert f"**{len(one - other):,} samples only A picked**" in said(app)
    assert f"**{len(other - one):,} samples only B picked**" in said(app)
    first, second = sheets(app)
    assert len(first["titles"]) == min(40, len(one - other))
    assert len(second["titles"]) == 40
    last = -(-len(other - one) // 40)
    app.number_input(key="sheet").set_value(last).run()
    assert f"{40 * (last - 1) + 1:,} to {len(other - one):,}" in said(app)


def test_one_run_and_no_run_get_the_way_on(store):
    assert "aat demo" in said(opened())
    run = make_run(store, epochs=1)
    assert "aat train --seed 1" in said(opened())
    make_run(store, epochs=1, seed=1)
    app = opened(run=run.id, **{"with": run.id})
    assert pages.chosen_run(app, "with") != run.id
    assert len(app.get("vega_lite_chart")) == 4


def test_runs_of_different_data_sets_are_told_why_they_share_nothing(store):
    one, other = make_run(store), make_run(store, dataset="mnist", num_perturbed=100)
    app = opened(run=one.id, **{"with": other.id})
    assert "pick from different training images" in said(app)
    assert "no sample that only one of them could have picked" in said(app)
    assert len(app.get("vega_lite_chart")) == 3
    assert not sheets(app)


def test_standard_training_picks_nothing_and_is_compared_in_the_rest(store):
    run, none = make_run(store), make_run(store, num_perturbed=0)
    app = opened(run=none.id, **{"with": run.id})
    assert "n = 0 and warm-up pick none" in said(app)
    assert "**0 samples only A picked**" in said(app)
    assert app.dataframe[0].value["seed"].tolist() == [0]
    (shown,) = sheets(app)
    assert len(shown["titles"]) == 70


def test_warm_up_and_full_training_without_p_are_compared(store):
    warm, full = make_run(store, warmup_epochs=2), make_run(store, num_perturbed="all")
    app = opened(run=warm.id, **{"with": full.id})
    assert len(app.get("vega_lite_chart")) == 4
    assert not app.error


def test_runs_tested_in_different_ways_or_not_at_all_make_no_pair(store):
    run, not_yet = make_run(store), make_run(store, num_perturbed=100, committed=2, evaluated=False)
    app = opened(run=run.id, **{"with": not_yet.id})
    assert f"aat evaluate {not_yet.id}" in said(app)
    assert len(app.get("vega_lite_chart")) == 4
    assert "in epochs 1 to 2" in said(app)
    with store.writer(not_yet.config) as writer:
        writer.add_evaluation(make_evaluation(not_yet.config, 2, attack={"kind": "pgd", "steps": 5}))
    assert "no evaluation on test images in common" in said(opened(run=run.id, **{"with": not_yet.id}))


def test_runs_without_a_common_seed_make_no_pair(store):
    one, other = make_run(store), make_run(store, num_perturbed=100, seed=1)
    assert "There is no seed with a run of both kinds" in said(opened(run=one.id, **{"with": other.id}))


def test_without_images_the_samples_are_a_table(store):
    for n in (100, 300):
        make_run(store, dataset="mnist", num_perturbed=n)
    app = opened()
    assert page.plain("AAT_DATA") in said(app)
    assert not sheets(app)
    assert {"image", "first", "second", "difference"} in [set(part.value.columns) for part in app.dataframe]


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
    assert len(app.get("vega_lite_chart")) == 4


def test_hostile_names_are_shown_and_not_obeyed(store):
    hostile = make_run(store, dataset=HOSTILE, epochs=1, num_perturbed=100)
    app = opened(run=hostile.id, **{"with": make_run(store, dataset="mnist", epochs=1).id})
    assert not app.error
    texts = [part.value for part in [*app.info, *app.markdown, *app.caption]]
    assert any(page.plain(HOSTILE) in text for text in texts)
    for text in texts:
        assert not re.search(r"(?<!\\)(\*\*bold|`x|\$y|:red|\]\(http|<img)", text)


def test_a_run_deleted_while_it_is_viewed_is_replaced_with_a_note(store):
    ids = two_of_each(store)
    app = opened(run=ids[100, 0], **{"with": ids[100, 1]})
    run = store.open(ids[100, 1])
    run.path.rename(run.path.parents[1] / "gone")
    app.run()
    assert not app.exception
    assert "is not in this cache" in said(app)
    assert pages.chosen_run(app, "with") == ids[1000, 0]
