"""Trainings that are started, followed and stopped in a real browser, by real trainers."""

import re
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from waiting import wait_for

from aat_explore.config import RunConfig
from aat_explore.jobs import queue as training_queue
from aat_explore.jobs.queue import Entry
from aat_explore.presets import preset
from aat_explore.store import Store
from aat_explore.views.names import full_name

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SMALL = {"num_perturbed": 20, "batch_size": 512, "val_attack_images": 10, "val_attack_steps": 1}
TRAINING = 300  # seconds until a trainer has done what takes it ten on an idle machine


@pytest.fixture(scope="module", autouse=True)
def _no_process_outlives_the_server(served_store):
    yield
    end_all(served_store.root)


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test(served_store, _no_process_outlives_the_server):
    yield
    end_all(served_store.root)


def at_work(cache: Path) -> list[psutil.Process]:
    """Workers and trainers of this cache, known by their command lines."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:  # it ended in this instant
            continue
        if "streamlit" not in words and any(word.endswith(str(cache)) for word in words):
            found.append(process)
    return found


def end_all(cache: Path) -> None:
    """End every worker and trainer of this cache, and what one may start while another is ended."""

    def gone() -> bool:
        found = at_work(cache)
        for process in found:
            process.kill()
        return not found

    wait_for(gone)


def entry_of(config: RunConfig, store: Store) -> Entry | None:
    """The job of this run, once it is in the queue."""
    entries = training_queue.listing(store.root).entries
    return next((entry for entry in entries if entry.job.config == config), None)


def epochs_printed(config: RunConfig, store: Store) -> int:
    """The last epoch that the trainer says it finished; 0 before the first."""
    entry = entry_of(config, store)
    said = re.findall(r"^epoch (\d+)/", "\n".join(entry.log_lines()), re.MULTILINE) if entry else []
    return int(said[-1]) if said else 0


def started(tab, config: RunConfig) -> None:
    """Start a run by the form: its seed typed, its other settings from the link; on one thread, not evaluated."""
    fields = config.model_dump_json(exclude={"seed"}, exclude_defaults=True)
    tab.goto(f"/train?fields={quote(fields)}")
    tab.get_by_role("textbox", name="Seeds").fill(str(config.seed))
    tab.keyboard.press("Enter")
    tab.get_by_text("All other settings").click()
    tab.get_by_role("spinbutton", name="CPU threads").fill("1")
    tab.keyboard.press("Enter")
    tab.get_by_text("Evaluate at the end").click()
    tab.get_by_text("As a command").click()
    command = tab.get_by_role("code").filter(has_text=f"--seed={config.seed} ")
    command.filter(has_text="--threads=1 ").filter(has_text="--no-evaluate ").wait_for(state="attached")
    tab.get_by_text(f"{full_name(config)}: new, {config.epochs} epochs").wait_for()
    tab.get_by_role("button", name="Start", exact=True).click()


def in_queue(tab, config: RunConfig, state: str):
    """The words in the queue that say a run's state."""
    return tab.get_by_text(f"{full_name(config)}: {state}")


def test_a_training_goes_on_when_its_page_is_closed_and_is_then_among_the_runs(new_tab, served_store):
    config = preset("mini", epochs=5, seed=7, **SMALL)
    first = new_tab()
    started(first, config)
    wait_for(lambda: epochs_printed(config, served_store), TRAINING)
    trainer = psutil.Process(entry_of(config, served_store).job.pid)
    trainer.suspend()  # so that there is half a training to be seen, however slow the browser
    try:
        done = served_store.open(config.run_id).epoch
        assert 1 <= done < 5
        in_queue(first, config, "running").wait_for()
        first.get_by_text(re.compile(rf"^{done} of 5 epochs; about .* left$")).wait_for()
        first.get_by_text("Log", exact=True).click()
        first.get_by_text("epoch 1/5 ").wait_for()
        first.locator(".tiles .label", has_text=f"epoch {done}").wait_for()  # its latest picks
        first.context.close()
    finally:
        trainer.resume()
    wait_for(lambda: entry_of(config, served_store).job.state != "running", TRAINING)
    assert entry_of(config, served_store).job.state == "done"
    assert served_store.open(config.run_id).epoch == 5

    second = new_tab()
    second.goto("/train")
    in_queue(second, config, "done").wait_for()
    second.goto(f"/runs?run={config.run_id}")
    second.get_by_role("table", name="Runs in the cache").locator("td", has_text=config.run_id).wait_for()
    second.get_by_text("5 of 5 epochs, complete").wait_for()


def test_a_stopped_training_keeps_its_finished_epochs_and_leaves_nothing_running(tab, served_store):
    config = preset("mini", epochs=9999, seed=8, **SMALL)
    started(tab, config)
    wait_for(lambda: epochs_printed(config, served_store), TRAINING)
    wait_for(lambda: len(at_work(served_store.root)) == 2)  # the worker and its trainer
    tab.get_by_text(re.compile(r"^\d+ of 9999 epochs; about .* left$")).wait_for()
    tab.get_by_test_id("stMain").get_by_role("button", name="Stop", exact=True).click()
    in_queue(tab, config, "stopped").wait_for()
    wait_for(lambda: not at_work(served_store.root))

    job, run = entry_of(config, served_store).job, served_store.open(config.run_id)
    assert (job.state, job.reason) == ("stopped", "")
    assert 1 <= run.epoch == epochs_printed(config, served_store)
    assert not run.training
    run.verify()
    assert run.metrics()["epoch"].tolist() == list(range(1, run.epoch + 1))
    assert all(len(run.drawn(epoch)) == 20 for epoch in range(1, run.epoch + 1))
    tab.get_by_text(f"{full_name(config)}: was cut off: resumes at epoch {run.epoch + 1} of 9999").wait_for()
    tab.get_by_role("button", name="Resume", exact=True).click()
    in_queue(tab, config, "running").wait_for()
    wait_for(lambda: served_store.open(config.run_id).epoch > run.epoch, TRAINING)
