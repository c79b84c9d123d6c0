"""All runs in the cache to search, sort and open, and the curves of the one that is open."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import streamlit as st

from aat_explore.config import RunConfig
from aat_explore.dashboard import background, choices, context, downloads, page, run_list, train_form
from aat_explore.dashboard.run_list import Column
from aat_explore.errors import AATError
from aat_explore.jobs.job import Job
from aat_explore.states import standing
from aat_explore.store import Run, Store
from aat_explore.views import charts, frames, names
from aat_explore.views.protocols import Frame

COLUMNS = (
    Column("name", "run", "name"),
    Column("clean accuracy", "clean", "percent", "Clean accuracy on test images, at the latest epoch evaluated"),
    Column(
        "robust accuracy", "robust", "percent", "At the training ε and the same epoch, under the strongest attack tried"
    ),
    Column("flag", "fails", help="Checks that the run fails; the Checks page explains them"),
    Column("status", "status"),
    Column("seconds per epoch", "s/epoch", "seconds", "Seconds per epoch, without validation: the median"),
    Column("date", "date", "date", "Last change; of showcase runs, the day of their last test (UTC)"),
    Column("run", "id", "id", "What commands and files call it"),
)
TEXTS = {  # columns to filter by, with their labels
    "dataset": "Data set",
    "n": "n",
    "norm power": "Norm power",
    "attack": "Attack",
    "seed": "Seed",
    "status": "Status",
    "flag": "Fails",
    "tested with": "Tested with",
}
SHARES = {"clean accuracy": "Clean accuracy, %", "robust accuracy": "Robust accuracy, %"}
NUMBERS = {"seconds per epoch": "Seconds per epoch", "total seconds": "Total seconds"}
COMPARED = 3  # at most: as many as the Compare page takes
TABLE_HEIGHT = "clamp(150px, calc(100vh - 505px), 700px)"  # leaves room for the charts below
CHART_HEIGHT = 235
PROGRESS = {
    "run": st.column_config.TextColumn(width=270),
    "done": st.column_config.ProgressColumn(format="percent"),
    "training loss": st.column_config.LineChartColumn("training loss, nats", y_min=0),
    "clean accuracy": st.column_config.LineChartColumn("clean accuracy, validation", y_min=0, y_max=1),
    "robust accuracy (PGD)": st.column_config.LineChartColumn("robust accuracy (PGD), validation", y_min=0, y_max=1),
    "minutes left": st.column_config.NumberColumn(format="%.1f", help="At the pace of the last ten epochs"),
}


def show() -> None:
    """Search line, filters and actions; the table; the curves of the open run; what is in training."""
    page.name("Runs")
    every = page.readable_runs()
    runs = page.narrowed(every)
    training = sorted(run.id for run in every if run.training)
    run = context.choose_run(every)
    page.statement(
        "Runs",
        _statement(runs, training),
        r"p_i = \frac{\lVert\nabla_{x_i} J\rVert_2^{k}}{\sum_j \lVert\nabla_{x_j} J\rVert_2^{k}}",
        "Each epoch, n samples are drawn from p (k is the norm power: 1 Norm, 2 Squared Norm; another score may take "
        "the norm's place) and perturbed by the attack; the network is trained on all T samples, of which those n "
        "are perturbed. n = 0 is standard training, n = all perturbs every sample.\n\n"
        "Accuracies in the charts by epoch are of validation images, robust ones at the training ε. FGSM accuracy "
        "alone proves nothing: a network can learn to resist FGSM alone, which PGD reveals.",
    )
    table, total = _found(runs, training)
    _table(table, total, run, every, narrowed=len(runs) < len(every))
    _one_run(run, training)
    _in_training([run for run in every if run.id in training])
    followed = {other.id: other.revision for other in every if other.id in training or other is run}
    _follow(followed, training, Store(page.cache_dir()).run_ids())


def _statement(runs: Sequence[Run], training: Sequence[str]) -> str:
    failing = page.remembered(_failing, list(runs))
    parts = [f"**{len(runs):,} run{'' if len(runs) == 1 else 's'}**", f"{failing} fail a check"]
    if training:
        parts.append(f"{len(training)} in training")
    return " · ".join([*parts, "click a run to see its curves below"])


def _failing(runs: Sequence[Run]) -> int:
    return sum(bool(page.run_summary(run)["flag"]) for run in runs)


# --- The table -------------------------------------------------------------------------------------------------------


def _found(runs: Sequence[Run], training: Sequence[str]) -> tuple[Frame, int]:
    """The rows that the search and the filters leave, in the order of all choices of runs; and of how many."""
    bar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    with bar, st.container(width="stretch"):
        query = choices.text(
            "Search", "words", placeholder="Search: fashion 1,000 pgd-7 seed 0", label_visibility="collapsed"
        )
    with bar:
        filters = st.popover("Filters", icon=":material/filter_list:", key="filters")
        offered = context.offered(runs)
    table = page.remembered(_listed, offered, list(training))
    with filters:
        kept = _filtered(table)
    if query:
        words = kept.astype(str).agg(" ".join, axis=1)
        kept = kept[[names.matches(query, text) for text in words]]
    return kept.reset_index(drop=True), len(table)


def _listed(runs: Sequence[Run], training: Sequence[str]) -> Frame:
    """`frames.runs.runs_table` with each run's name, the epochs of unfinished ones in `status`, and its `date`."""
    table = frames.runs.runs_table(runs, training)
    named = context.run_names(runs)
    status = [
        of_run if of_run in ("complete", "showcase") else f"{of_run} {epochs}"
        for of_run, epochs in zip(table["status"], table["epochs"], strict=True)
    ]
    return table.assign(
        name=[named[run_id] for run_id in table["run"]], progress=status, date=[_date(run) for run in runs]
    )


