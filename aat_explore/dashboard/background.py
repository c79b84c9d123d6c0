"""Work in the background, as pages start and show it: the queue, the run in training live, and what came of others."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st

from aat_explore import datasets
from aat_explore.budgets import epsilon_text
from aat_explore.config import RunConfig
from aat_explore.dashboard import downloads, page, sheet, state
from aat_explore.dashboard.text import duration
from aat_explore.dashboard.train_form import built_in
from aat_explore.errors import AATError
from aat_explore.jobs import queue
from aat_explore.jobs.job import Job
from aat_explore.jobs.queue import Entry
from aat_explore.store import Run, RunNotFoundError, Store
from aat_explore.views import charts, frames, names

ENDED = 10  # finished jobs to list
STARTING = 8.0  # seconds that a worker may take to start before the queue counts as paused
EPOCHS, TILES = 6, 24  # of the latest picks: rows, and images in each; the window cuts those that do not fit
CHART_HEIGHT = 190
ICONS = {
    "waiting": ":material/hourglass_empty:",
    "running": ":material/directions_run:",
    "done": ":material/check:",
    "failed": ":material/error:",
    "stopped": ":material/stop_circle:",
}


# --- Starting --------------------------------------------------------------------------------------------------------


def start(jobs: Sequence[Job]) -> int:
    """Queue every job that has something to do, and make sure a worker runs; returns how many were queued."""
    cache, queued = page.cache_dir(), 0
    for job in jobs:
        try:
            queue.enqueue(cache, job)
            queued += 1
        except AATError as error:
            st.error(page.plain(str(error)))
    if queued:
        _start_worker(cache)
    return queued


def offer(run: Run, job: Job, label: str, key: str) -> bool:
    """A button that does `job` for a local run in the background; False if that is impossible here.

    While it is done the button is replaced by a note, and the page is redrawn at its end. Runs with a custom network,
    score or attack are left to the command line: a click must not run code that a cache names.
    """
    cache = page.cache_dir()
    has_weights = bool(run.checkpoints()) if run.complete else run.resumable
    if run.showcase or not has_weights or not built_in(run.config) or not queue.writable(cache):
        return False
    if in_queue(run.config) is not None:
        st.caption(":material/directions_run: In the queue; the Train page shows how far it is.")
        _until_done(run.config)
        return True
    st.button(label, icon=":material/play_arrow:", key=key, on_click=_act, args=(_queue_again, cache, job))
    if refused := state.TRAIN_REFUSED.take():
        st.error(page.plain(refused))
    return True


def _queue_again(cache: Path, job: Job) -> None:
    queue.enqueue(cache, job)
    _start_worker(cache)


def _start_worker(cache: Path) -> None:
    state.WORKER_STARTED.set(time.time())
    queue.start_worker(cache)


def in_queue(config: RunConfig) -> Job | None:
    """The job that waits or runs for this run, if any."""
    jobs = [entry.job for entry in queue.listing(page.cache_dir()).entries if entry.active]
    return next((job for job in jobs if job.config.run_id == config.run_id), None)


@st.fragment(run_every=2)
def _until_done(config: RunConfig) -> None:
    if in_queue(config) is None:
        st.rerun()


# --- The queue -------------------------------------------------------------------------------------------------------


def show_queue(config: RunConfig | None) -> None:
    """The run in training live, then every other job; the page is redrawn when any of this changes.

    Until a run was started here, the one nearest to `config` stands in their place, to show what to expect.
    """
    cache = page.cache_dir()
    listing = queue.listing(cache)
    if refused := state.TRAIN_REFUSED.take():
        st.error(page.plain(refused))
    for reason in listing.damaged.values():
        st.warning(page.plain(reason))
    active = [entry for entry in listing.entries if entry.active]
    ended = [entry for entry in reversed(listing.entries) if not entry.active]
    shown = [*active, *ended[:ENDED]]
    if _paused():
        st.info("The queue is paused: its worker has ended.")
        if st.button("Resume the queue", key="train go on"):
            _start_worker(cache)
    for entry in shown:
        _entry(entry, is_latest=entry is (shown[0] if not active else None))
    if not shown:
        st.caption("Runs that you start train here, one at a time, with their latest picks.")
        if config is not None:
            _nearest(config)
    elif len(shown) < len(listing.entries):
        st.caption(f"The last {len(shown)} of {len(listing.entries)} runs started here.")
    _follow(_seen(), listing.damaged)


def statement() -> str:
    """What the queue is doing, in one line."""
    active = [entry.job for entry in queue.listing(page.cache_dir()).entries if entry.active]
    running = sum(job.state == "running" for job in active)
    if not active:
        return "Choose settings, see what they will cost, and **start**: training outlives this page and the dashboard"
    waiting = f", {len(active) - running} waiting" if len(active) > running else ""
    return f"**{running} running**{waiting}: training outlives this page and the dashboard"


def _paused() -> bool:
    cache = page.cache_dir()
    starting = time.time() - state.WORKER_STARTED.get() < STARTING
    return not starting and any(entry.active for entry in queue.listing(cache).entries) and not queue.working(cache)


def _entry(entry: Entry, *, is_latest: bool) -> None:
    """A job's card; that of the latest of an idle queue keeps its curves and picks."""
    job = entry.job
    with st.container(border=True):
        title, buttons = st.columns([3, 2], vertical_alignment="center")
        title.markdown(f"{ICONS[job.state]} **{page.plain(names.full_name(job.config))}**: {job.state}")
        run = _opened(job.config)
        with buttons, st.container(horizontal=True, horizontal_alignment="right", gap="xxsmall"):
            _buttons(entry, run)
        if job.reason:
            st.caption(page.plain(job.reason))
        if job.state == "running":
            _live(job, run)
        elif job.state == "done" and run is not None:
            st.markdown(_reached(run))
            if is_latest:
                _curves(run)
                _latest_picks(run)
        elif run is not None and not run.complete:
            st.caption(f"{run.epoch} of {run.config.epochs} epochs are kept.")
        lines = entry.log_lines()
        if lines and job.state in ("running", "failed"):
            with st.expander("Log", expanded=job.state == "failed"):
                st.code("\n".join(lines), language=None, wrap_lines=True)


