"""Train: a form made from `RunConfig`, the estimated cost, and the training queue; the only page that writes."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic import BaseModel

from aat_explore import command_lines, datasets
from aat_explore.attacks import REGISTRY as ATTACKS
from aat_explore.config import NETWORKS, AttackConfig, RunConfig, check_num_perturbed, checked_config
from aat_explore.dashboard import choices, page, state
from aat_explore.dashboard.labels import LABELS
from aat_explore.errors import AATError
from aat_explore.jobs import queue
from aat_explore.jobs.cost import cost, pace
from aat_explore.jobs.job import Job
from aat_explore.jobs.queue import Entry
from aat_explore.jobs.standing import standing
from aat_explore.presets import PRESETS, flat
from aat_explore.scores import SCORES
from aat_explore.store import RunNotFoundError, Store
from aat_explore.views import frames

IN_FRONT = ("dataset", "num_perturbed", "norm_power", "epsilon", "attack.kind", "epochs", "seed")
WIDTHS = (5, 7, 4, 3, 4, 3, 3)
DEVICES = ("auto", "cuda", "mps", "cpu")
OFFERED: dict[str, tuple[str, ...]] = {"model": NETWORKS, "score": tuple(SCORES), "attack.kind": tuple(ATTACKS)}
DEFAULT_OR = {"default": None, "yes": True, "no": False}
ENDED = 10  # finished jobs to list
ICONS = {
    "waiting": ":material/hourglass_empty:",
    "running": ":material/directions_run:",
    "done": ":material/check:",
    "failed": ":material/error:",
    "stopped": ":material/stop_circle:",
}


def show() -> None:
    """Form, run ids and commands, cost estimate, start button; queue with progress, logs and stop buttons."""
    page.heading(
        "Train",
        "Choose a run's settings, see what it will cost, and start it: it trains in a separate process, which outlives "
        "this page and the dashboard.",
        r"c = 3 + \frac{2}{s} + 2k\,\frac{n}{T}",
        "The cost c of an epoch in passes over all T samples; forward, backward to the input and backward to the "
        "weights count as one each: 3 for training, 2 for scoring by gradient norm (1 by loss or margin; every s-th "
        "epoch; none for n = 0 and n = all), and k gradients for each of the n perturbed samples: k = 0 for FGSM that "
        "reuses the gradients of scoring, else the attack's steps. Custom networks, scores and attacks can only be "
        "trained with `aat train`: a link must not name code to run.",
    )
    chosen = _form()
    if chosen is not None:
        _offer(*chosen)
    _queue()


# --- The form --------------------------------------------------------------------------------------------------------


def _form() -> tuple[list[RunConfig], Job] | None:
    """One config per seed, and how to compute them; None, with a message, if the settings are invalid."""
    preset = choices.choose("Preset", list(PRESETS), "preset", help="The values that all fields below start from.")
    start = _asked(preset)
    fields: dict[str, Any] = {"attack": {}}
    columns = st.columns(WIDTHS)
    for column, name in zip(columns, IN_FRONT, strict=True):
        with column:
            _ask(fields, preset, start, name)
    with st.expander("All other settings", icon=":material/tune:"):
        others = [name for name in start if name not in IN_FRONT]
        quarters = st.columns(4)
        for at, name in enumerate(others):
            with quarters[at % 4]:
                _ask(fields, preset, start, name)
        how = _how_to_compute()
    seeds = [part.strip() for part in fields.pop("seed").split(",") if part.strip()]
    try:
        configs = [checked_config({**fields, "seed": seed}) for seed in dict.fromkeys(seeds)]
        if not configs:
            raise AATError("seed is empty; use 0, or several separated by commas")
    except AATError as error:
        st.error(page.plain(str(error)))
        return None
    _keep(preset, configs)
    return configs, how(configs[0])


def _ask(fields: dict[str, Any], preset: str, start: Mapping[str, Any], name: str) -> None:
    """Ask for one field with a widget of its type, and put the answer into `fields`."""
    model: type[BaseModel] = AttackConfig if name.startswith("attack.") else RunConfig
    part = name.removeprefix("attack.")
    info = model.model_fields[part]
    key = f"train {preset} {name}"
    description = f"`{name}`: {page.plain(info.description or '')}"
    answer = _widget(name, info.annotation, start[name], key, description)
    (fields["attack"] if model is AttackConfig else fields)[part] = answer


def _widget(name: str, kind: Any, value: Any, key: str, description: str) -> Any:
    label = LABELS.get(name, name.replace("_", " ").capitalize())
    members = [member for member in get_args(kind) if member is not type(None)]
    if name in OFFERED or name == "dataset":
        options = OFFERED.get(name) or datasets.names(page.cache_dir())
        return st.selectbox(label, options, options.index(value), key=key, help=description)
    if name in ("num_perturbed", "seed"):
        return st.text_input(label, str(value), key=key, help=description)
    if name == "attack.options":
        text = st.text_input(
            label, ", ".join(f"{option} {number:g}" for option, number in value), key=key, help=description
        )
        return [part.split() for part in text.split(",") if part.strip()]
    if get_origin(kind) is tuple:
        text = st.text_input(label, ", ".join(map(str, value)), key=key, help=description)
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if get_origin(kind) is Literal:
        return st.selectbox(label, members, members.index(value), key=key, help=description)
    if kind is bool:
        return st.toggle(label, value, key=key, help=description)
    if bool in members:
        names = list(DEFAULT_OR)
        return DEFAULT_OR[st.selectbox(label, names, list(DEFAULT_OR.values()).index(value), key=key, help=description)]
    if float in (kind, *members):
        return st.number_input(
            label, value=value, step=_step(value), format="%g", key=key, help=description, placeholder="default"
        )
    return st.number_input(label, value=value, step=1, key=key, help=description, placeholder="default")


def _step(value: float | None) -> float:
    """The step of a number's - and + buttons: a tenth of its order of magnitude."""
    return float(10.0 ** (math.floor(math.log10(value)) - 1)) if value else 1e-4