def _date(run: Run) -> str:
    """When a run was last changed; of the showcase, whose files are as old as the checkout, when it was last tested."""
    if run.showcase:
        return max((evaluation.created[:10] for evaluation in run.evaluations()), default="")
    return f"{datetime.fromtimestamp(run.modified, UTC).astimezone():%Y-%m-%d %H:%M}"


def _filtered(table: Frame) -> Frame:
    """The table's rows that pass the filters."""
    left, right = st.columns(2)
    with left:
        texts = {
            column: choices.choose_many(label, frames.runs.values(table, column), f"by-{column}")
            for column, label in TEXTS.items()
        }
    ranges = {}
    with right:
        for column, label in (SHARES | NUMBERS).items():
            if (ends := frames.runs.extent(table, column)) is None:
                continue
            scale = 100 if column in SHARES else 1
            low, high = (scale * end for end in ends)
            chosen = choices.between(label, low, high, f"by-{column}", step=(high - low) / 200, format="%.1f")
            if chosen != (low, high):
                ranges[column] = (chosen[0] / scale, chosen[1] / scale)
    return frames.runs.filtered(table, texts, ranges)


def _table(table: Frame, total: int, run: Run, runs: Sequence[Run], *, narrowed: bool) -> None:
    """Actions, and the table with the run that is open and those that are ticked."""
    known = {run.id for run in runs}
    ticked = [run_id for run_id in (choices.param("ticked") or "").split(",") if run_id in known]
    choices.set_param("ticked", ",".join(ticked) or None)
    _actions(run, runs, ticked, len(runs) if narrowed else 0, f"{len(table):,} of {total:,} runs")
    shown = table.astype({"seed": str}).rename(columns={"status": "plain status", "progress": "status"})
    values = shown[[column.key for column in COLUMNS]].astype(object)
    rows = [
        run_list.Row(str(run_id), str(name), of_run)
        for run_id, name, of_run in zip(
            table["run"], table["name"], values.where(values.notna(), None).values.tolist(), strict=True
        )
    ]
    run_list.show(
        COLUMNS,
        rows,
        "runs table",
        label="Runs in the cache",
        none="No run fits the search and the filters.",
        height=TABLE_HEIGHT,
        opened=run.id,
        ticked=ticked,
        on_open=lambda run_id: choices.ask("run", run_id),
        on_tick=lambda run_ids: choices.ask("ticked", ",".join(run_ids)),
    )


