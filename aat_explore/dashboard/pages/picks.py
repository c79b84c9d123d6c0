"""What one epoch picked: a sheet of images, a filmstrip over the epochs, and a map of all samples."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from aat_explore.budgets import epsilon_text
from aat_explore.dashboard import (
    beside,
    choices,
    chosen,
    context,
    downloads,
    filmstrip,
    look,
    page,
    picks_sheet,
    samples_map,
    selection,
    state,
)
from aat_explore.datasets import Dataset
from aat_explore.scores import PAPERS_SCORE
from aat_explore.store import Run
from aat_explore.views import charts, frames
from aat_explore.views.protocols import Frame
from aat_explore.views.recipes import norm_name, when_perturbed

SHEET, FILMSTRIP, MAP, SELECTION = "Sheet", "Filmstrip", "Map", "Selection"
VIEWS = (SHEET, FILMSTRIP, MAP, SELECTION)
OUTCOME = (
    "Of the recorded images, by the network that made x′: fooled (right before, wrong after), resists (right, right), "
    "wrong already (wrong, wrong), corrected (wrong, right: label leaking, if the attack knew the true label)"
)
EXPONENTS = (-12.0, 0.0)  # of p, on the slider; its low end includes everything below
RAIL = [0.76, 0.24]  # widths of the images and of the charts beside them


def show() -> None:
    """Images first: the picks of an epoch, or of several; p and class mix beside them; filters in the sidebar."""
    page.name("Picks")
    run = context.picking_run(page.readable_runs())
    epoch = context.choose_epoch(run)
    dataset = page.dataset_of(run)
    every = page.remembered(frames.picks.all_picks, run, epoch, dataset)
    with st.sidebar:
        view = choices.switch("View", VIEWS, "view", label_visibility="collapsed")
        classes = [] if dataset is None else choices.choose_many("Classes", dataset.class_names, "class")
        shown = _filtered(every, classes, view)
    selected = selection.show(run.config.dataset)
    page.statement(
        "Picks",
        _statement(run, epoch, every),
        r"p_i = \frac{\lVert\nabla_{x_i} J\rVert_2^{k}}{\sum_j \lVert\nabla_{x_j} J\rVert_2^{k}},\qquad "
        r"x' = A_\varepsilon(x),\qquad \lVert x' - x\rVert_\infty \le \varepsilon",
        _explanation(run),
    )
    opened = beside.row_of(run, dataset)
    images, rail = st.columns(RAIL, gap="small")
    with images:  # sent first: images matter most, and browsers take longest to draw charts
        if view == SHEET:
            picks_sheet.show(run, epoch, dataset, shown, selected, opened)
        elif view == FILMSTRIP:
            filmstrip.show(run, dataset, classes, selected, opened)
        elif view == MAP:
            samples_map.show(run, epoch, dataset, classes, selected)
        else:
            chosen.show(run, dataset, selected, opened)
    with rail:
        if opened is not None:
            beside.show(run, dataset, epoch, opened)
        if view == MAP:
            samples_map.lassoed(run, dataset, selected, opened)
        _distributions(run, epoch, dataset, shown, whole=len(shown) == len(every))


def _statement(run: Run, epoch: int, every: Frame) -> str:
    """The epoch's picks in numbers, in one line."""
    statistics = page.remembered(frames.picks.draw_statistics, run, epoch)
    if statistics is None:
        return f"**Epoch {epoch}** · {len(every):,} perturbed, drawn from no distribution (n = all, or warm-up)"
    parts = [
        f"**Epoch {epoch}**",
        f"{statistics.num_drawn:,} of {statistics.num_train:,} picked",
        *statistics.words,
    ]
    if again := page.remembered(frames.picks.picked_again, run, epoch):
        parts.append(again)
    if statistics.shortfall:
        parts.append(f"{statistics.shortfall:,} fewer than n, because too few had p > 0")
    return " · ".join(parts)


def _explanation(run: Run) -> str:
    score = run.config.canonical().score
    of_run = "" if score == PAPERS_SCORE else f" Here p is proportional to {norm_name(run.config.norm_power, score)}."
    attack = (
        f"{run.config.resolved_attack.name} at ε = {epsilon_text(run.config.epsilon)}, {when_perturbed(run.config)}"
    )
    return (
        "p is proportional to the k-th power of the norm of the loss's gradient at each clean image (k = 1 Norm, k = 2 "
        "Squared Norm), or of another score that the run names; n images are drawn from p and perturbed by the run's "
        f"attack A: here, {page.plain(attack)}.{page.plain(of_run)} The effective sample size is 1/Σp². Click an image "
        "to see it at the side; click with Shift, or press s on it, to select it."
    )


# --- Filters ---------------------------------------------------------------------------------------------------------


def _filtered(every: Frame, classes: Sequence[str], view: str) -> Frame:
    """What passes the filters of this view; for n = all and warm-up there is no p to filter by."""
    if view in (FILMSTRIP, MAP, SELECTION):
        return frames.picks.selected(every, classes=classes)
    outcomes = []
    if counts := frames.recorded.outcome_counts(every):
        outcomes = choices.choose_many("Outcome", list(counts), "outcome", help=OUTCOME)
    exponents = None
    if every["p"].notna().any():
        low, high = choices.between(
            "log₁₀ p", *EXPONENTS, "p", step=0.1, format="%.1f", help="Or drag across the histogram of p"
        )
        exponents = (low if low > EXPONENTS[0] else float("-inf"), high)
    return frames.picks.selected(every, classes=classes, outcomes=outcomes, exponents=exponents)


# --- Beside the images -----------------------------------------------------------------------------------------------


def _distributions(run: Run, epoch: int, dataset: Dataset | None, shown: Frame, *, whole: bool) -> None:
    axes = page.remembered(frames.picks.axes, run, dataset)
    histogram = page.remembered(frames.picks.p_histogram, run, epoch, within=axes.exponents if axes else None)
    if histogram is not None:
        data = histogram if whole else frames.picks.with_shown(histogram, shown)
        look.legend(charts.picks.legend(data, dark=page.dark()))
        downloads.chart(
            partial(charts.picks.p_histogram, data, top=axes.share if axes else 0.0, dark=page.dark(), legend=False),
            data,
            f"p-{run.id}-{epoch}",
            alt="Histogram of p in the epoch chosen: all samples, the picked and those shown",
            height=170,
            key="histogram",
            on_select=_brushed,
            selection_mode=charts.picks.BRUSH,
        )
    if dataset is not None:
        mix = page.remembered(frames.picks.class_mix, run, epoch, dataset)
        mix = mix if whole else frames.picks.with_shown(mix, shown)
        downloads.chart(
            partial(charts.picks.class_mix, mix, top=axes.class_share if axes else 0.0, dark=page.dark(), legend=False),
            mix,
            f"classes-{run.id}-{epoch}",
            alt="Share of each class among all samples and among those picked in the epoch chosen",
            height=300,
            key="classes",
            on_select=_clicked,
            selection_mode=charts.picks.CLICK,
        )


def _brushed() -> None:
    """Set the slider of p to the range dragged across the histogram; clearing the range resets it."""
    ends = state.selection("histogram").get(charts.picks.BRUSH, {}).get("p_low")
    choices.ask("p", frames.picks.exponents(ends[0], ends[1], *EXPONENTS) if ends else EXPONENTS)


def _clicked() -> None:
    """Set the class filter to the classes whose bars were clicked."""
    points = state.selection("classes").get(charts.picks.CLICK, [])
    choices.ask("class", list(dict.fromkeys(point["class"] for point in points)))