def _how_to_compute() -> Any:
    """Ask how to compute, which does not change the result; returns a function from config to job."""
    left, middle, right = st.columns(3)
    with left:
        device = st.selectbox("Device", DEVICES, key="train device")
    with middle:
        threads = st.number_input(
            "CPU threads", 1, 4096, None, key="train threads", placeholder="all cores",
            help="A run repeats bit for bit only with the same number.",
        )  # fmt: skip
    with right:
        evaluate = st.toggle("Evaluate at the end", True, key="train evaluate", help="By PGD-40 over a grid of ε.")
    return lambda config: Job(
        config=config, evaluate=evaluate, device=None if device == DEVICES[0] else device, threads=threads
    )


# --- The form in the URL ---------------------------------------------------------------------------------------------


def _asked(preset: str) -> dict[str, Any]:
    """The form's initial values by name: the preset's, with the differences that the URL's `fields` lists."""
    if state.TRAIN_PRESET.get() not in (None, preset):
        choices.set_param("fields", None)
    state.TRAIN_PRESET.set(preset)
    base = PRESETS[preset]
    text = choices.param("fields")
    if not text:
        return flat(base)
    try:
        differing = json.loads(text)
        seeds = differing.pop("seeds", str(base.seed))
        for seed in str(seeds).split(","):
            checked_config({"seed": seed})
        attack = base.attack.model_dump() | differing.pop("attack", {})
        config = checked_config(base.model_dump() | differing | {"attack": attack})
        if config.dataset not in datasets.names(page.cache_dir()):
            raise AATError(f"dataset={config.dataset} is unknown")
        if any(flat(config)[name] not in offered for name, offered in OFFERED.items()):
            raise AATError("a link must not name code to run")
        return flat(config) | {"seed": str(seeds)}
    except (AATError, ValueError, TypeError, AttributeError, RecursionError):
        choices.set_param("fields", None)
        st.caption(":material/link_off: The link names settings that do not fit here; starting from the preset.")
        return flat(base)


