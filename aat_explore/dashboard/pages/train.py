"""Train: a form made from `RunConfig`, the estimated cost, and the training queue; the page that starts runs."""

import streamlit as st

from aat_explore import command_lines, datasets
from aat_explore.config import RunConfig, check_num_perturbed
from aat_explore.dashboard import background, page, train_form
from aat_explore.dashboard.text import duration
from aat_explore.errors import AATError
from aat_explore.jobs import queue
from aat_explore.jobs.cost import cost, pace
from aat_explore.jobs.job import Job
from aat_explore.jobs.standing import standing
from aat_explore.store import Store
from aat_explore.views import names


def show() -> None:
    """Left the form, what would be trained, its cost and the start; right the run in training, and the others."""
    page.heading(
        "Train",
        background.statement(),
        r"c = 3 + \frac{2}{s} + 2k\,\frac{n}{T}",
        "The cost c of an epoch in passes over all T samples; forward, backward to the input and backward to the "
        "weights count as one each: 3 for training, 2 for scoring by gradient norm (1 by loss or margin; every s-th "
        "epoch; none for n = 0 and n = all), and k gradients for each of the n perturbed samples: k = 0 for FGSM that "
        "reuses the gradients of scoring, else the attack's steps. Custom networks, scores and attacks can only be "
        "trained with `aat train`: a link must not name code to run.",
    )
    left, right = st.columns([9, 11], gap="medium")
    with left:
        chosen = train_form.ask()
        if chosen is not None:
            _offer(*chosen)
    with right:
        background.show_queue(chosen[0][0] if chosen else None)


def _offer(configs: list[RunConfig], how: Job) -> None:
    """The runs by their names, cost and the start button; the commands, folded."""
    cache = page.cache_dir()
    jobs = [how.model_copy(update={"config": config}) for config in configs]
    try:
        t = datasets.num_train(configs[0].dataset, cache_dir=cache)
        check_num_perturbed(configs[0], t)
    except AATError as error:
        st.error(page.plain(str(error)))
        return
    to_do = []
    for job in jobs:
        said, remains = _standing(job)
        st.markdown(f"**{page.plain(names.full_name(job.config))}**: {said}")
        to_do += [job] * remains
    if to_do:
        _cost([job.config for job in to_do], t)
    if queue.writable(cache):
        label = f"Start {len(to_do)} runs" if len(to_do) > 1 else "Start"
        if st.button(label, type="primary", icon=":material/play_arrow:", key="train start", disabled=not to_do):
            queued = background.start(to_do)
            if queued:
                st.success(f"{queued} of {len(to_do)} queued.")
    else:
        st.info(f"{page.plain(str(cache))} is read-only, so no run can be trained into it. Use another --cache-dir.")
    with st.expander("As a command", icon=":material/terminal:"):
        st.code("\n".join(_command(job) for job in jobs), language="bash", wrap_lines=True)


def _command(job: Job) -> str:
    arguments = command_lines.train(job.config, device=job.device, threads=job.threads, evaluate=job.evaluate)
    return page.command(arguments)


def _standing(job: Job) -> tuple[str, bool]:
    """What starting this job would do, given the runs in the cache, and whether anything remains to be done."""
    if (queued := background.in_queue(job.config)) is not None and queued.state == "waiting":
        return "is waiting in the queue already", False
    try:
        present, epochs = standing(job.task, page.cache_dir()), job.config.epochs
    except AATError as error:
        return page.plain(str(error)), True
    if present.busy:
        return f"in training, {present.epoch} of {epochs} epochs done", False
    if present.settled:
        return "complete: nothing to do", False
    if present.showcase:
        return f"the showcase has {present.epoch} of its {epochs} epochs; it would be trained from scratch", True
    if present.trained:
        return "already trained; only its evaluation is missing", True
    if queued is not None:
        return f"in training, {present.epoch} of {epochs} epochs done", False
    if present.epoch:
        return f"was cut off: resumes at epoch {present.epoch + 1} of {epochs}", True
    return f"new, {epochs} epochs", True


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
        else f" per run, {duration(estimate.total_seconds * len(configs))} for all {len(configs)}"
    )
    st.markdown(
        f"Cost: about **{duration(estimate.total_seconds)}**{runs} for {configs[0].epochs} epochs of "
        f"{duration(estimate.seconds)} ({estimate.passes:.3g} passes over T = {num_train:,}), plus the final "
        "evaluation.",
        help=f"Estimated from {page.plain(estimate.source)}.",
    )
