"""All runs in the cache, and one of them live."""

from functools import partial

import streamlit as st

from aat_explore.dashboard import choices, context, downloads, page, state
from aat_explore.errors import AATError
from aat_explore.states import standing
from aat_explore.store import Run, Store
from aat_explore.views import charts, frames
from aat_explore.views.protocols import Frame

COLUMNS = {
    "run": st.column_config.TextColumn(pinned=True, width=270),
    "n": st.column_config.TextColumn(width=50, help="Samples perturbed per epoch"),
    "norm power": st.column_config.TextColumn(
        help="1: Norm, 2: Squared Norm, 0: uniform control; with the score, if it is not gradient-norm"
    ),
    "epochs": st.column_config.TextColumn(help="Finished, out of those planned"),
    "clean accuracy": st.column_config.NumberColumn(
        format="percent", help="At ε = 0, at the latest epoch evaluated on test images"
    ),
    "robust accuracy": st.column_config.NumberColumn(
        format="percent",
        help="At the training ε, at the same epoch, under the attack in 'tested with', the strongest tried",
    ),
    "seconds an epoch": st.column_config.NumberColumn(
        format="%.1f", help="Scoring, drawing, perturbing and training; median over epochs"
    ),
    "total seconds": st.column_config.NumberColumn(format="%.0f", help="Including validation and recording"),
    "flag": st.column_config.TextColumn(
        width=170,
        help="Checks that the run fails, judged by its validation accuracies, its evaluations and `aat check`; the "
        "Checks page explains why",
    ),
}


TEXTS = ("dataset", "n", "norm power", "attack", "seed", "status", "flag", "tested with", "epochs")
NUMBERS = ("clean accuracy", "robust accuracy", "seconds an epoch", "total seconds")
PROGRESS = {
    "run": st.column_config.TextColumn(width=270),
    "done": st.column_config.ProgressColumn(format="percent"),
    "training loss": st.column_config.LineChartColumn("training loss, nats", y_min=0),
    "clean accuracy": st.column_config.LineChartColumn("clean accuracy, validation", y_min=0, y_max=1),
    "robust accuracy (PGD)": st.column_config.LineChartColumn("robust accuracy (PGD), validation", y_min=0, y_max=1),
    "minutes left": st.column_config.NumberColumn(format="%.1f", help="At the pace of the last ten epochs"),
}


def show() -> None:
    """Table of all runs to filter and select; runs in training; one run's losses and validation accuracies."""
    page.heading(
        "Runs",
        "Every run in the cache: its cost and its test accuracies; below, the learning curves of one of them.",
        r"p_i = \frac{\lVert\nabla_{x_i} J\rVert_2^{k}}{\sum_j \lVert\nabla_{x_j} J\rVert_2^{k}}",
        "Each epoch, n samples are drawn from p (k is the norm power: 1 Norm, 2 Squared Norm; another score may take "
        "the norm's place) and perturbed by the attack; the network is trained on all T samples, of which those n "
        "are perturbed. n = 0 is standard training, n = all perturbs every sample.",
    )
    runs = page.readable_runs()
    training = sorted(run.id for run in runs if run.training)
    table = page.remembered(frames.runs.runs_table, runs, training)
    opened = _table(_filtered(table), len(table))
    _in_training([run for run in runs if run.id in training])
    if opened is not None:
        choices.ask("run", opened)
    run = context.choose_run(runs)
    _one_run(run, training)
    followed = {other.id: other.revision for other in runs if other.id in training or other is run}
    _follow(followed, training, Store(page.cache_dir()).run_ids())


def _filtered(table: Frame) -> Frame:
    """The table's rows that pass the filters on the columns chosen."""
    columns = choices.choose_many("Filter by", [*TEXTS, *NUMBERS], "by")
    texts = {
        column: choices.choose_many(column, frames.runs.values(table, column), f"by-{column}")
        for column in columns
        if column in TEXTS
    }
    ranges = {}
    for column in columns:
        if column in NUMBERS and (ends := frames.runs.extent(table, column)) is not None:
            # Rounded outwards by the slider's own steps, or the full range would exclude the extreme runs.
            ranges[column] = choices.between(column, ends[0], ends[1], f"by-{column}", step=(ends[1] - ends[0]) / 200)
    return frames.runs.filtered(table, texts, ranges)


