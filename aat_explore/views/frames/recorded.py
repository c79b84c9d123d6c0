"""The recorded images of K: the predictions of the network that made x′, and one sample's versions over all epochs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aat_explore.errors import AATError
from aat_explore.views.protocols import Array, Dataset, Run, UInt8

OUTCOMES = {  # whether the network is right on x, and on x′
    (True, False): "fooled",
    (True, True): "resists",
    (False, False): "wrong already",
    (False, True): "corrected",  # label leaking, if the attack knew the true label (Kurakin et al. 2017)
}


def labels_of(run: Run, dataset: Dataset, rows: Array) -> NDArray[np.uint8]:
    """Labels of these rows, uint8 (k,); AATError if the data set has fewer images than the run drew from."""
    T = len(dataset.train.labels)
    if len(rows) and int(rows.max()) >= T:
        raise AATError(f"image={rows.max()} of run={run.id} is not in {dataset.name}, which has {T} training images")
    return dataset.train.labels[rows]


def predictions_of(run: Run, epoch: int, rows: Array, positions: Array, dataset: Dataset | None = None) -> pd.DataFrame:
    """Predictions and losses of the network that made x′ for images `rows`: the last columns of `all_picks`.

    `positions`: their positions in the draw, (k,) like `rows`.
    """
    loss = np.full((len(positions), 2), np.nan)
    words = np.full((len(positions), 3), None, dtype=object)  # before, after, outcome
    if (losses := run.recorded_losses(epoch)) is not None:
        known = positions < len(losses)
        loss[known] = losses[positions[known]]
    if (classes := run.recorded_classes(epoch)) is not None:
        known = positions < len(classes)
        predicted = classes[positions[known]]
        names = () if dataset is None else dataset.class_names
        named = {label: names[label] if label < len(names) else str(label) for label in np.unique(predicted).tolist()}
        words[known, :2] = [[named[label] for label in labels] for labels in predicted.tolist()] or None
        if dataset is not None:
            right = predicted == labels_of(run, dataset, rows[known])[:, None]
            words[known, 2] = [OUTCOMES[before, after] for before, after in right.tolist()]
    frame = pd.DataFrame({"loss": loss[:, 0], "loss after": loss[:, 1]})
    return frame.join(pd.DataFrame(words, columns=["before", "after", "outcome"], dtype=object))


def prediction_texts(row: dict[Any, Any]) -> list[str]:
    """A row of `predictions_of` as texts: the predictions, the outcome and the losses, as far as recorded."""
    texts = [] if pd.isna(row["before"]) else [f"predicted {row['before']} → {row['after']}"]
    texts += [] if pd.isna(row["outcome"]) else [row["outcome"]]
    return texts + ([] if pd.isna(row["loss"]) else [f"loss {row['loss']:.3g} → {row['loss after']:.3g}"])


def outcome_counts(frame: pd.DataFrame) -> dict[str, int]:
    """Number of rows of `all_picks` with each of `OUTCOMES`, in that order; empty if none has an outcome."""
    counts = frame["outcome"].value_counts()
    return {name: int(counts.get(name, 0)) for name in OUTCOMES.values()} if len(counts) else {}


@dataclass(frozen=True)
class SampleVersions:
    """The recorded adversarial versions of one sample: x_adv[k], uint8 (C, H, W), is of epoch `epochs[k]`.

    `predictions`: for each version, by the network that made it, the columns of `all_picks` before, after, loss, loss
    after and outcome; missing in runs recorded by older versions, outcome also without `dataset`.
    """

    epochs: tuple[int, ...]
    x_adv: UInt8
    predictions: pd.DataFrame


def sample_versions(
    run: Run, image: int, drawn_in: Sequence[int], dataset: Dataset | None = None
) -> SampleVersions | None:
    """The sample's versions, from the epochs in which it was among the recorded picks; None if there are none."""
    x_adv_by_epoch, predictions = {}, []
    for epoch in drawn_in:
        rows = run.drawn(epoch)
        position = np.flatnonzero(rows[: run.config.num_recorded] == image)
        if len(position) and position[0] < len(x_adv := run.x_adv(epoch)):
            x_adv_by_epoch[epoch] = x_adv[position[0]]
            predictions.append(predictions_of(run, epoch, rows[position], position, dataset))
    if not x_adv_by_epoch:
        return None
    return SampleVersions(
        tuple(x_adv_by_epoch), np.stack(list(x_adv_by_epoch.values())), pd.concat(predictions, ignore_index=True)
    )


def most_recorded(run: Run) -> int | None:
    """Of the samples whose x′ the last epoch recorded, that with the most versions, the first of several; else None."""
    counts: dict[int, int] = {}
    rows = np.arange(0)
    for epoch in range(1, run.epoch + 1):
        rows = run.drawn(epoch)[: run.config.num_recorded]
        for row in rows.tolist():
            counts[row] = counts.get(row, 0) + 1
    if not len(rows) or not len(run.x_adv(run.epoch)):
        return None
    recorded: list[int] = rows[: len(run.x_adv(run.epoch))].tolist()
    return max(recorded, key=counts.__getitem__)


def first_fooled(run: Run, dataset: Dataset) -> int:
    """Return the first sample of the last epoch that x′ fooled; else the first that was predicted right, else 0."""
    if not run.recorded or not run.epoch or (classes := run.recorded_classes(run.epoch)) is None:
        return 0
    rows = run.drawn(run.epoch)[: len(classes)]
    is_right = classes[: len(rows)] == labels_of(run, dataset, rows)[:, None]
    for is_wanted in (is_right[:, 0] & ~is_right[:, 1], is_right[:, 0]):
        if is_wanted.any():
            return int(rows[is_wanted.argmax()])
    return 0


def version_captions(versions: SampleVersions) -> list[str]:
    """For each version its epoch, and the predicted class before and after the attack."""
    before_after = zip(versions.epochs, versions.predictions["before"], versions.predictions["after"], strict=True)
    return [f"epoch {epoch}" + ("" if pd.isna(x) else f"\n{x}\n→ {x_adv}") for epoch, x, x_adv in before_after]


def version_titles(versions: SampleVersions, image: int) -> list[str]:
    """One line for each version, with the outcome and the losses."""
    lines = []
    for epoch, row in zip(versions.epochs, versions.predictions.to_dict("records"), strict=True):
        lines.append(", ".join([f"Image {image} as perturbed in epoch {epoch}", *prediction_texts(row)]))
    return lines
