"""Train: a form made from `RunConfig`, what it will cost, and the queue of trainings; the only page that writes."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic import BaseModel

from aat_explore import command_lines, datasets
from aat_explore.attacks import REGISTRY as ATTACKS
from aat_explore.config import NETWORKS, SCORES, AttackConfig, RunConfig, check_num_perturbed, checked_config
from aat_explore.dashboard import choices, page, state
from aat_explore.errors import AATError
from aat_explore.jobs import queue
from aat_explore.jobs.cost import cost, pace
from aat_explore.jobs.job import Job
from aat_explore.jobs.queue import Entry
from aat_explore.jobs.standing import standing
from aat_explore.presets import PRESETS, flat
from aat_explore.store import RunNotFoundError, Store
from aat_explore.views import frames

IN_FRONT = ("dataset", "num_perturbed", "norm_power", "epsilon", "attack.kind", "epochs", "seed")
WIDTHS = (5, 4, 4, 3, 3, 3, 3)
DEVICES = ("the best there is", "cuda", "mps", "cpu")
OFFERED: dict[str, tuple[str, ...]] = {"model": NETWORKS, "score": tuple(SCORES), "attack.kind": tuple(ATTACKS)}
USUAL = {"as usual": None, "yes": True, "no": False}
ENDED = 10  # jobs no longer in the queue that are listed
ICONS = {
    "waiting": ":material/hourglass_empty:",
    "running": ":material/directions_run:",
    "done": ":material/check:",
    "failed": ":material/error:",
    "stopped": ":material/stop_circle:",
}


def show() -> None:
    """Form, run ids and commands, cost estimate, start button; the queue with progress, logs and stop buttons."""
    page.heading(
        "Train",
        "Choose a run's settings, see what it will cost, and start it: it trains as a process of its own, which goes "
        "on when this page or the dashboard is closed.",
        r"c = 3 + \frac{2}{s} + 2k\,\frac{n}{T}",
        "The cost c of an epoch in passes over all T samples, where forward, backward to the input and backward to the "
        "weights count one each: 3 for training, 2 for scoring by gradient norm (1 by loss or margin; in every s-th "
        "epoch; none for n = 0 and n = all), and k gradients for each of the n perturbed samples: k = 0 for FGSM that "
        "reuses the gradients of scoring, else the attack's steps. Custom networks, scores and attacks are trained by "
        "`aat train` only: an address must not name code to run.",
    )
    chosen = _form()
    if chosen is not None:
        _offer(*chosen)
    _queue()


# --- The form --------------------------------------------------------------------------------------------------------


def _form() -> tuple[list[RunConfig], Job] | None:
    """The settings chosen, one config a seed, and how to compute; None and a message if they do not fit."""
    preset = choices.choose("Preset", list(PRESETS), "preset", help="Where every field below starts from.")
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
            raise AATError("seed is empty; use 0, or several with commas between them")
    except AATError as error:
        st.error(page.plain(str(error)))
        return None
    _keep(preset, configs)
    return configs, how(configs[0])


def _ask(fields: dict[str, Any], preset: str, start: Mapping[str, Any], name: str) -> None:
    """Ask for one field by a widget that fits its type, and put the answer where it belongs."""
    model: type[BaseModel] = AttackConfig if name.startswith("attack.") else RunConfig
    part = name.removeprefix("attack.")
    info = model.model_fields[part]
    key = f"train {preset} {name}"
    answer = _widget(name, info.annotation, start[name], key, page.plain(info.description or ""))
    (fields["attack"] if model is AttackConfig else fields)[part] = answer


def _widget(name: str, kind: Any, value: Any, key: str, words: str) -> Any:
    label = name.replace("_", " ").replace("attack.", "attack: ")
    members = [one for one in get_args(kind) if one is not type(None)]
    if name in OFFERED or name == "dataset":
        options = OFFERED.get(name) or datasets.names(page.cache_dir())
        return st.selectbox(label, options, options.index(value), key=key, help=words)
    if name in ("num_perturbed", "seed"):
        return st.text_input("seeds" if name == "seed" else label, str(value), key=key, help=words)
    if name == "attack.options":
        text = st.text_input(label, ", ".join(f"{option} {number:g}" for option, number in value), key=key, help=words)
        return [part.split() for part in text.split(",") if part.strip()]
    if get_origin(kind) is tuple:
        text = st.text_input(label, ", ".join(map(str, value)), key=key, help=words)
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if get_origin(kind) is Literal:
        return st.selectbox(label, members, members.index(value), key=key, help=words)
    if kind is bool:
        return st.toggle(label, value, key=key, help=words)
    if bool in members:
        names = list(USUAL)
        return USUAL[st.selectbox(label, names, list(USUAL.values()).index(value), key=key, help=words)]
    if float in (kind, *members):
        return st.number_input(
            label, value=value, step=_step(value), format="%g", key=key, help=words, placeholder="as usual"
        )
    return st.number_input(label, value=value, step=1, key=key, help=words, placeholder="as usual")


def _step(value: float | None) -> float:
    """A tenth of a number's size: what its - and + change."""
    return float(10.0 ** (math.floor(math.log10(value)) - 1)) if value else 1e-4


