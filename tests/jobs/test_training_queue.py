"""The queue of trainings: order, refusals, stops, crashes, and files that are not jobs."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import make_run
from waiting import wait_for

from aat_explore import command_lines
from aat_explore.cli.arguments import parse
from aat_explore.config import AttackConfig, RunConfig, checked_config
from aat_explore.errors import AATError
from aat_explore.jobs import processes, worker
from aat_explore.jobs import queue as training_queue
from aat_explore.jobs.job import Job
from aat_explore.presets import preset
from aat_explore.store import Store

SLEEPER = (  # hears SIGINT, as a worker does, even where whoever runs the tests ignores it
    "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "print('at work', flush=True); time.sleep(60)"
)


def job(seed: int = 0, **fields: object) -> Job:
    return Job(config=preset("mini", seed=seed, **fields))


def states(cache: Path) -> list[str]:
    return [entry.job.state for entry in training_queue.listing(cache).entries]


def pretend(monkeypatch, code: str) -> None:
    """Let a small program stand in for the trainer; it gets the seed as its last word."""
    monkeypatch.setattr(worker, "command", lambda task, cache: [sys.executable, "-c", code, str(task.config.seed)])


@pytest.fixture
def sleeping_worker(tmp_path, monkeypatch):
    """A worker process whose trainer sleeps; both are ended after the test."""
    pretend(monkeypatch, SLEEPER)
    code = (
        "import sys; from pathlib import Path; from aat_explore.jobs import queue, worker\n"
        f"worker.command = lambda task, cache: [sys.executable, '-c', {SLEEPER!r}, str(task.config.seed)]\n"
        "queue.work(Path(sys.argv[1]))"
    )
    workers = []

    def start() -> subprocess.Popen:
        workers.append(subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], start_new_session=True))
        return workers[-1]

    yield start
    for entry in training_queue.listing(tmp_path).entries:
        if training_queue.alive(entry, tmp_path):
            os.killpg(entry.job.pid, signal.SIGKILL)
    for process in workers:
        process.kill()
        process.wait()


# --- Commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(),
        preset("letter-cifar10", seed=3, lr_milestones=()),
        RunConfig(num_perturbed="all", attack=AttackConfig(kind="pgd", steps=7, step_size=0.01, random_start=False)),
        RunConfig(replacement=True, normalize=False, lr=1e-5, lr_milestones=(0.25, 0.5), norm_power=0, epsilon=0.123),
    ],
)
def test_the_command_line_means_the_config_it_was_made_from(config):
    command = parse(shlex.split(command_lines.train(config, evaluate=False, threads=1, device="cpu")))
    fields = {name: getattr(command.flags, name) for name in RunConfig.model_fields}
    assert checked_config(fields | {"attack": vars(fields["attack"])}) == config
    assert (command.evaluate, command.place.threads, command.place.device) == (False, 1, "cpu")


# --- Order and refusals ----------------------------------------------------------------------------------------------


def test_jobs_are_done_one_after_the_other_in_the_order_asked_for(tmp_path, monkeypatch):
    record = tmp_path / "order"
    pretend(
        monkeypatch,
        f"import sys, time; f = open({str(record)!r}, 'a'); f.write('+' + sys.argv[1]); f.flush(); time.sleep(0.1); "
        "f.write('-' + sys.argv[1])",
    )
    for seed in (2, 0, 1):
        training_queue.enqueue(tmp_path, job(seed))
    training_queue.work(tmp_path)
    assert record.read_text() == "+2-2+0-0+1-1"
    assert states(tmp_path) == ["done"] * 3


def test_a_run_that_waits_already_is_refused_and_one_that_failed_is_not(tmp_path, monkeypatch):
    pretend(monkeypatch, "import sys; print('aat: out of luck'); sys.exit(2)")
    training_queue.enqueue(tmp_path, job())
    with pytest.raises(AATError, match=r"is waiting in the queue already \(job 000001\)"):
        training_queue.enqueue(tmp_path, job())
    training_queue.work(tmp_path)
    [entry] = training_queue.listing(tmp_path).entries
    assert (entry.job.state, entry.job.reason) == ("failed", "aat: out of luck")
    assert training_queue.enqueue(tmp_path, job()).name == "000002"


def test_a_complete_run_and_one_in_training_are_refused(tmp_path):
    run = make_run(Store(tmp_path), epochs=1)
    with pytest.raises(AATError, match="complete: there is nothing to do"):
        training_queue.enqueue(tmp_path, Job(config=run.config))
    cut_off = make_run(Store(tmp_path), epochs=2, committed=1, seed=1)
    with Store(tmp_path).writer(cut_off.config), pytest.raises(AATError, match="trained by another process"):
        training_queue.enqueue(tmp_path, Job(config=cut_off.config))


def test_more_samples_than_there_are_are_refused(tmp_path):
    with pytest.raises(AATError, match="num_perturbed=5001 exceeds num_train=5000"):
        training_queue.enqueue(tmp_path, job(num_perturbed=5001))


def test_a_waiting_job_can_be_removed(tmp_path):
    name = training_queue.enqueue(tmp_path, job()).name
    training_queue.remove(tmp_path, name)
    assert states(tmp_path) == []
    training_queue.work(tmp_path)


# --- Processes -------------------------------------------------------------------------------------------------------


def test_stopping_interrupts_the_trainer_and_the_next_job_begins(tmp_path, sleeping_worker):
    for seed in (0, 1):
        training_queue.enqueue(tmp_path, job(seed))
    sleeping_worker()
    wait_for(lambda: training_queue.listing(tmp_path).entries[0].log_lines() == ["at work"])
    assert training_queue.working(tmp_path)
    with pytest.raises(AATError, match="stop it first"):
        training_queue.remove(tmp_path, "000001")
    training_queue.stop(tmp_path, "000001")
    wait_for(lambda: states(tmp_path) == ["stopped", "running"])


def test_a_job_whose_worker_and_trainer_died_failed(tmp_path, sleeping_worker):
    training_queue.enqueue(tmp_path, job())
    keeper = sleeping_worker()
    wait_for(lambda: training_queue.listing(tmp_path).entries[0].log_lines() == ["at work"])
    [entry] = training_queue.listing(tmp_path).entries
    keeper.kill()
    keeper.wait()
    assert training_queue.alive(entry, tmp_path), "the trainer outlives its worker"
    os.killpg(entry.job.pid, signal.SIGKILL)
    wait_for(lambda: not training_queue.alive(entry, tmp_path))
    training_queue.work(tmp_path)
    [entry] = training_queue.listing(tmp_path).entries
    assert entry.job.state == "failed"
    assert "while no worker watched it" in entry.job.reason


def test_a_second_worker_leaves_the_queue_to_the_first(tmp_path, sleeping_worker, monkeypatch):
    monkeypatch.setattr(training_queue, "PATIENCE", 0.1)
    for seed in (0, 1):
        training_queue.enqueue(tmp_path, job(seed))
    sleeping_worker()
    wait_for(lambda: states(tmp_path) == ["running", "waiting"])
    training_queue.work(tmp_path)
    assert states(tmp_path) == ["running", "waiting"]


def test_a_process_that_only_has_the_number_of_a_trainer_is_not_stopped(tmp_path):
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        began, _ = processes.seen(bystander.pid)
        training_queue.enqueue(tmp_path, job())
        path = tmp_path / "queue" / "000001.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "running", "pid": bystander.pid}))
        for mark in ("", began):
            path.write_text(json.dumps(json.loads(path.read_text()) | {"began": mark}))
            with pytest.raises(AATError, match="no trainer at work"):
                training_queue.stop(tmp_path, "000001")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.slow
def test_a_real_training_runs_to_its_end_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.delenv("AAT_DATA", raising=False)
    fields = {"epochs": 1, "num_perturbed": 10, "batch_size": 512, "val_attack_images": 10, "val_attack_steps": 1}
    config = preset("mini", **fields)
    training_queue.enqueue(tmp_path, Job(config=config, evaluate=False, threads=1, device="cpu"))
    training_queue.start_worker(tmp_path)
    wait_for(lambda: states(tmp_path) in (["done"], ["failed"]), 200)
    assert training_queue.listing(tmp_path).entries[0].job.reason == ""
    assert Store(tmp_path).open(config.run_id).complete


# --- Files -----------------------------------------------------------------------------------------------------------


def test_files_that_are_no_jobs_are_reported_and_never_run(tmp_path, monkeypatch):
    pretend(monkeypatch, f"open({str(tmp_path / 'ran')!r}, 'w')")
    folder = tmp_path / "queue"
    folder.mkdir()
    valid = json.loads(job().model_dump_json())
    (folder / "000001.json").write_text(json.dumps(valid | {"command": ["rm", "-r", "x"]}))
    (folder / "000002.json").write_text("{" * 5000)
    (folder / "evil name.json").write_text(json.dumps(valid))
    (folder / "000003.json").write_text(" " * 70_000)
    (folder / "000004.json").mkdir()
    training_queue.work(tmp_path)
    found = training_queue.listing(tmp_path)
    assert not found.entries
    assert sorted(found.damaged) == ["000001.json", "000002.json", "000003.json", "000004.json", "evil name.json"]
    assert not (tmp_path / "ran").exists()


def test_a_log_is_shown_without_control_characters_and_a_link_is_not_followed(tmp_path):
    entry = training_queue.enqueue(tmp_path, job())
    log = tmp_path / "queue" / "000001.log"
    log.write_bytes(b"one\n\x1b[31mred\x07\n\xff\n")
    assert entry.log_lines() == ["one", "[31mred", "�"]
    log.unlink()
    log.symlink_to("/etc/passwd")
    assert entry.log_lines() == []


def test_a_cache_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "queue").write_text("a file where the folder should be")
    assert not training_queue.writable(tmp_path)
    with pytest.raises(AATError, match="cannot be written"):
        training_queue.enqueue(tmp_path, job())
    assert states(tmp_path) == []
