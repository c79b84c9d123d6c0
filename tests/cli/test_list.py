"""The table of `aat list`: no name is folded, columns make way by their importance, newest runs come first."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_run

from aat_explore.cli import listing, main
from aat_explore.store import Store

ROWS = [
    {
        "run_id": f"fashion-mini-n{n}-p1-fgsm-s{seed}-{seed:08x}", "clean_accuracy": 0.9, "robust_accuracy": None,
        "flag": "label leaking, catastrophic overfitting" if seed % 3 == 0 else "", "epochs_done": 15, "epochs": 15,
        "status": "showcase, cut off" if seed % 7 == 0 else "complete", "seconds_per_epoch": 1.25,
        "attack": "FGSM, ε 0.1", "tested_with": "PGD-40 (nested), 10,000 test images",
    }
    for n in (100, 1000) for seed in range(37)
]  # fmt: skip


@pytest.fixture
def on_a_terminal(monkeypatch):
    def of(columns: int) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(columns))

    return of


def printed(capsys) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("columns", [20, 60, 80, 100, 140, 300])
def test_74_runs_are_a_line_each_that_begins_with_the_name_and_fits(capsys, on_a_terminal, columns):
    on_a_terminal(columns)
    listing.print_list(ROWS, wide=False)
    lines = printed(capsys)
    assert len(lines) <= 80
    assert [line.split()[0] for line in lines[1:75]] == [row["run_id"] for row in ROWS]
    longest = max(len(row["run_id"]) for row in ROWS)
    assert max(map(len, lines[:75])) <= max(columns, longest)


def test_at_80_columns_accuracies_progress_and_the_mark_of_a_flag_are_there(capsys, on_a_terminal):
    on_a_terminal(80)
    listing.print_list(ROWS, wide=False)
    lines = printed(capsys)
    assert lines[0].split()[:5] == ["run", "clean", "robust", "!", "epochs"]
    assert lines[1].split()[:5] == [ROWS[0]["run_id"], "90.0%", "–", "!", "15/15"]
    assert lines[2].split()[:4] == [ROWS[1]["run_id"], "90.0%", "–", "15/15"]
    assert lines[-1] == "! fails a check; --wide shows all columns"


def test_wide_on_a_narrow_terminal_shows_what_a_pipe_gets(capsys, monkeypatch, on_a_terminal):
    pipes = []
    for columns in ("40", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        listing.print_list(ROWS, wide=False)
        pipes.append(printed(capsys))
    on_a_terminal(40)
    listing.print_list(ROWS, wide=True)
    assert printed(capsys) == pipes[0] == pipes[1]
    assert "label leaking, catastrophic overfitting" in pipes[0][1]
    assert len(pipes[0]) == 1 + len(ROWS)


@given(st.lists(st.integers(1, 70), min_size=1, max_size=9), st.integers(1, 250))
def test_the_columns_shown_are_the_most_that_fit_in_their_order(widths, width):
    named = {str(number): each for number, each in enumerate(widths)}
    shown = listing.fitting(named, width)

    def line(names: list[str]) -> int:
        return sum(named[name] for name in names) + listing.GAP * (len(names) - 1)

    assert shown == list(named)[: len(shown)]
    assert line(shown) <= width or len(shown) == 1
    assert len(shown) == len(named) or line(list(named)[: len(shown) + 1]) > width


def test_the_newest_run_comes_first_and_the_showcase_last(tmp_path, capsys):
    runs = [make_run(Store(tmp_path), epochs=1, seed=seed) for seed in (1, 2, 3)]
    shown = make_run(Store(tmp_path / "showcase"), epochs=1, seed=0)
    for run, age in zip([*runs, shown], (20, 0, 10, -100), strict=True):
        os.utime(run.path / "HEAD.json", (1e9 - age, 1e9 - age))
    assert main(["list", "--cache-dir", str(tmp_path)]) == 0
    names = [line.split()[0] for line in printed(capsys)[1:]]
    assert names == [runs[1].id, runs[2].id, runs[0].id, shown.id]