def _how_to_compute() -> Any:
    """Ask for what does not change the result; returns what makes a job of a config."""
    left, middle, right = st.columns(3)
    with left:
        device = st.selectbox("Device", DEVICES, key="train device")
    with middle:
        threads = st.number_input(
            "CPU threads", 1, 4096, None, key="train threads", placeholder="all cores",
            help="Part of what repeats bit for bit.",
        )  # fmt: skip
    with right:
        evaluate = st.toggle("Evaluate at the end", True, key="train evaluate", help="PGD-40 over a grid of ε.")
    return lambda config: Job(
        config=config, evaluate=evaluate, device=None if device == DEVICES[0] else device, threads=threads
    )


# --- The form in the URL ---------------------------------------------------------------------------------------------


def _asked(preset: str) -> dict[str, Any]:
    """Values the form starts from, by name: the preset's, and what the URL's `fields` says differs from it."""
    if state.TRAIN_PRESET.get() not in (None, preset):
        choices.set_param("fields", None)
    state.TRAIN_PRESET.set(preset)
    usual = PRESETS[preset]
    said = choices.param("fields")
    if not said:
        return flat(usual)
    try:
        differing = json.loads(said)
        seeds = differing.pop("seeds", str(usual.seed))
        for seed in str(seeds).split(","):
            checked_config({"seed": seed})
        attack = usual.attack.model_dump() | differing.pop("attack", {})
        config = checked_config(usual.model_dump() | differing | {"attack": attack})
        if config.dataset not in datasets.names(page.cache_dir()):
            raise AATError(f"dataset={config.dataset} is unknown")
        if any(flat(config)[name] not in offered for name, offered in OFFERED.items()):
            raise AATError("an address must not name code to run")
        return flat(config) | {"seed": str(seeds)}
    except (AATError, ValueError, TypeError, AttributeError, RecursionError):
        choices.set_param("fields", None)
        st.caption(":material/link_off: The address names settings that do not fit here; starting from the preset.")
        return flat(usual)


def _keep(preset: str, configs: list[RunConfig]) -> None:
    """Write to the URL what differs from the preset."""
    usual, config = flat(PRESETS[preset]), flat(configs[0])
    fields: dict[str, Any] = {}
    for name, value in config.items():
        if name != "seed" and value != usual[name]:
            place = fields.setdefault("attack", {}) if name.startswith("attack.") else fields
            place[name.removeprefix("attack.")] = value
    seeds = ",".join(str(one.seed) for one in configs)
    if seeds != str(usual["seed"]):
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
        st.info(f"{page.plain(str(cache))} can only be read: nothing can be trained into it. Use another --cache-dir.")
        return
    words = "Start" if len(jobs) == 1 else f"Start {len(jobs)} trainings"
    if st.button(words, type="primary", icon=":material/play_arrow:", key="train start"):
        _start(jobs)


def _command(job: Job) -> str:
    words = command_lines.train(job.config, device=job.device, threads=job.threads, evaluate=job.evaluate)
    return page.command(words)


def _standing(job: Job) -> str:
    """What training this would do, given what the cache holds."""
    try:
        present, epochs = standing(job.task, page.cache_dir()), job.config.epochs
    except AATError as error:
        return page.plain(str(error))
    if present.busy:
        return f"is being trained, {present.epoch} of {epochs} epochs done"
    if present.settled:
        return "complete: nothing to do"
    if present.showcase:
        return f"the showcase has {present.epoch} of its {epochs} epochs; it would be trained anew"
    if present.trained:
        return "is trained already; only its evaluation is missing"
    return (
        f"was cut off: goes on from epoch {present.epoch + 1} of {epochs}" if present.epoch else f"new, {epochs} epochs"
    )