def _nearest(config: RunConfig) -> None:
    """The curves and picks of the run of the same data set that is most like `config`, if there is one with picks."""
    store = Store(page.cache_dir())
    runs = {run.id: run for run in store.list().runs if run.config.dataset == config.dataset}
    sampling = [run for run in runs.values() if run.recorded and run.config.samples]
    if not sampling:
        return
    run = runs[frames.compare.nearest_runs(config, sampling)[0]]
    with st.container(border=True):
        title, link = st.columns([3, 1], vertical_alignment="center")
        title.markdown(f"Most similar run: **{page.plain(names.full_name(run.config))}**")
        with link, st.container(horizontal=True, horizontal_alignment="right"):
            if st.button("Picks", key="train nearest picks", type="tertiary"):
                page.open_page("picks", run=run.id, view="Sheet")
        st.markdown(_reached(run))
        _curves(run)
        _latest_picks(run)


def _opened(config: RunConfig) -> Run | None:
    try:
        return Store(page.cache_dir()).open(config.run_id)
    except RunNotFoundError:
        return None
    except AATError as error:
        st.caption(page.plain(str(error)))
        return None


def _buttons(entry: Entry, run: Run | None) -> None:
    """Links to what the run has, and what can be done with the job."""
    cache, job = page.cache_dir(), entry.job
    if run is not None:
        links = {"Picks": "picks", "Results": "results", "Compare": "compare"}
        for label, name in links.items() if job.state == "done" else [("Picks", "picks")]:
            if st.button(label, key=f"train {name} {entry.name}", type="tertiary"):
                page.open_page(name, run=run.id, **({"view": "Sheet"} if name == "picks" else {}))
    if job.state == "running":
        st.button(
            "Stop", icon=":material/stop:", key=f"train stop {entry.name}", on_click=_act,
            args=(queue.stop, cache, entry.name), help="Keeps the epochs finished so far.",
        )  # fmt: skip
        return
    if job.state in ("stopped", "failed"):
        st.button(
            "Resume" if job.state == "stopped" else "Try again", icon=":material/play_arrow:", type="tertiary",
            key=f"train resume {entry.name}", on_click=_act, args=(_resume, cache, entry),
        )  # fmt: skip
    st.button(
        "Cancel" if job.state == "waiting" else "Hide", key=f"train remove {entry.name}", type="tertiary",
        on_click=_act, args=(queue.remove, cache, entry.name),
        help="Takes the run out of the queue." if job.state == "waiting" else "Takes it off this list; it is kept.",
    )  # fmt: skip


def _resume(cache: Path, entry: Entry) -> None:
    job = entry.job.model_copy(update={"state": "waiting", "pid": None, "began": "", "reason": ""})
    queue.enqueue(cache, job)
    queue.remove(cache, entry.name)
    _start_worker(cache)


