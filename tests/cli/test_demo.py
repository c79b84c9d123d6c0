"""`aat demo`: it serves at once and trains beside it, says what the numbers are, and ends as a whole."""

import itertools
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from waiting import wait_for

from aat_explore import datasets
from aat_explore.cli import main, progress, server
from aat_explore.cli.commands import demo
from aat_explore.datasets import Split
from aat_explore.experiments import run as experiment
from aat_explore.store import Store, showcase
from aat_explore.views import effect

QUICK = {"epochs": 2, "val_attack_steps": 1, "val_attack_images": 5}


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    whole = datasets.load("fashion-mini")
    parts = {
        name: Split(split.labels[:40], split.rows[:40], split.stored[:40])
        for name, split in (("train", whole.train), ("validation", whole.validation), ("test", whole.test))
    }
    monkeypatch.setattr(datasets, "load", lambda name, **where: replace(whole, **parts))
    monkeypatch.setattr(demo, "SETTINGS", demo.SETTINGS | QUICK)
    monkeypatch.setattr(demo, "SHOWN", 20)
    monkeypatch.setattr(demo, "NUM_PERTURBED", (20, 0, 10, "all"))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.chdir(tmp_path)


@dataclass
class FakeServer:
    """A dashboard that answers at once, and notes which runs there were when it was asked whether it does."""

    store: Store
    port: int
    ends: bool = False
    seen: list[list[str]] = field(default_factory=list)

    @property
    def process(self):
        return SimpleNamespace(wait=lambda: 0, poll=lambda: 3 if self.ends else None)

    def up(self) -> bool:
        self.seen.append(self.store.run_ids())
        return not self.ends


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Replace the server, and return the list of those that were started."""
    started = []

    def with_server(*, ends: bool = False):
        @contextmanager
        def serving(cache_dir, port):
            started.append(FakeServer(Store(cache_dir), port, ends))
            yield started[-1]

        monkeypatch.setattr(demo, "serving", serving)
        return started

    return with_server


def aat(*words: object) -> int:
    return main(["demo", "--device", "cpu", "--threads", "1", *map(str, words)])


def test_the_demos_settings_make_four_runs_that_no_run_of_the_showcase_is_taken_for(monkeypatch):
    monkeypatch.undo()
    configs = demo.demo_configs()
    assert sorted(map(str, (config.num_perturbed for config in configs))) == ["0", "100", "1000", "all"]
    assert len({config.run_id for config in configs}) == 4
    assert {config.dataset for config in configs} == {"fashion-mini"}
    assert configs[0].num_perturbed == demo.SHOWN == 1000
    assert not {config.run_id for config in configs} & set(Store(showcase()).run_ids())


def test_the_address_follows_once_the_first_run_has_an_epoch_and_opens_on_its_picks(tmp_path, serve, capsys):
    started = serve()
    assert aat("--cache-dir", tmp_path, "--port", 8700) == 0
    out = capsys.readouterr().out
    shown = demo.demo_configs()[0].run_id
    (only,) = started
    assert only.seen == [[shown]]
    assert f"dashboard on http://127.0.0.1:{only.port}/picks?run={shown} (Ctrl-C" in out
    assert out.index("training four networks") < out.index("dashboard on http") < out.index("epoch 2/2")
    assert out.count("dashboard on http") == 1
    assert f"goes on at http://127.0.0.1:{only.port}/picks?run={shown};" in out.splitlines()[-1]


def test_the_demo_counts_its_runs_and_ends_in_a_table_and_a_sentence_of_its_numbers(tmp_path, capsys):
    assert aat("--no-app", "--cache-dir", tmp_path) == 0
    out = capsys.readouterr().out
    for number, n in enumerate((20, 0, 10, "all"), 1):
        assert f"\nrun {number} of 4, n = {n}" in out
    assert re.search(r"run 2 of 4, n = 0, \d+:\d\d left for all", out)
    runs = Store(tmp_path).list().runs
    assert len(runs) == 4
    table = out[out.rindex("┏") :]
    rows = effect.rows(runs)
    assert [row["n"] for row in rows] == ["0", "10", "20", "all"]
    for row in rows:
        assert re.search(rf"│ +{row['n']} │ +{row['clean accuracy']:.1%} │ +{row['robust accuracy']:.1%} │", table), row
    assert out.splitlines()[-1] == effect.sentence(rows, 5000, shown=20)


def test_a_demo_that_is_complete_trains_nothing_and_serves_its_picks(tmp_path, serve, monkeypatch, capsys):
    assert aat("--no-app", "--cache-dir", tmp_path) == 0
    heads = {run.id: run.revision for run in Store(tmp_path).list().runs}
    capsys.readouterr()
    started = serve()
    assert aat("--cache-dir", tmp_path, "--port", 8700) == 0
    out = capsys.readouterr().out
    assert out.count("is complete already") == 4
    assert f"dashboard on http://127.0.0.1:{started[0].port}/picks?run=" in out
    assert {run.id: run.revision for run in Store(tmp_path).list().runs} == heads


def test_a_dashboard_that_ends_stops_no_training(tmp_path, serve, capsys):
    serve(ends=True)
    assert aat("--cache-dir", tmp_path, "--port", 8700) == 0
    out = capsys.readouterr().out
    assert "the dashboard has ended with exit code 3; training goes on" in out
    assert "Against standard training" in out


def test_ctrl_c_in_training_ends_the_dashboard_too_and_says_that_the_same_command_goes_on(
    tmp_path, monkeypatch, capsys
):
    children = []
    real = subprocess.Popen

    def popen(command, **options):
        children.append(real([sys.executable, "-c", "import time; time.sleep(600)"], **options))
        return children[-1]

    def interrupted(*_, **__):
        assert children[0].poll() is None
        raise KeyboardInterrupt

    monkeypatch.setattr(server.subprocess, "Popen", popen)
    monkeypatch.setattr(experiment, "train", interrupted)
    assert aat("--cache-dir", tmp_path) == 130
    assert capsys.readouterr().err == "aat: stopped; the same command resumes after the last finished epoch\n"
    (child,) = children
    assert child.poll() is not None


@pytest.mark.parametrize(
    ("variables", "opens"),
    [({}, False), ({"DISPLAY": ":0"}, True), ({"DISPLAY": ":0", "STREAMLIT_SERVER_HEADLESS": "true"}, False)],
)
def test_a_browser_opens_where_there_is_a_screen_unless_streamlits_switch_forbids_it(
    tmp_path, serve, monkeypatch, variables, opens
):
    started = serve()
    opened = []
    monkeypatch.setattr(demo.webbrowser, "open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("FORCE_COLOR", "1")  # which stands for a terminal
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "STREAMLIT_SERVER_HEADLESS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert aat("--cache-dir", tmp_path, "--port", 8700) == 0
    shown = demo.demo_configs()[0].run_id
    assert opened == [f"http://127.0.0.1:{started[0].port}/picks?run={shown}"] * opens


# --- Numbers -------------------------------------------------------------------------------------------------------

shares = st.integers(0, 1000).map(lambda thousandth: thousandth / 1000)


@given(st.lists(shares, min_size=6, max_size=6))
def test_the_sentence_states_differences_that_add_up_to_the_rows(values):
    rows = [
        {"n": n, "robust accuracy": robust, "clean accuracy": clean}
        for n, robust, clean in zip(("0", "1000", "all"), values[::2], values[1::2], strict=True)
    ]
    stated = [
        float(number.replace("−", "-"))
        for number in re.findall(r"[+−]\d+\.\d", effect.sentence(rows, 5000, shown=1000))
    ]
    start, some, every = rows
    expected = [
        100 * (row[name] - start[name]) for row in (some, every) for name in ("robust accuracy", "clean accuracy")
    ]
    assert stated == pytest.approx(expected, abs=0.051)


def test_the_time_left_is_the_remaining_work_at_the_pace_so_far():
    clock = itertools.count(0, 10).__next__
    work = progress.Work([4, 4], clock)
    assert work.seconds_left() is None
    work.began(0)  # 0 s
    assert work.seconds_left() is None
    work.trained(1)
    assert work.seconds_left() == 15 * 10
    work.tested(0.5)  # 6 of 16 at 20 s
    assert work.seconds_left() == pytest.approx(10 * 20 / 6)
    work.tested(1)
    work.began(0)
    work.trained(2)  # 10 of 16 at 30 s
    assert work.seconds_left() == pytest.approx(6 * 30 / 10)


def test_what_an_earlier_session_did_is_neither_left_nor_counted_in_the_pace():
    clock = itertools.count(0, 10).__next__
    work = progress.Work([4, 4], clock)
    work.began(4)  # trained and tested earlier
    work.began(3)
    assert work.seconds_left() is None
    work.trained(4)  # one of the five left, in 10 s
    assert work.seconds_left() == 4 * 10


# --- On a terminal -------------------------------------------------------------------------------------------------

INTERRUPTED = """
import sys, time
import torch
from rich.console import Console
from aat_explore.cli import main
from aat_explore.cli.commands import training
from aat_explore.cli.progress import Display
from aat_explore.config import RunConfig

