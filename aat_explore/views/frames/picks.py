"""One epoch of one run: which samples were picked, their p and their classes."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aat_explore.errors import AATError
from aat_explore.views import diagnostics
from aat_explore.views.frames.recorded import labels_of, prediction_texts, predictions_of
from aat_explore.views.protocols import Dataset, Run

ORDERS = {
    "as drawn": ["position"],
    "by p": ["rank", "position"],
    "least likely": ["-rank", "position"],
    "by class": ["label", "position"],
    "by loss": ["-loss", "position"],
    "by loss after": ["-loss after", "position"],
    "newly picked": ["again", "rank", "position"],
    "picked again": ["-again", "rank", "position"],
}


@dataclass(frozen=True)
class DrawStatistics:
    """How uneven p was in one epoch and how much K changed; `overlap` is None in the first epoch that drew.

    `shortfall`: n minus the number drawn, positive when too few samples had p > 0.
    """

    num_drawn: int
    shortfall: int
    num_train: int
    effective_sample_size: float
    gini: float
    top_mass: float
    overlap: float | None

    @property
    def words(self) -> list[str]:
        """How uneven p is, for people."""
        return [
            f"effective size {self.effective_sample_size:,.0f}",
            f"top 1% hold {self.top_mass:.1%} of p",
            f"Gini {self.gini:.2f}",
        ]


@dataclass(frozen=True)
class Axes:
    """Ranges that charts of all epochs of a run have in common, so that only the bars move while epochs play.

    `exponents`: of log10 p; `share` and `class_share`: the largest of a bin of p and of a class, in [0, 1].
    """

    exponents: tuple[float, float]
    share: float
    class_share: float


AXES_EPOCHS = 8  # an epoch beyond the range of these widens its own chart


def draw_statistics(run: Run, epoch: int) -> DrawStatistics | None:
    """Statistics of an epoch's p and K; None if nothing was drawn from a distribution (n = 0, all, warm-up)."""
    p, rows = run.probabilities(epoch), run.drawn(epoch)
    if p is None:
        return None
    before = run.drawn(epoch - 1) if epoch > 1 else np.arange(0)
    return DrawStatistics(
        num_drawn=len(rows),
        shortfall=int(run.metrics()["shortfall"].iloc[epoch - 1]),
        num_train=len(p),
        effective_sample_size=diagnostics.effective_sample_size(p),
        gini=diagnostics.gini(p),
        top_mass=diagnostics.top_mass(p),
        overlap=diagnostics.jaccard(rows, before) if len(before) else None,
    )


def picked_again(run: Run, epoch: int) -> str | None:
    """The share of an epoch's picks that the epoch before picked, too, in words; None if either has none, or no p."""
    p, rows = run.probabilities(epoch), run.drawn(epoch)
    before = run.drawn(epoch - 1) if epoch > 1 else np.arange(0)
    if p is None or not len(rows) or not len(before):
        return None
    return f"{np.isin(rows, before).mean():.1%} picked again, {len(before) / len(p):.1%} by chance"


def recorded_picks(run: Run, epoch: int, dataset: Dataset | None = None, order: str = "as drawn") -> pd.DataFrame:
    """The rows of `all_picks` whose image is recorded in `x_adv`, in one of `ORDERS`."""
    every = all_picks(run, epoch, dataset)
    return selected(every[every["recorded"]], order=order)