def _keep(preset: str, configs: list[RunConfig]) -> None:
    """Write the differences from the preset to the URL."""
    base, config = flat(PRESETS[preset]), flat(configs[0])
    fields: dict[str, Any] = {}
    for name, value in config.items():
        if name != "seed" and value != base[name]:
            place = fields.setdefault("attack", {}) if name.startswith("attack.") else fields
            place[name.removeprefix("attack.")] = value
    seeds = ",".join(str(config.seed) for config in configs)
    if seeds != str(base["seed"]):
        fields["seeds"] = seeds
    choices.set_param("fields", json.dumps(fields) if fields else None)


# --- Before it starts ------------------------------------------------------------------------------------------------


def _offer(configs: list[RunConfig], how: Job) -> None:
    """Run ids, commands, cost and the start button."""
    cache = page.cache_dir()
    jobs = [how.model_copy(update={"config": config}) for config in configs]
    try:
        t = datasets.num_train(configs[0].dataset, cache_dir=cache)
        check_num_perturbed(configs[0], t)
    except AATError as error:
        st.error(page.plain(str(error)))
        return
    for job in jobs:
        st.markdown(f"**{page.plain(job.config.run_id)}**: {_standing(job)}")
    st.code("\n".join(_command(job) for job in jobs), language="bash", wrap_lines=True)
    _cost(configs, t)
    if not queue.writable(cache):
        st.info(f"{page.plain(str(cache))} is read-only, so no run can be trained into it. Use another --cache-dir.")
        return
    label = "Start" if len(jobs) == 1 else f"Start {len(jobs)} runs"
    if st.button(label, type="primary", icon=":material/play_arrow:", key="train start"):
        _start(jobs)


def _command(job: Job) -> str:
    arguments = command_lines.train(job.config, device=job.device, threads=job.threads, evaluate=job.evaluate)
    return page.command(arguments)


def _standing(job: Job) -> str:
    """What starting this job would do, given the runs in the cache."""
    try:
        present, epochs = standing(job.task, page.cache_dir()), job.config.epochs
    except AATError as error:
        return page.plain(str(error))
    if present.busy:
        return f"in training, {present.epoch} of {epochs} epochs done"
    if present.settled:
        return "complete: nothing to do"
    if present.showcase:
        return f"the showcase has {present.epoch} of its {epochs} epochs; it would be trained from scratch"
    if present.trained:
        return "already trained; only its evaluation is missing"
    return (
        f"was cut off: resumes at epoch {present.epoch + 1} of {epochs}" if present.epoch else f"new, {epochs} epochs"
    )


def _cost(configs: list[RunConfig], num_train: int) -> None:
    paces = []
    for run in Store(page.cache_dir()).list().runs:
        try:
            paces.append(page.remembered(pace, run))
        except AATError:  # damaged, or being written: the Runs page says so
            continue
    estimate = cost(configs[0], num_train, paces)
    if estimate.seconds is None or estimate.total_seconds is None:
        st.markdown(f"Cost: {estimate.passes:.3g} passes over T = {num_train:,} per epoch; {estimate.source}.")
        return
    runs = (
        ""
        if len(configs) == 1
        else f" per run, {_duration(estimate.total_seconds * len(configs))} for all {len(configs)}"
    )
    st.markdown(
        f"Cost: {estimate.passes:.3g} passes over T = {num_train:,} per epoch, "
        f"about **{_duration(estimate.seconds)}**; {configs[0].epochs} epochs: "
        f"about **{_duration(estimate.total_seconds)}**{runs}, plus the final evaluation."
    )
    st.caption(f"Estimated from {page.plain(estimate.source)}.")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _start(jobs: list[Job]) -> None:
    """Queue every job that has something to do, and make sure a worker runs."""
    cache, queued = page.cache_dir(), 0
    for job in jobs:
        try:
            queue.enqueue(cache, job)
            queued += 1
        except AATError as error:
            st.error(page.plain(str(error)))
    if queued:
        queue.start_worker(cache)
        st.success(f"{queued} of {len(jobs)} queued.")


