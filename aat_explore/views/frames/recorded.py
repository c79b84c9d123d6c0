"""The recorded images of K: what the network that made x′ said of them, and one sample's over all epochs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aat_explore.errors import AATError
from aat_explore.views.protocols import Array, Dataset, Run, UInt8

OUTCOMES = {  # by whether the network predicts the true class of x, and of x′
    (True, False): "fooled",
    (True, True): "resists",
    (False, False): "wrong already",
    (False, True): "put right",  # label leaking, if the attack knew the true label (Kurakin et al. 2017)
}


def labels_of(run: Run, dataset: Dataset, rows: Array) -> NDArray[np.uint8]:
    """Labels of these rows, uint8 (k,); AATError if the data set has not so many images as the run drew from."""
    T = len(dataset.train.labels)
    if len(rows) and int(rows.max()) >= T:
        raise AATError(f"image={rows.max()} of run={run.id} is not in {dataset.name}, which has {T} training images")
    return dataset.train.labels[rows]


def what_was_said(run: Run, epoch: int, rows: Array, positions: Array, dataset: Dataset | None = None) -> pd.DataFrame:
    """What the network that made x′ said of images `rows`, at these positions in the draw: last columns of `drawn`."""
    losses, classes = run.recorded_losses(epoch), run.recorded_classes(epoch)
    frame = pd.DataFrame({"loss": np.nan, "loss after": np.nan}, index=range(len(positions)))
    frame[["before", "after", "outcome"]] = None
    if losses is not None:
        known = positions < len(losses)
        frame.loc[known, ["loss", "loss after"]] = losses[positions[known]].astype(np.float64)
    if classes is not None:
        known = positions < len(classes)
        said = classes[positions[known]]
        names = () if dataset is None else dataset.class_names
        words = {one: names[one] if one < len(names) else str(one) for one in np.unique(said).tolist()}
        named = np.array([words[one] for one in said.ravel().tolist()], dtype=object)
        frame.loc[known, ["before", "after"]] = named.reshape(said.shape)
        if dataset is not None:
            right = said == labels_of(run, dataset, rows[known])[:, None]
            frame.loc[known, "outcome"] = [OUTCOMES[bool(before), bool(after)] for before, after in right]
    return frame


def said_words(row: dict[Any, Any]) -> list[str]:
    """What a row of `what_was_said` has, in words."""
    words = [] if pd.isna(row["before"]) else [f"predicted {row['before']} → {row['after']}"]
    words += [] if pd.isna(row["outcome"]) else [row["outcome"]]
    return words + ([] if pd.isna(row["loss"]) else [f"loss {row['loss']:.3g} → {row['loss after']:.3g}"])


def outcome_counts(frame: pd.DataFrame) -> dict[str, int]:
    """How many rows of `drawn` have each of `OUTCOMES`, in their order; empty if none has one."""
    counts = frame["outcome"].value_counts()
    return {name: int(counts.get(name, 0)) for name in OUTCOMES.values()} if len(counts) else {}


@dataclass(frozen=True)
class SampleVersions:
    """The recorded adversarial versions of one sample: x_adv[k], uint8 (C, H, W), is of epoch `epochs[k]`.

    `said`: for each version what the network that made it said of x and of x′, as columns of `drawn`: before, after,
    loss, loss after, outcome; missing where an earlier version recorded it, outcome also without `dataset`.
    """

    epochs: tuple[int, ...]
    x_adv: UInt8
    said: pd.DataFrame


def sample_versions(
    run: Run, image: int, drawn_in: Sequence[int], dataset: Dataset | None = None
) -> SampleVersions | None:
    """The versions recorded in the epochs that drew the sample: those where it was among the first; None if none."""
    found, said = {}, []
    for epoch in drawn_in:
        rows = run.drawn(epoch)
        position = np.flatnonzero(rows[: run.config.num_recorded] == image)
        if len(position) and position[0] < len(x_adv := run.x_adv(epoch)):
            found[epoch] = x_adv[position[0]]
            said.append(what_was_said(run, epoch, rows[position], position, dataset))
    if not found:
        return None
    return SampleVersions(tuple(found), np.stack(list(found.values())), pd.concat(said, ignore_index=True))


def version_captions(found: SampleVersions) -> list[str]:
    """For each version its epoch, and the class predicted before and after the attack."""
    before_after = zip(found.epochs, found.said["before"], found.said["after"], strict=True)
    return [f"epoch {epoch}" + ("" if pd.isna(x) else f"\n{x}\n→ {x_adv}") for epoch, x, x_adv in before_after]


def version_titles(found: SampleVersions, image: int) -> list[str]:
    """The same in one line, with the outcome and the losses."""
    lines = []
    for epoch, row in zip(found.epochs, found.said.to_dict("records"), strict=True):
        lines.append(", ".join([f"Image {image} as perturbed in epoch {epoch}", *said_words(row)]) + ": open the picks")
    return lines