def all_picks(run: Run, epoch: int, dataset: Dataset | None = None) -> pd.DataFrame:
    """All picks of an epoch (K): position in the draw, image (row i), p, times uniform (p·T), rank of p, label, class,
    recorded, again.

    `recorded`: its x_adv is `run.x_adv(epoch)[position]`; `again`: also drawn in the previous epoch. For recorded
    picks, by the network that made x′: `loss` and `loss after`, cross-entropy of x and of x′ in nats; `before` and
    `after`, the predicted classes; `outcome`, one of `OUTCOMES`. Missing are p and rank for n = all; label, class and
    outcome without `dataset`; losses and predictions in runs recorded by older versions. AATError if an image is not
    in the data set.
    """
    image, p = run.drawn(epoch), run.probabilities(epoch)
    position = np.arange(len(image))
    missing = pd.array([pd.NA] * len(image), dtype="Int64")
    share = np.full(len(image), np.nan) if p is None else p[image].astype(np.float64)
    label = None if dataset is None else labels_of(run, dataset, image)
    columns = {
        "position": position,
        "image": image,
        "p": share,
        "times uniform": share if p is None else share * len(p),
        "rank": missing if p is None else pd.array(diagnostics.ranks(p)[image], dtype="Int64"),
        "label": missing if label is None else pd.array(label, dtype="Int64"),
        "class": None if dataset is None or label is None else np.array(dataset.class_names)[label],
        "recorded": position < len(run.x_adv(epoch)),
        "again": np.isin(image, run.drawn(epoch - 1)) if epoch > 1 else False,
    }
    frame = pd.DataFrame(columns, index=range(len(image)))
    return pd.concat([frame, predictions_of(run, epoch, image, position, dataset)], axis="columns")


def selected(
    frame: pd.DataFrame,
    *,
    classes: Collection[str] = (),
    outcomes: Collection[str] = (),
    exponents: tuple[float, float] | None = None,
    order: str = "as drawn",
) -> pd.DataFrame:
    """Rows of `all_picks` with these classes and outcomes (empty: any) and log10 p in this range, ends included.

    Rows without p are in every range. `order` is one of `ORDERS`; AATError otherwise.
    """
    if order not in ORDERS:
        raise AATError(f"order={order} is unknown; choose one of {', '.join(ORDERS)}")
    if classes:
        frame = frame[frame["class"].isin(list(classes))]
    if outcomes:
        frame = frame[frame["outcome"].isin(list(outcomes))]
    if exponents is not None:
        low, high = exponents
        # p is rounded to float32, and the ends of the range to one digit.
        frame = frame[frame["p"].isna() | frame["p"].between(10 ** (low - 1e-6), 10 ** (high + 1e-6))]
    by = ORDERS[order]
    ascending = [not name.startswith("-") for name in by]
    return frame.sort_values([name.lstrip("-") for name in by], ascending=ascending, ignore_index=True, kind="stable")


def axes(run: Run, dataset: Dataset | None = None) -> Axes | None:
    """`Axes` that hold a few epochs from the second to the last; None if none of them has p.

    The first is left out: p by an untrained network is so narrow that its bars would dwarf those of all others.
    """
    epochs = [int(epoch) for epoch in np.unique(np.linspace(min(2, run.epoch), run.epoch, AXES_EPOCHS).round())]
    binned = [histogram for epoch in epochs if (histogram := p_histogram(run, epoch)) is not None]
    if not binned:
        return None
    exponents = np.log10([min(one["p_low"].min() for one in binned), max(one["p_high"].max() for one in binned)])
    low, high = float(np.floor(exponents[0] * 10) / 10), float(np.ceil(exponents[1] * 10) / 10)
    common = [histogram for epoch in epochs if (histogram := p_histogram(run, epoch, within=(low, high))) is not None]
    mixes = [] if dataset is None else [class_mix(run, epoch, dataset) for epoch in epochs]
    return Axes(
        (low, high),
        max(float(one["share"].max()) for one in common),
        max((float(mix["share"].max()) for mix in mixes), default=0.0),
    )