def _act(action: Callable[..., None], cache: Path, about: object) -> None:
    """Act on a job from a button's callback, which runs before anything can redraw the page."""
    try:
        action(cache, about)
    except AATError as error:
        state.TRAIN_REFUSED.set(str(error))


# --- The run in training ---------------------------------------------------------------------------------------------


def _live(job: Job, run: Run | None) -> None:
    """How far a run is, its curves and its latest picks, read from the store alone."""
    if run is None:
        st.progress(0.0, f"0 of {job.config.epochs} epochs; the first is in training")
        return
    [row] = page.remembered(frames.runs.progress, [run]).to_dict("records")
    if run.complete:
        st.markdown(f":material/target: All {run.config.epochs} epochs are trained; testing the network")
    else:
        left = duration(60 * row["minutes left"])
        st.progress(row["done"], f"{run.epoch} of {run.config.epochs} epochs; about {left} left")
    _curves(run)
    _latest_picks(run)


def _curves(run: Run) -> None:
    """Loss and validation accuracies by epoch."""
    metrics = page.remembered(frames.runs.epoch_metrics, run)
    kinds = list(frames.runs.KINDS)[:2]
    for place, kind in zip(st.columns(len(kinds)), kinds, strict=True):
        with place:
            draw = partial(charts.runs.epoch_metrics, metrics, kind)
            title = frames.runs.KINDS[kind].title.capitalize()
            downloads.chart(draw, metrics, f"{run.id}-{kind}", alt=f"{title} by epoch", height=CHART_HEIGHT)


def _latest_picks(run: Run) -> None:
    """The most likely picks of the last epochs, the newest on top."""
    if not run.recorded or run.config.num_perturbed == 0:
        st.caption("n = 0 is standard training: no samples are picked.")
        return
    try:
        dataset = datasets.load(run.config.dataset, cache_dir=page.cache_dir(), prepare=False)
    except AATError:  # the trainer prepares it
        return
    epochs = [epoch for epoch in range(run.epoch, max(0, run.epoch - EPOCHS), -1) if len(run.drawn(epoch))]
    strip = page.remembered(frames.filmstrip.filmstrip, run, epochs, TILES, "most likely", dataset)
    if not strip:
        return
    number = len(run.drawn(epochs[0]))
    st.caption(f"The most likely of the {number:,} samples that each epoch picked")
    rows = np.concatenate([of_epoch.rows for of_epoch in strip])
    tiles = sheet.Tiles(
        titles=[title for of_epoch in strip for title in of_epoch.titles],
        groups={f"epoch {of_epoch.epoch}": len(of_epoch.rows) for of_epoch in strip},
    )
    images = frames.sample.clean_images(run, dataset, rows)
    clicked = sheet.draw({"clean": images}, tiles, f"latest {run.id}", scale=42 / images.shape[-1])
    if clicked is not None:
        page.open_page("sample", run=run.id, image=int(rows[clicked]))


def _reached(run: Run) -> str:
    """Clean and robust accuracy on test images, if they are measured, and the checks that fail."""
    row = page.run_summary(run)
    if row["clean accuracy"] is None:
        return f"{run.epoch} epochs in {duration(row['total seconds'])}; not tested"
    parts = [f"clean accuracy **{row['clean accuracy']:.1%}**"]
    if row["robust accuracy"] is not None:
        tested = page.plain(row["tested with"])
        parts.append(
            f"robust accuracy **{row['robust accuracy']:.1%}** ({tested}, ε {epsilon_text(run.config.epsilon)})"
        )
    if row["flag"]:
        parts.append(f"{page.FLAG} fails: {page.plain(row['flag'])}")
    return " · ".join([*parts, duration(row["total seconds"])])


def _seen() -> tuple[object, ...]:
    """Everything the queue shows, to tell whether it changed."""
    cache = page.cache_dir()
    seen: list[object] = [queue.working(cache), _paused()]
    for entry in queue.listing(cache).entries:
        seen.append((entry.name, entry.job.state, entry.job.pid))
        if entry.job.state == "running":
            seen.append(tuple(entry.log_lines()))
            try:
                seen.append(Store(cache).open(entry.job.config.run_id).revision)
            except AATError:
                seen.append(None)
    return tuple(seen)


@st.fragment(run_every=2)
def _follow(seen: tuple[object, ...], damaged: dict[str, str]) -> None:
    """Redraw the page if anything the queue shows has changed."""
    if _seen() != seen or queue.listing(page.cache_dir()).damaged != damaged:
        st.rerun()
