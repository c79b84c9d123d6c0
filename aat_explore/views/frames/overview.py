"""The first page's answers: which samples a run picks, and what is in training, each in a line."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from aat_explore.views import names
from aat_explore.views.frames import picks, runs
from aat_explore.views.frames.filmstrip import FilmRow
from aat_explore.views.frames.results import percent
from aat_explore.views.protocols import Array, Dataset, Run, UInt8

MUCH = 1.2  # times its share of all images from which on a class is said to be picked more often


def which_picked(run: Run, epoch: int, dataset: Dataset | None) -> list[str]:
    """What an epoch picked, a text each: the epoch, the class picked most against its share, largest p, overlap.

    Without `dataset` nothing of classes; without p (n = all, or warm-up) nothing of p.
    """
    p, rows = run.probabilities(epoch), run.drawn(epoch)
    parts = [f"Epoch {epoch}"]
    if dataset is not None and len(rows):
        parts += _favourite(picks.class_mix(run, epoch, dataset))
    if p is not None:
        parts.append(f"the most likely image is {picks.times(float(p.max()) * len(p))}")
    if again := picks.picked_again(run, epoch):
        parts.append(again)
    return parts


def _favourite(mix: pd.DataFrame) -> list[str]:
    """The class whose share among the picks exceeds its share of all most, if by much."""
    drawn, every = (mix[mix["group"] == group].set_index("class")["share"] for group in ("drawn", "all"))
    classes = [str(name) for name in every.index[every > 0]]
    often = {name: (float(drawn[name]), float(every[name])) for name in classes}
    best = max(often, key=lambda name: often[name][0] / often[name][1])
    if often[best][0] < MUCH * often[best][1]:
        return ["all classes about alike"]
    return [f"{best} is {percent(often[best][0])} of the picks, {percent(often[best][1])} of all images"]


@dataclass(frozen=True)
class PerturbedRow:
    """One epoch of a strip of recorded x′: rows of the training split, their x′ (k, C, H, W), a line on each."""

    row: FilmRow
    images: UInt8


def perturbed_strip(run: Run, epochs: Sequence[int], per_row: int) -> list[PerturbedRow]:
    """For each epoch up to `per_row` of the picks with a recorded x′, most likely first; epochs without any are out."""
    strip = []
    for epoch in epochs:
        likely = picks.recorded_picks(run, epoch, None, "by p").head(per_row)
        if len(likely):
            rows: Array = likely["image"].to_numpy()
            images = run.x_adv(epoch)[likely["position"].to_numpy()]
            strip.append(PerturbedRow(FilmRow(epoch, rows, picks.titles(likely)), images))
    return strip


def in_training(training: Sequence[Run]) -> list[str]:
    """For each run that trains: its name, its epoch and the minutes left, in a line."""
    progress = runs.progress(training)
    return [
        f"{names.full_name(run.config)}: epoch {run.epoch} of {run.config.epochs}, {_minutes(minutes)} left"
        for run, minutes in zip(training, progress["minutes left"] if len(progress) else [], strict=True)
    ]


def _minutes(minutes: float) -> str:
    return "less than a minute" if minutes < 1 else f"{minutes:.0f} min"
