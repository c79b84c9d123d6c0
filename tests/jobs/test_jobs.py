"""Workers: started one way, heard when told to stop, and doing a task twice is doing it once."""

import signal
import subprocess
import tempfile
from contextlib import contextmanager

import pytest
from synthetic import make_report, make_run
from waiting import wait_for

from aat_explore.config import AttackConfig, EvaluationConfig, RunConfig
from aat_explore.jobs import grid, queue, worker
from aat_explore.jobs.job import Job, Task
from aat_explore.jobs.standing import standing
from aat_explore.places import Place
from aat_explore.presets import PRESETS, preset
from aat_explore.store import Store

SMALL = {"num_perturbed": 20, "batch_size": 512, "val_attack_images": 10, "val_attack_steps": 1}
ENDLESS = preset("mini", epochs=9999, **SMALL)
TRAINING = 300  # seconds until a trainer has done what takes it ten on an idle machine

OF_VERSION_0_1_1 = """{
 "config": {
  "dataset": "fashion-mnist",
  "model": "StdCNN",
  "num_perturbed": 100,
  "norm_power": 1.0,
  "score": "gradient-norm",
  "scoring": "epoch-start",
  "score_every": 1,
  "replacement": false,
  "perturbing_network": "epoch-start",
  "drawn_samples": "replace",
  "warmup_epochs": 0,
  "epsilon": 0.3,
  "attack": {
   "kind": "pgd",
   "steps": 7,
   "step_size": null,
   "random_start": null,
   "label": "true"
  },
  "epochs": 100,
  "batch_size": 128,
  "optimizer": "adam",
  "lr": 0.001,
  "momentum": 0.9,
  "weight_decay": 0.0,
  "lr_milestones": [],
  "dropout": 0.5,
  "precision": "float32",
  "normalize": true,
  "augment": false,
  "val_attack_steps": 10,
  "val_attack_images": 1000,
  "num_recorded": 100,
  "seed": 3
 },
 "evaluate": false,
 "device": "cpu",
 "threads": 2,
 "state": "stopped",
 "pid": 4321,
 "began": "b 99",
 "reason": ""
}"""