def p_histogram(run: Run, epoch: int, bins: int = 40, within: tuple[float, float] | None = None) -> pd.DataFrame | None:
    """Histogram of p for all T and the drawn samples: p_low, p_high, group, count, share (of its group), uniform (1/T).

    `within`: a range of log10 p that the bins cover at least. None without p; samples with p = 0 are in no bin.
    """
    p, rows = run.probabilities(epoch), run.drawn(epoch)
    if p is None:
        return None
    binned = diagnostics.histogram(p, rows, bins, within)
    parts = []
    for group, counts, total in (("all", binned.counts_all, len(p)), ("drawn", binned.counts_drawn, len(rows))):
        part = pd.DataFrame({"p_low": binned.edges[:-1], "p_high": binned.edges[1:], "group": group, "count": counts})
        parts.append(part.assign(share=part["count"] / max(1, total), uniform=1 / len(p)))
    return pd.concat(parts, ignore_index=True)


def exponents(p: float, q: float, low: float, high: float) -> tuple[float, float]:
    """The range of log10 p that holds p and q, rounded outwards to one digit and kept within `low` and `high`."""
    ends = np.log10(np.sort([max(p, 10**low), max(q, 10**low)]))
    rounded = np.clip([np.floor(ends[0] * 10) / 10, np.ceil(ends[1] * 10) / 10], low, high)
    return round(float(rounded[0]), 1), round(float(rounded[1]), 1)


def captions(frame: pd.DataFrame) -> list[str]:
    """Caption of each row of `all_picks`, in lines: image and class; p and rank; predicted class before and after."""
    return [_caption(row) for row in frame.to_dict("records")]


def _caption(row: dict[Any, Any]) -> str:
    return _image_and_p(row) + ("" if pd.isna(row["before"]) else f"\n{row['before']}\n→ {row['after']}")


def _image_and_p(row: dict[Any, Any]) -> str:
    named = "" if pd.isna(row["class"]) else f"  {row['class']}"
    ranked = "" if pd.isna(row["rank"]) else f"\n{times(row['times uniform'])}  rank {row['rank']:,}"
    return f"#{row['image']}{named}{ranked}"


def times(multiple: float) -> str:
    """p as a multiple of uniform p = 1/T, for people: `3.4× uniform`."""
    return f"{multiple:.0f}× uniform" if multiple >= 9.95 else f"{multiple:.2g}× uniform"


def titles(frame: pd.DataFrame) -> list[str]:
    """One line for each row of `all_picks`, with its outcome and whether the previous epoch picked it too."""
    return [_title(row) for row in frame.to_dict("records")]


def _title(row: dict[Any, Any]) -> str:
    image_and_p = _image_and_p(row).replace("\n", ", ").replace("  ", ", ")
    return ", ".join([image_and_p, *prediction_texts(row), "picked again" if row["again"] else "newly picked"])


def with_shown(binned: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """`p_histogram` or `class_mix` with a group `shown`: these rows of `all_picks`, as shares of all drawn."""
    drawn_bins = binned[binned["group"] == "drawn"]
    total = max(1, int(drawn_bins["count"].sum()))
    if "class" in binned:
        counts = shown["class"].value_counts().reindex(drawn_bins["class"], fill_value=0).to_numpy()
    else:
        edges = np.append(drawn_bins["p_low"], drawn_bins["p_high"].iloc[-1])
        p = shown["p"].to_numpy()
        counts = np.histogram(np.clip(p[p > 0], edges[0], edges[-1]), edges)[0]
    return pd.concat([binned, drawn_bins.assign(group="shown", count=counts, share=counts / total)], ignore_index=True)


def class_mix(run: Run, epoch: int, dataset: Dataset) -> pd.DataFrame:
    """Classes of all T and of the drawn samples: label, class, group, count, share (of its group; sums to 1)."""
    names = dataset.class_names
    parts = []
    for group, labels in (("all", dataset.train.labels), ("drawn", labels_of(run, dataset, run.drawn(epoch)))):
        counts = np.bincount(labels, minlength=len(names))
        part = pd.DataFrame({"label": range(len(names)), "class": names, "group": group, "count": counts})
        parts.append(part.assign(share=counts / max(1, len(labels))))
    return pd.concat(parts, ignore_index=True)
