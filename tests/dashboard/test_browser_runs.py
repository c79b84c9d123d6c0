"""The table of runs in a real browser: sorting, opening and ticking."""

import pytest
from synthetic import make_evaluation, make_run

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def ids(served_store):
    """Four runs whose clean accuracies rise with their seeds: ids by seed."""
    runs = [make_run(served_store, epochs=2, seed=seed, evaluated=False) for seed in range(4)]
    for seed, run in enumerate(runs):
        with served_store.writer(run.config) as writer:
            writer.add_evaluation(make_evaluation(run.config, 2, num_correct=(1000 + 100 * seed, *[10] * 8)))
    return [run.id for run in runs]


def lines(tab) -> list[str]:
    return tab.locator("tbody tr").evaluate_all("lines => lines.map((line) => line.dataset.id)")


def opened(tab) -> str:
    return tab.locator('tr[aria-current="true"]').get_attribute("data-id")


def test_sorting_by_a_header_orders_the_rows_and_opens_no_other_run(tab, ids):
    tab.goto(f"/runs?run={ids[1]}")
    tab.locator("tbody tr").nth(3).wait_for()
    original = lines(tab)
    header = tab.get_by_role("button", name="clean", exact=True)
    header.click()
    assert lines(tab) == ids[::-1]
    tab.get_by_role("columnheader", name="clean").and_(tab.locator('[aria-sort="descending"]')).wait_for()
    tab.locator("th", has_text="clean").get_by_role("button").click()
    assert lines(tab) == ids
    tab.locator("th", has_text="clean").get_by_role("button").click()
    assert lines(tab) == original
    assert opened(tab) == ids[1]
    assert f"run={ids[1]}" in tab.url


def test_a_click_on_a_row_opens_its_run_at_once_and_the_charts_are_on_the_same_screen(new_tab, ids):
    tab = new_tab()
    tab.set_viewport_size({"width": 1440, "height": 900})
    tab.goto(f"/runs?run={ids[1]}")
    tab.locator(f'tr[data-id="{ids[2]}"]').click()
    assert opened(tab) == ids[2]
    tab.wait_for_url(f"**/runs?run={ids[2]}")
    tab.get_by_test_id("stMain").get_by_text("seed 2 · 2 of 2 epochs").wait_for()
    charts = tab.get_by_test_id("stVegaLiteChart")
    charts.nth(1).wait_for()
    assert all(box["y"] + box["height"] <= 900 for box in (charts.nth(at).bounding_box() for at in range(2)))


def test_the_table_is_worked_by_the_keyboard(tab, ids):
    tab.goto(f"/runs?run={ids[0]}")
    line = tab.locator(f'tr[data-id="{ids[3]}"]')
    line.get_by_role("button").press("Enter")
    tab.wait_for_url(f"**/runs?run={ids[3]}")
    line.get_by_role("checkbox").press("Space")
    tab.wait_for_url(f"**/runs?run={ids[3]}&ticked={ids[3]}")
    assert opened(tab) == ids[3]


def test_ticked_runs_stay_ticked_when_sorted_and_are_compared_by_the_button(tab, ids):
    tab.goto(f"/runs?run={ids[1]}")
    for run_id in (ids[3], ids[0]):
        tab.locator(f'tr[data-id="{run_id}"]').get_by_role("checkbox").click()
    tab.get_by_role("button", name="clean", exact=True).click()
    ticked = tab.locator("tbody tr", has=tab.locator("input:checked"))
    assert ticked.evaluate_all("lines => lines.map((line) => line.dataset.id)") == [ids[3], ids[0]]
    assert opened(tab) == ids[1]
    tab.get_by_role("button", name="Compare ticked (2)").click()
    tab.wait_for_url(f"**/compare?run={ids[3]}**")