def _actions(run: Run, runs: Sequence[Run], ticked: Sequence[str], hidden_from: int, counted: str) -> None:
    """What to do with the ticked runs and with the open one; `hidden_from`: of how many all pages show only some."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        number = f" ({len(ticked)})" if ticked else ""
        if st.button(
            f"Compare ticked{number}",
            icon=":material/compare_arrows:",
            disabled=not 2 <= len(ticked) <= COMPARED,
            help="Tick two or three runs to see them side by side.",
        ):
            page.open_page("compare", **dict(zip(("run", "with", "third"), [*ticked, "", ""], strict=False)))
        if hidden_from:
            if st.button(f"Show all {hidden_from:,} runs", icon=":material/filter_alt_off:", type="primary"):
                choices.ask("runs", "")
                st.rerun()
        elif st.button(
            "Show only these",
            icon=":material/filter_alt:",
            disabled=not ticked,
            help="Every page then shows the ticked runs alone, until you show all again.",
        ):
            choices.ask("runs", ",".join(ticked))
            choices.ask("words", "")
            if run.id not in ticked:
                choices.ask("run", ticked[0])
            st.rerun()
        if ticked and st.button("Untick", type="tertiary"):
            choices.ask("ticked", "")
            st.rerun()
        if st.button("Open picks", icon=":material/image_search:", help="What the open run picked in each epoch"):
            page.open_page("picks", run=run.id)
        if st.button("Checks", icon=":material/fact_check:", help="Whether the open run's robustness is real"):
            page.open_page("checks", run=run.id)
        if train_form.built_in(run.config) and st.button(
            "Train another",
            icon=":material/model_training:",
            help="Opens the form of the Train page with the settings of the open run and the next seed",
        ):
            page.open_page("train", **train_form.filled_with(_with_next_seed(run, runs)))
        st.caption(counted)


def _with_next_seed(run: Run, runs: Sequence[Run]) -> RunConfig:
    """A run's settings, with the first seed above those of all runs that have these settings."""
    alike = [other.config for other in runs if other.config.model_copy(update={"seed": run.config.seed}) == run.config]
    return run.config.model_copy(update={"seed": 1 + max(config.seed for config in alike)})


# --- The open run ----------------------------------------------------------------------------------------------------


def _one_run(run: Run, training: list[str]) -> None:
    status = standing(run.config, run, busy=run.id in training).status
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in page.remembered(frames.runs.last_losses, run).items())
    st.markdown(
        f"**{page.plain(names.full_name(run.config))}** · {run.epoch} of {run.config.epochs} epochs, {status} · "
        f":small[last training loss in nats: {losses}]"
    )
    if status == "cut off":
        st.caption(
            f":material/warning: Training stopped after epoch {run.epoch}; the same `aat train` command resumes it."
        )
        background.offer(run, Job(config=run.config), "Resume training", "resume training")
    metrics = page.remembered(frames.runs.epoch_metrics, run)
    kinds = frames.runs.KINDS
    *curves, tested = st.columns(len(kinds) + 1)
    for column, kind in zip(curves, kinds, strict=True):
        with column:
            draw = partial(charts.runs.epoch_metrics, metrics, kind)
            alt = f"{kinds[kind].title.capitalize()} of {run.id} by epoch"
            downloads.chart(draw, metrics, f"{run.id}-{kind}", alt=alt, height=CHART_HEIGHT)
    with tested:
        _over_epochs(run, status)


def _over_epochs(run: Run, status: str) -> None:
    """Test accuracies of the epochs evaluated; if that is none or one, how to evaluate more."""
    frame = page.remembered(frames.runs.robustness_over_epochs, run)
    if not frame.empty:
        draw = partial(charts.runs.robustness_over_epochs, frame)
        alt = f"Test accuracies of {run.id} by epoch, with 95% intervals (Wilson)"
        downloads.chart(draw, frame, f"{run.id}-over-epochs", alt=alt, height=CHART_HEIGHT)
    elif run.evaluations():
        st.caption("Tested at one epoch only. To measure test accuracies over the epochs, from the saved checkpoints:")
        st.code(page.command(f"evaluate {run.id} --every 5 --images 500"), language="bash", wrap_lines=True)
    elif status != "training":
        st.caption("Not evaluated yet, so there is no test accuracy. To measure it:")
        if run.complete and background.offer(run, Job(config=run.config), "Evaluate", "evaluate"):
            return
        st.code(page.command(f"evaluate {run.id}"), language="bash", wrap_lines=True)


def _in_training(runs: list[Run]) -> None:
    if not runs:
        return
    with st.expander(f"{len(runs)} in training", icon=":material/directions_run:"):
        downloads.table(page.remembered(frames.runs.progress, runs), alt="Runs in training", column_config=PROGRESS)


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