# --- The queue -------------------------------------------------------------------------------------------------------


def _queue() -> None:
    """Every job with its progress, log and button; the page is redrawn when any of this changes."""
    cache = page.cache_dir()
    listing = queue.listing(cache)
    st.subheader("Queue")
    if refused := state.TRAIN_REFUSED.take():
        st.error(page.plain(refused))
    for reason in listing.damaged.values():
        st.warning(page.plain(reason))
    active = [entry for entry in listing.entries if entry.active]
    ended = [entry for entry in reversed(listing.entries) if not entry.active]
    shown = [*active, *ended[:ENDED]]
    st.caption(f"Showing {len(shown)} of {len(listing.entries)} runs started here; they train one at a time.")
    if active and not queue.working(cache):
        st.info("The queue is paused: its worker has ended, or is just starting.")
        if st.button("Resume the queue", key="train go on"):
            queue.start_worker(cache)
    for entry in shown:
        _entry(entry)
    _follow(_state(), listing.damaged)


def _entry(entry: Entry) -> None:
    job, cache = entry.job, page.cache_dir()
    with st.container(border=True):
        status, button = st.columns([5, 1])
        status.markdown(f"{ICONS[job.state]} **{page.plain(job.config.run_id)}**: {job.state}")
        if job.reason:
            status.caption(page.plain(job.reason))
        if job.state == "running":
            _progress(job)
            button.button(
                "Stop", icon=":material/stop:", key=f"train stop {entry.name}", on_click=_act,
                args=(queue.stop, cache, entry.name), help="Keeps the epochs finished so far.",
            )  # fmt: skip
        else:
            button.button(
                "Remove from list", key=f"train remove {entry.name}", on_click=_act,
                args=(queue.remove, cache, entry.name), help="The run is kept.",
            )  # fmt: skip
        lines = entry.log_lines()
        if lines and job.state in ("running", "failed"):
            st.code("\n".join(lines), language=None)


def _act(action: Callable[[Path, str], None], cache: Path, name: str) -> None:
    """Act on a job from a button's callback, which runs before anything can redraw the page."""
    try:
        action(cache, name)
    except AATError as error:
        state.TRAIN_REFUSED.set(str(error))


def _progress(job: Job) -> None:
    """Epochs done and time left, read from the store alone."""
    try:
        run = Store(page.cache_dir()).open(job.config.run_id)
        [row] = page.remembered(frames.runs.progress, [run]).to_dict("records")
    except RunNotFoundError:
        st.progress(0.0, f"0 of {job.config.epochs} epochs; the first is in training")
        return
    except AATError as error:
        st.caption(page.plain(str(error)))
        return
    remaining = "evaluating" if run.complete else f"about {_duration(60 * row['minutes left'])} left"
    st.progress(row["done"], f"{run.epoch} of {run.config.epochs} epochs; {remaining}")


def _state() -> tuple[object, ...]:
    """Everything the queue shows, to tell whether it changed."""
    cache = page.cache_dir()
    state: list[object] = [queue.working(cache)]
    for entry in queue.listing(cache).entries:
        state.append((entry.name, entry.job.state, entry.job.pid))
        if entry.job.state == "running":
            state.append(tuple(entry.log_lines()))
            try:
                state.append(Store(cache).open(entry.job.config.run_id).revision)
            except AATError:
                state.append(None)
    return tuple(state)


@st.fragment(run_every=2)
def _follow(state: tuple[object, ...], damaged: dict[str, str]) -> None:
    """Redraw the page if anything the queue shows has changed."""
    if _state() != state or queue.listing(page.cache_dir()).damaged != damaged:
        st.rerun()
