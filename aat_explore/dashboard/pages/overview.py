"""Both questions answered for one data set: which samples get picked, and what picking them buys."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from aat_explore import command_lines, datasets
from aat_explore.budgets import epsilon_text
from aat_explore.dashboard import choices, context, downloads, figures, page, picks_sheet, selection, sheet
from aat_explore.datasets import Dataset
from aat_explore.errors import AATError
from aat_explore.store import Run, Store
from aat_explore.views import charts, frames, names
from aat_explore.views.recipes import norm_name

HALVES = [0.55, 0.45]  # widths of the images and of the figure
PER_ROW = 40  # tiles; the window cuts those that do not fit
HEIGHT = 300  # of the figure


def from_its_name() -> None:
    """Open the start page for an address that names it; its own address has no name."""
    page.open_page(page.START, **dict(st.query_params))


def show() -> None:
    """A filmstrip of the most likely picks of one run, and clean and robust accuracy against n, with a line on each."""
    runs = page.readable_runs()
    run = context.choose_run(runs, prefer=_picks)
    page.heading(
        "Overview",
        _statement(run),
        r"p_i \propto \lVert\nabla_{x_i} J\rVert_2^{k},\qquad K \sim p,\ |K| = n,\qquad "
        r"x_i' = A_\varepsilon(x_i)\ \text{for}\ i \in K",
        "Each epoch draws n of the T training images with probability p, proportional to a power of the norm of the "
        "loss's gradient at the image, and perturbs only those. Each row of images shows one epoch's picks, most "
        "likely first. Clean accuracy is on unperturbed test images; robust accuracy is what is left under the attack "
        "named. *Standard training* perturbs none (n = 0).",
    )
    training = [other for other in runs if other.training]
    _say_training(training)
    left, right = st.columns(HALVES, gap="medium")
    with left:
        _which(runs, run)
    with right:
        _buys(runs, run)
    _follow({other.id: other.revision for other in training}, Store(page.cache_dir()).run_ids())


def _statement(run: Run) -> str:
    """What the run does, in one line."""
    parts = names.name_parts(run.config)
    try:
        total = f" of {datasets.num_train(run.config.dataset, cache_dir=page.cache_dir()):,}"
    except AATError:  # custom images that are no longer there
        total = ""
    n = run.config.num_perturbed
    count = "all" if n == "all" else f"{n:,}"
    what = f"{count}{total} training images perturbed per epoch" if n else "standard training, nothing perturbed"
    picked = f", picked by {parts['norm']}" if "norm" in parts else ""
    attack = f" · {parts['attack']}" if "attack" in parts else ""
    return f"**{page.plain(parts['dataset'])}** · {what}{page.plain(picked + attack)}"


def _picks(run: Run) -> bool:
    return run.recorded and run.config.samples


# --- Which samples get picked ----------------------------------------------------------------------------------------


def _which(runs: Sequence[Run], run: Run) -> None:
    same = [other for other in context.in_order(runs) if other.config.dataset == run.config.dataset and _picks(other)]
    picking = run if _picks(run) else next(iter(same), None)
    if picking is None:
        _title("Which samples get picked")
        st.info("No run of this data set has a record of what it picked. To train one:")
        like = command_lines.train_like(run.config, num_perturbed=run.config.num_perturbed or 1000)
        st.code(page.command(like), language="bash")
        return
    if _title("Which samples get picked", "Picks", "open picks"):
        page.open_page("picks", run=picking.id, epoch=picking.epoch, view="Filmstrip")
    dataset = _dataset_of(picking)
    epochs = page.remembered(frames.filmstrip.epochs_shown, picking)
    if not epochs:
        st.info("This run has not picked anything yet.")
        return
    st.markdown(page.line(page.remembered(frames.overview.which_picked, picking, epochs[-1], dataset)))
    if picking is not run:
        st.caption(f"Picked by {page.plain(names.full_name(picking.config))}; the run chosen has no record of picks.")
    clicked = _strip(picking, dataset, epochs)
    if clicked is not None:
        page.open_page("sample", run=picking.id, epoch=clicked[0], image=clicked[1])


def _dataset_of(run: Run) -> Dataset | None:
    try:
        return datasets.load(run.config.dataset, cache_dir=page.cache_dir(), prepare=False)
    except AATError:
        return None


def _strip(run: Run, dataset: Dataset | None, epochs: list[int]) -> tuple[int, int] | None:
    """Draw the filmstrip; returns the epoch and the row of the image just clicked."""
    if dataset is None:
        recorded = page.remembered(frames.overview.perturbed_strip, run, epochs, PER_ROW)
        strip = [part.row for part in recorded]
        st.caption("Perturbed images x′ of recorded picks: the clean images are not on this machine.")
        if not strip:
            return None
        images = np.concatenate([part.images for part in recorded])
    else:
        strip = page.remembered(frames.filmstrip.filmstrip, run, epochs, PER_ROW, "most likely", dataset)
        images = frames.sample.clean_images(run, dataset, np.concatenate([part.rows for part in strip]))
    ids = [int(row) for part in strip for row in part.rows]
    tiles = sheet.Tiles(
        titles=[title for part in strip for title in part.titles],
        ids=ids,
        groups={f"epoch {part.epoch}": len(part.rows) for part in strip},
        selected=selection.rows(run.config.dataset),
    )
    at = sheet.draw(
        {"clean": images},
        tiles,
        "overview",
        scale=picks_sheet.scale_of(images.shape[-1], "M"),
        on_select=lambda row: selection.flip(run.config.dataset, row),
    )
    if at is None:
        return None
    return [part.epoch for part in strip for _ in part.rows][at], ids[at]


# --- What they buy ---------------------------------------------------------------------------------------------------


def _buys(runs: Sequence[Run], run: Run) -> None:
    """The run's data set and settings; runs of the showcase only where the run is one of them."""
    alike = [other for other in runs if other.config.dataset == run.config.dataset and other.showcase == run.showcase]
    measured = page.remembered(frames.figures.evaluated, alike)
    if measured.empty:
        _title("What they buy")
        st.info("None of these runs has a test accuracy yet. To measure it:")
        st.code("\n".join(page.command(f"evaluate {other.id}") for other in alike[:4]), language="bash")
        return
    dataset, chosen, test = frames.results.usual(measured, run.id)
    shown = figures.Shown(alike, measured, dataset, chosen, test)
    epsilon = figures.usual_epsilon(shown)
    if _title("What they buy", "Results", "open results"):
        if run.showcase:
            choices.ask("showcase", True)
        page.open_page("results", dataset=dataset, test=test, **{f"settings-{dataset}": str(chosen)})
    points = frames.results.accuracies(measured, dataset, chosen, test, epsilon, shown.configs)
    means = frames.results.with_intervals(points, ["measure", "norm", "n", "place"])
    config = run.config
    statement = frames.results.statement(
        means, norm_name(config.norm_power, config.canonical().score), str(config.num_perturbed)
    )
    st.markdown(page.line([*statement, f"{test.split(',')[0]} at ε\u00a0{epsilon_text(epsilon)}"]))
    single = frames.results.with_means(points, means, ["measure", "norm", "n", "place"])
    draw = partial(charts.results.accuracy_against_n, single, means, dark=page.dark())
    downloads.chart(
        draw,
        single,
        f"accuracy-against-n-{dataset}",
        alt=f"Clean and robust accuracy against n: {'; '.join(statement)}",
        height=HEIGHT,
    )
    figures.what_works(shown)


# --- Shared ----------------------------------------------------------------------------------------------------------


def _title(question: str, target: str | None = None, key: str | None = None) -> bool:
    """A heading, with a button to the page that shows more; whether that was just pressed."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"question {question}"):
        st.markdown(f"## {question}", width="stretch")
        return target is not None and st.button(target, icon=":material/arrow_forward:", type="tertiary", key=key)


def _say_training(training: Sequence[Run]) -> None:
    for run, line in zip(training, page.remembered(frames.overview.in_training, list(training)), strict=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f":material/model_training: Training now: {page.plain(line)}", width="stretch")
            if st.button("Follow", icon=":material/arrow_forward:", type="tertiary", key=f"follow {run.id}"):
                page.open_page("runs", run=run.id)


@st.fragment(run_every=2)
def _follow(revisions: dict[str, str], run_ids: list[str]) -> None:
    """Redraw the page if a run in training committed an epoch or ended, or runs came or went."""
    store = Store(page.cache_dir())
    try:
        now = {run_id: store.open(run_id) for run_id in revisions}
        moved = any(run.revision != revisions[run_id] or not run.training for run_id, run in now.items())
    except AATError:
        moved = True
    if moved or store.run_ids() != run_ids:
        st.rerun()