def _table(table: Frame, total: int) -> str | None:
    """Show the table and keep the ticked runs for all pages; returns the id of a run whose cell was just clicked."""
    shown = list(table["run"])
    picked = (choices.param("runs") or "").split(",")
    ticked = [at for at, run_id in enumerate(shown) if run_id in picked]
    key = f"table {','.join(shown)}"  # other rows make another table: ticks are row numbers
    selection = downloads.table(
        table,
        alt="Runs in the cache",
        column_config=COLUMNS,
        key=key,
        on_select="rerun",
        selection_mode=["multi-row", "single-cell"],
        selection_default={"selection": {"rows": ticked}},
    )["selection"]
    hidden = [run_id for run_id in picked if run_id and run_id not in shown]
    chosen = [*hidden, *(shown[at] for at in selection["rows"] if at < len(shown))]
    choices.set_param("runs", ",".join(chosen) or None)
    effect = "the other pages show only these" if chosen else "tick rows to see only those on the other pages"
    st.caption(
        f"Showing {len(shown)} of {total} runs; {len(chosen)} selected: {effect}. Click a cell to open its run below."
    )
    cells = [tuple(cell) for cell in selection["cells"]]
    before = state.CELL_OPENED.get()
    state.CELL_OPENED.set((key, cells))
    if not cells or before == (key, cells):
        return None
    return shown[int(cells[0][0])] if int(cells[0][0]) < len(shown) else None


def _in_training(runs: list[Run]) -> None:
    if not runs:
        return
    st.subheader("In training")
    downloads.table(page.remembered(frames.runs.progress, runs), alt="Runs in training", column_config=PROGRESS)


def _one_run(run: Run, training: list[str]) -> None:
    status = standing(run.config, run, busy=run.id in training).status
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in page.remembered(frames.runs.last_losses, run).items())
    progress = f"{run.epoch} of {run.config.epochs} epochs, {status}; last training loss in nats: {losses}"
    st.progress(run.epoch / run.config.epochs, progress)
    if status == "cut off":
        st.info(f"Training stopped after epoch {run.epoch}; the same `aat train` command resumes it.")
    if not run.evaluations() and status != "training":
        st.info("Not evaluated yet, so there is no test accuracy. To measure it:")
        st.code(page.command(f"evaluate {run.id}"), language="bash")
    metrics = page.remembered(frames.runs.epoch_metrics, run)
    kinds = frames.runs.KINDS
    for column, kind in zip(st.columns(len(kinds)), kinds, strict=True):
        with column:
            draw = partial(charts.runs.epoch_metrics, metrics, kind)
            downloads.chart(
                draw, metrics, f"{run.id}-{kind}", alt=f"{kinds[kind].title.capitalize()} of {run.id} by epoch"
            )
    st.caption(
        "Accuracies on validation images, robust ones at the training ε. FGSM accuracy alone proves nothing: a network "
        "can learn to resist FGSM alone, which PGD reveals."
    )
    if run.evaluations():
        _over_epochs(run)


def _over_epochs(run: Run) -> None:
    """Test accuracies of the epochs evaluated; if that is only one, how to evaluate more."""
    tested = page.remembered(frames.runs.robustness_over_epochs, run)
    if tested.empty:
        st.caption("To measure robust accuracy on test images over the epochs, from the saved checkpoints:")
        st.code(page.command(f"evaluate {run.id} --every 5 --images 500"), language="bash")
        return
    draw = partial(charts.runs.robustness_over_epochs, tested)
    downloads.chart(draw, tested, f"{run.id}-over-epochs", alt=f"Test accuracies of {run.id} by epoch")
    st.caption("On test images, at the checkpoints that were evaluated. Bands are 95 % intervals (Wilson).")


@st.fragment(run_every=2)
def _follow(revisions: dict[str, str], training: list[str], run_ids: list[str]) -> None:
    """Redraw the page if a followed run committed an epoch, a training ended, or runs came or went."""
    store = Store(page.cache_dir())
    try:
        now = {run_id: store.open(run_id) for run_id in revisions}
        changed = any(run.revision != revisions[run_id] for run_id, run in now.items())
        unchanged = not changed and store.run_ids() == run_ids and training == [i for i in training if now[i].training]
    except AATError:  # a followed run was moved away or is damaged now: the page says so
        unchanged = False
    if not unchanged:
        st.rerun()