def train(*_, **__):
    with Display(Console()) as display:
        display.began(RunConfig(epochs=8), 3, torch.device("cpu"))
        display._show("training", 3, 8, "a note that is longer than what is left of the line on this terminal")
        time.sleep(600)

training.train = train
sys.exit(main(["train"]))
"""


def test_ctrl_c_leaves_the_progress_line_once():
    """The terminal writes ^C behind the line; if that wraps, the bar is left behind and drawn again below."""
    columns = 80
    pid, descriptor = pty.fork()
    if pid == 0:
        os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, sys.path)), TERM="xterm", COLUMNS=str(columns))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
        os.execv(sys.executable, [sys.executable, "-c", INTERRUPTED])
    seen = b""

    def heard() -> bytes:
        nonlocal seen
        try:
            seen += os.read(descriptor, 65536)
        except OSError:  # the other end is closed
            return b""
        return seen

    wait_for(lambda: b"3/8" in heard())
    os.write(descriptor, b"\x03")
    while heard():
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    before, after = seen.rsplit(b"^C", 1)
    line = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", before.replace(b"\n", b"\r").rsplit(b"\r", 1)[-1]).decode()
    assert line.split()[1:4:2] == ["training", "3/8"]
    assert cell_len(line) + len("^C") < columns
    assert after.startswith(b"\r\x1b[2K")  # drawn again in place