def _cost(configs: list[RunConfig], num_train: int) -> None:
    paces = []
    for run in Store(page.cache_dir()).list().runs:
        try:
            paces.append(page.remembered(pace, run))
        except AATError:  # damaged, or just growing: the Runs page says so
            continue
    estimate = cost(configs[0], num_train, paces)
    if estimate.seconds is None or estimate.total_seconds is None:
        st.markdown(f"Cost: {estimate.passes:.3g} passes over T = {num_train:,} an epoch; {estimate.source}.")
        return
    runs = (
        ""
        if len(configs) == 1
        else f" a run, {_duration(estimate.total_seconds * len(configs))} for all {len(configs)}"
    )
    st.markdown(
        f"Cost: {estimate.passes:.3g} passes over T = {num_train:,} an epoch, about **{_duration(estimate.seconds)}**; "
        f"{configs[0].epochs} epochs about **{_duration(estimate.total_seconds)}**{runs}, before the final evaluation."
    )
    st.caption(f"Estimated from {page.plain(estimate.source)}.")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _start(jobs: list[Job]) -> None:
    """Queue every job that has something to do, and see to it that a worker is alive."""
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
    """Every job with its progress, log and button; the page is drawn again when something of this changes."""
    cache = page.cache_dir()
    found = queue.listing(cache)
    st.subheader("Queue")
    if refused := state.TRAIN_REFUSED.take():
        st.error(page.plain(refused))
    for reason in found.damaged.values():
        st.warning(page.plain(reason))
    active = [entry for entry in found.entries if entry.active]
    ended = [entry for entry in reversed(found.entries) if not entry.active]
    shown = [*active, *ended[:ENDED]]
    st.caption(f"Showing {len(shown)} of {len(found.entries)} trainings started here; one runs at a time.")
    if active and not queue.working(cache):
        st.info("Nobody works at this queue now: its worker was ended, or is just starting.")
        if st.button("Go on with the queue", key="train go on"):
            queue.start_worker(cache)
    for entry in shown:
        _entry(entry)
    _follow(_state(), found.damaged)


def _entry(entry: Entry) -> None:
    job, cache = entry.job, page.cache_dir()
    with st.container(border=True):
        words, button = st.columns([5, 1])
        words.markdown(f"{ICONS[job.state]} **{page.plain(job.config.run_id)}**: {job.state}")
        if job.reason:
            words.caption(page.plain(job.reason))
        if job.state == "running":
            _progress(job)
            button.button(
                "Stop", icon=":material/stop:", key=f"train stop {entry.name}", on_click=_act,
                args=(queue.stop, cache, entry.name), help="The epochs finished so far are kept.",
            )  # fmt: skip
        else:
            button.button(
                "Remove", key=f"train remove {entry.name}", on_click=_act,
                args=(queue.remove, cache, entry.name), help="From this list; the run stays.",
            )  # fmt: skip
        lines = entry.log_lines()
        if lines and job.state in ("running", "failed"):
            st.code("\n".join(lines), language=None)


def _act(what: Callable[[Path, str], None], cache: Path, name: str) -> None:
    """What a button of a job does, as a callback, which runs before anything that could draw the page again."""
    try:
        what(cache, name)
    except AATError as error:
        state.TRAIN_REFUSED.set(str(error))


def _progress(job: Job) -> None:
    """Epochs done and time left, read through the store alone."""
    try:
        run = Store(page.cache_dir()).open(job.config.run_id)
        [row] = page.remembered(frames.runs.progress, [run]).to_dict("records")
    except RunNotFoundError:
        st.progress(0.0, f"0 of {job.config.epochs} epochs; the first is being trained")
        return
    except AATError as error:
        st.caption(page.plain(str(error)))
        return
    left = "evaluating" if run.complete else f"about {_duration(60 * row['minutes left'])} left"
    st.progress(row["done"], f"{run.epoch} of {run.config.epochs} epochs; {left}")


def _state() -> tuple[object, ...]:
    """All that the queue shows, to tell whether it changed."""
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
    """Draw the page again if what the queue shows has changed; else nothing."""
    if _state() != state or queue.listing(page.cache_dir()).damaged != damaged:
        st.rerun()