@contextmanager
def started_by_a_shell_with_an_ampersand():
    """SIGINT is ignored, by this process and by what it starts."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def epochs_done(config: RunConfig, cache) -> int:
    return standing(Task(config=config), cache).epoch


# --- The queue's files -----------------------------------------------------------------------------------------------


def test_a_job_that_version_0_1_1_wrote_is_read(tmp_path):
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / "000001.json").write_text(OF_VERSION_0_1_1)
    found = queue.listing(tmp_path)
    assert not found.damaged
    config = preset("letter-fashion", seed=3, num_perturbed=100, attack=AttackConfig(kind="pgd", steps=7))
    expected = Job(
        config=config, evaluate=False, device="cpu", threads=2, state="stopped", pid=4321, began="b 99", reason=""
    )
    assert [entry.job for entry in found.entries] == [expected]
    assert queue.enqueue(tmp_path, Job(config=config)).name == "000002"


# --- A task ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_the_words_of_a_worker_hold_the_whole_task(config, tmp_path):
    task = Task(config=config, test=EvaluationConfig(images=7, epsilons=(0.0, 0.1)), check_images=3, threads=2)
    _, *words, where, fields = worker.command(task, tmp_path)
    assert words == ["-m", "aat_explore.jobs.worker"]
    assert where == f"--cache-dir={tmp_path}"
    assert Task.model_validate_json(fields) == task
    assert fields.isascii()


def test_a_task_without_a_test_stays_without_one(tmp_path):
    task = Task(config=RunConfig(), test=None)
    assert Task.model_validate_json(worker.command(task, tmp_path)[-1]).test is None


def test_what_a_user_can_mend_is_the_last_line_and_exit_code_2(tmp_path):
    task = Task(config=preset("mini", num_perturbed=5001))
    with tempfile.TemporaryFile() as log:
        state, reason = worker.Worker(task, tmp_path, log).outcome()
    assert (state, reason) == (
        "failed", 'num_perturbed=5001 exceeds num_train=5000; use "all" for full adversarial training',
    )  # fmt: skip


def test_a_killed_worker_did_not_fail_by_what_it_printed_last(tmp_path):
    with tempfile.TemporaryFile() as log:
        process = worker.Worker(Task(config=ENDLESS), tmp_path, log)
        log.write(b"epoch 1/9999\n")
        process.end(patience=0)
        assert process.outcome() == ("failed", "was ended by SIGKILL")


# --- How a run stands ------------------------------------------------------------------------------------------------


def test_a_run_is_done_when_all_that_is_wanted_is_there(tmp_path):
    def stands(**wanted) -> tuple[str, bool, int]:
        one = standing(Task(config=config, **wanted), tmp_path)
        return one.state, one.settled, one.epoch

    store, config = Store(tmp_path), preset("mini", epochs=2)
    assert stands(test=None) == ("waiting", False, 0)
    make_run(store, epochs=2, committed=1, evaluated=False)
    assert stands(test=None) == ("waiting", False, 1)
    make_run(store, epochs=2, evaluated=False)
    assert stands(test=None) == ("done", True, 2)
    assert stands() == ("waiting", False, 2)
    make_run(store, epochs=2)
    assert stands() == ("done", True, 2)
    assert stands(test=EvaluationConfig(steps=7)) == ("waiting", False, 2)
    assert stands(test=EvaluationConfig(images=10)) == ("waiting", False, 2)
    assert stands(check_images=10) == ("waiting", False, 2)
    with store.writer(config) as writer:
        assert stands(check_images=10) == ("running", False, 2)
        assert stands() == ("done", True, 2), "whoever is at work on it does something else"
        writer.add_checks(make_report(config, 2, ()))
    assert stands(check_images=10) == ("done", True, 2)


def test_a_run_of_the_showcase_that_is_trained_is_settled_and_one_cut_off_is_trained_anew(tmp_path):
    showcase = Store(tmp_path / "showcase")
    whole = make_run(showcase, epochs=2, evaluated=False)
    begun = make_run(showcase, epochs=3, committed=1, evaluated=False)
    states = [standing(Task(config=run.config), tmp_path) for run in (whole, begun)]
    assert [one.settled for one in states] == [True, False]
    assert [one.status for one in states] == ["showcase", "showcase, cut off"]


# --- Ctrl-C under & --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_hears_ctrl_c_though_it_was_started_ignoring_it_and_the_same_task_goes_on(tmp_path):
    config = preset("mini", epochs=40, **SMALL)
    task = Task(config=config, test=None, threads=1)
    with tempfile.TemporaryFile() as log:
        with started_by_a_shell_with_an_ampersand():
            process = worker.Worker(task, tmp_path, log)
        wait_for(lambda: epochs_done(config, tmp_path), TRAINING)
        process.interrupt()
        assert process.outcome() == ("stopped", "")
    cut_off = standing(task, tmp_path)
    assert (cut_off.state, cut_off.busy, cut_off.status) == ("waiting", False, "cut off")
    assert 1 <= cut_off.epoch < 40
    with tempfile.TemporaryFile() as log:
        assert worker.Worker(task, tmp_path, log).outcome() == ("done", "")
        log.seek(0)
        assert f"resumes after epoch {cut_off.epoch}\n" in log.read().decode()
    revision = Store(tmp_path).open(config.run_id).revision
    with tempfile.TemporaryFile() as log:
        assert worker.Worker(task, tmp_path, log).outcome() == ("done", "")
    assert Store(tmp_path).open(config.run_id).revision == revision


@pytest.fixture
def killed(monkeypatch):
    """Processes that did not hear SIGINT in time and had to be killed."""
    ids, kill = [], subprocess.Popen.kill

    def noted(process):
        ids.append(process.pid)
        kill(process)

    monkeypatch.setattr(subprocess.Popen, "kill", noted)
    return ids


@pytest.mark.slow
def test_a_grid_under_an_ampersand_stops_its_workers(tmp_path, killed):
    """They end by the SIGINT that it sends, not by being killed when its patience ends."""
    work = grid.Work(place=Place(tmp_path, threads=1), check_images=0)

    def stop(found):
        if found[0].epoch:
            assert (found[0].state, found[0].activity) == ("running", "training")
            raise KeyboardInterrupt

    with started_by_a_shell_with_an_ampersand(), pytest.raises(KeyboardInterrupt):
        grid.run([ENDLESS], work, hear=stop, every=0.2)
    assert not killed
    run = Store(tmp_path).open(ENDLESS.run_id)
    assert run.epoch >= 1
    assert not run.training


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_grid_that_is_told_to_end_leaves_no_worker_behind(tmp_path, killed, number):
    work = grid.Work(place=Place(tmp_path, threads=1), check_images=0)

    def end(found):
        if found[0].epoch:
            signal.raise_signal(number)

    before = signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may ignore it, as nohup does SIGHUP
    try:
        with pytest.raises(KeyboardInterrupt):
            grid.run([ENDLESS], work, hear=end, every=0.2)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert not killed
    assert not Store(tmp_path).open(ENDLESS.run_id).training


def test_a_grid_ignores_what_it_was_started_to_ignore():
    """As nohup has SIGHUP ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with grid._ended_like_ctrl_c():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_the_queue_of_an_app_under_an_ampersand_stops_its_trainer(tmp_path, monkeypatch):
    monkeypatch.delenv("AAT_DATA", raising=False)
    queue.enqueue(tmp_path, Job(config=ENDLESS, evaluate=False, threads=1, device="cpu"))
    with started_by_a_shell_with_an_ampersand():
        queue.start_worker(tmp_path)
    wait_for(lambda: epochs_done(ENDLESS, tmp_path), TRAINING)
    queue.stop(tmp_path, "000001")
    wait_for(lambda: not queue.working(tmp_path))
    [entry] = queue.listing(tmp_path).entries
    assert (entry.job.state, entry.job.reason) == ("stopped", "")
    assert not Store(tmp_path).open(ENDLESS.run_id).training


@pytest.mark.slow
def test_a_run_of_a_grid_that_is_stopped_from_outside_is_named_and_stops_no_other(tmp_path):
    work = grid.Work(place=Place(tmp_path), test=EvaluationConfig(images=20, epsilons=(0.0,), steps=1), check_images=0)
    other = preset("mini", epochs=1, seed=1, **SMALL)
    workers = []
    start = grid.Worker

    def started(task, cache, log):
        workers.append(start(task, cache, log))
        return workers[-1]

    def stop_the_first(found):
        if found[0].epoch and len(workers) == 1:
            workers[0].interrupt()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "Worker", started)
        first, second = grid.run([ENDLESS, other], work, hear=stop_the_first, every=0.2)
    assert (first.state, second.state) == ("stopped", "done")
    assert 1 <= first.epoch < 9999
