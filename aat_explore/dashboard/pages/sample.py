"""One training image over all epochs of a run, and beside it a pinned one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from aat_explore.dashboard import choices, downloads, page, sheet
from aat_explore.datasets import Dataset
from aat_explore.errors import AATError
from aat_explore.store import Run, RunMovedOnError, Store
from aat_explore.views import charts, frames, gallery, pixels, recipes
from aat_explore.views.protocols import Array

NEIGHBOURS = 24


@dataclass(frozen=True)
class Sample:
    """Row `image` of a run's training split, with the run's records of all samples."""

    run: Run
    dataset: Dataset | None
    matrix: frames.sample.PMatrix
    drawn: Array
    image: int

    @property
    def address(self) -> str:
        """What the URL's `pin` says."""
        return f"{self.run.id}:{self.image}"

    @property
    def facts(self) -> frames.sample.SampleFacts:
        """When it was drawn, and its mean p."""
        return frames.sample.sample_facts(self.matrix, self.drawn, self.image)


def show() -> None:
    """One image: p and rank over the epochs, its recorded versions, its neighbours in p, its place in the data map."""
    page.heading(
        "Sample",
        "One training image over all epochs: how likely it was to be picked, when it was, and what the attack made of "
        "it. Pin it to compare it with another.",
        r"p_i^{(e)} = \frac{\lVert\nabla_{x_i} J_e\rVert_2^{k}}{\sum_j \lVert\nabla_{x_j} J_e\rVert_2^{k}},\qquad "
        r"\mathrm{rank}_i = 1 + \#\{j : p_j > p_i\},\qquad \bar p_i = \frac1E\sum_e p_i^{(e)},\qquad "
        r"v_i = \frac{\mathrm{sd}_e\, p_i^{(e)}}{\bar p_i}",
        "Image i keeps its row number in every epoch and run of a data set. The data map sets the mean of p over the "
        "epochs against its variability v (sd divided by mean): 0 where the image is always as likely, √(E − 1) where "
        "only one of E epochs finds it likely. The sd of log p would be ruled by epochs with p near 0, where nothing "
        "is drawn.",
    )
    run = page.choose_run(page.recorded_runs())
    dataset = page.dataset_of(run)
    matrix, drawn = page.held(frames.sample.p_matrix, run), page.held(frames.sample.draw_matrix, run)
    T = frames.sample.num_train(matrix, drawn, dataset)
    if T == 0:
        st.info("This run recorded neither p nor picks (n = 0, or warm-up), and its images are not on this machine.")
        return
    left, middle, right = st.columns([1, 1.3, 2])
    with left:
        first = frames.sample.most_drawn(drawn)
        image = choices.whole(
            "Training image", 0, T - 1, first, "image", help="Its row, from 0; at first, the most drawn."
        )
    this = Sample(run, dataset, matrix, drawn, image)
    with middle:
        name = choices.choose("Step through", frames.sample.list_names(matrix, drawn, dataset), "list")
    with right:
        epoch = choices.epoch_slider(run)
    pinned = _pinned(this)
    _steps(this, name, epoch)
    _portraits(this, pinned)
    _trajectories(this, pinned)
    _versions(this)
    _neighbours(this, epoch)
    _place(this, pinned)


# --- Choosing, stepping, pinning -------------------------------------------------------------------------------------


def _pinned(this: Sample) -> Sample | None:
    """The pinned sample; what the address pins and is not there is forgotten, with a note."""
    text = choices.param("pin")
    if text is None:
        return None
    run_id, _, row = text.rpartition(":")
    try:
        return _found(this, run_id, row)
    except RunMovedOnError:
        raise
    except AATError as error:
        choices.set_param("pin", None)
        st.caption(f":material/link_off: Nothing is pinned any more: {page.plain(str(error)[:300])}.")
        return None


def _found(this: Sample, run_id: str, row: str) -> Sample:
    """Row `row` of a run; "" means the run of `this`; AATError if there is no such."""
    run = this.run if run_id in ("", this.run.id) else Store(page.cache_dir()).open(run_id)
    same = run.config.dataset == this.run.config.dataset
    dataset = this.dataset if same else page.dataset_of(run)
    matrix, drawn = page.held(frames.sample.p_matrix, run), page.held(frames.sample.draw_matrix, run)
    T = frames.sample.num_train(matrix, drawn, dataset)
    if not row.isdecimal() or len(row) > 9 or int(row) >= T:
        raise AATError(f"pin={row[:40]} is not one of the {T} training images of run={run.id}")
    return Sample(run, dataset, matrix, drawn, int(row))


def _steps(this: Sample, name: str, epoch: int) -> None:
    rows = frames.sample.listed(name, this.matrix, this.drawn, this.dataset, epoch, this.image)
    found = frames.sample.place_in_list(rows, this.image)
    with st.container(horizontal=True, vertical_alignment="center"):
        _step("Previous", found.before, "Shift+Left", "arrow_back")
        _step("Next", found.after, "Shift+Right", "arrow_forward")
        where = f"{name}, epoch {epoch}" if name in frames.sample.LISTS_OF_EPOCH else name
        if not found.total:
            st.caption(f"No image in this list ({where}): the epoch drew nothing, or has no p.")
        elif found.position is None:
            st.caption(f"Image {this.image} is not among the {found.total:,} of this list ({where}).")
        else:
            st.caption(f"Showing {found.position:,} of {found.total:,} ({where}).")


def _step(label: str, to: int | None, keys: str, icon: str) -> None:
    shown = f":material/{icon}:"
    st.button(
        label, disabled=to is None, on_click=choices.ask, args=("image", to), shortcut=keys, icon=shown, key=label
    )


def _buttons(this: Sample, pinned: Sample | None) -> None:
    if pinned is None or pinned.address != this.address:
        label = "Pin" if pinned is None else "Pin this"
        _button(label, choices.set_param, ("pin", this.address), "Shift+P", "keep")
    if pinned is not None and pinned.address != this.address:
        _button("Swap", _swap, (this, pinned), "Shift+S", "swap_horiz")
    if pinned is not None:
        _button("Unpin", choices.set_param, ("pin", None), "Shift+U", "keep_off")
    if st.button("Attack lab", icon=":material/bolt:", shortcut="Shift+A", key="do attack"):
        page.open_page("attack", run=this.run.id, image=this.image)


def _button(label: str, act: Callable[..., None], args: tuple[Any, ...], keys: str, icon: str) -> None:
    st.button(label, on_click=act, args=args, shortcut=keys, icon=f":material/{icon}:", key=f"do {icon}")


def _swap(this: Sample, pinned: Sample) -> None:
    choices.ask("run", pinned.run.id)
    choices.ask("image", pinned.image)
    choices.ask("pin", this.address)


def _compared(this: Sample, pinned: Sample | None) -> dict[str, Sample]:
    """The samples to show, by a name that tells them apart."""
    if pinned is None or pinned.address == this.address:
        return {f"#{this.image}": this}
    if pinned.run.id == this.run.id:
        return {f"#{this.image}": this, f"#{pinned.image}, pinned": pinned}
    return {f"#{this.image}, {this.run.id}": this, f"#{pinned.image}, {pinned.run.id}, pinned": pinned}


# --- What is known of it ---------------------------------------------------------------------------------------------


def _portraits(this: Sample, pinned: Sample | None) -> None:
    shown = _compared(this, pinned)
    columns = st.columns([3] * len(shown) + [2])
    for where, (name, sample) in zip(columns, shown.items(), strict=False):
        with where:
            _portrait(name, sample)
    with columns[-1]:
        _buttons(this, pinned)


def _portrait(name: str, sample: Sample) -> None:
    if sample.dataset is not None:
        class_name = page.remembered(frames.sample.class_of, sample.run, sample.dataset, sample.image)
        pixels = page.remembered(frames.sample.portrait, sample.run, sample.dataset, sample.image)
        st.image(
            pixels,
            output_format="PNG",
            width=pixels.shape[1],  # as it is: by itself Streamlit widens, and blurs, an image to its caption
            caption=page.plain(f"{name}, clean: {class_name}"),
            alt=f"Training image {sample.image}, clean, of class {class_name}",
        )
    else:
        st.write(page.plain(name))
    st.caption(_facts(sample.facts))


def _facts(facts: frames.sample.SampleFacts) -> str:
    words = f"Drawn in {len(facts.drawn_in)} of {facts.epochs} epochs"
    if facts.mean_p is None:
        return f"{words}."
    return f"{words}; mean p {facts.mean_p:.2e}, {facts.times_uniform:.3g} times the uniform 1/T."


def _trajectories(this: Sample, pinned: Sample | None) -> None:
    st.subheader("p and rank over the epochs")
    parts = []
    for name, sample in _compared(this, pinned).items():
        if len(sample.matrix.epochs):
            parts.append(frames.sample.sample_history(sample.matrix, sample.drawn, sample.image, name))
        else:
            st.info(f"{page.plain(name)}: no epoch of this run has p (n = 0, n = all, or warm-up).")
    if not parts:
        return
    history = frames.sample.together(parts)
    downloads.chart(
        partial(charts.sample.sample_history, history),
        history,
        f"{this.run.id}-image-{this.image}",
        alt=f"p and rank of training image {this.image} over the epochs, on log axes",
    )
    st.caption(
        f"Showing {len(this.matrix.epochs)} of {this.run.epoch} epochs, those with p. A mark is an epoch that drew the "
        "image. p = 0 has no place on a log axis."
    )


def _versions(this: Sample) -> None:
    st.subheader("Adversarial versions, as recorded")
    drawn_in = this.facts.drawn_in
    if not drawn_in:
        st.info("No epoch drew this image, so there is no adversarial version of it.")
        return
    of_all = "1 epoch that drew it" if len(drawn_in) == 1 else f"{len(drawn_in)} epochs that drew it"
    found = page.remembered(frames.recorded.sample_versions, this.run, this.image, drawn_in, this.dataset)
    if found is None:
        st.info(
            f"Showing 0 of the {of_all}: an epoch records its first "
            f"{this.run.config.num_recorded} picks (num_recorded), and this image was not among them."
        )
        return
    images, said = {"adversarial": found.x_adv}, "x′"
    if this.dataset is not None:
        clean = frames.sample.clean_images(this.run, this.dataset, [this.image] * len(found.epochs))
        factor = pixels.amplification(this.run.config.epsilon)
        images = {"clean": clean, **images, "difference": gallery.difference(clean, found.x_adv, factor)}
        largest = gallery.largest_difference(clean, found.x_adv)
        said = (
            f"clean, x′, |x′ − x| amplified {factor} times (the largest is {largest:.3g}, "
            f"ε is {this.run.config.epsilon:g})"
        )
    clicked = sheet.show(
        images, frames.recorded.version_captions(found), frames.recorded.version_titles(found, this.image), "versions"
    )
    st.caption(
        f"Showing {len(found.epochs)} of the {of_all}: {said}. {_predictions(found, this.run)} Click one to open the "
        "picks of its epoch."
    )
    if clicked is not None:
        page.open_page("picks", run=this.run.id, epoch=found.epochs[clicked])


def _predictions(found: frames.recorded.SampleVersions, run: Run) -> str:
    if found.predictions["before"].isna().all():
        return "They were recorded by an older aat-explore, which kept no predictions."
    counts = ", ".join(
        f"{count} × {name}" for name, count in frames.recorded.outcome_counts(found.predictions).items() if count
    )
    return "Beneath: the class predicted before → after the attack, by the network that made x′" + (
        f"{recipes.as_seen(run.config)} ({counts})." if counts else f"{recipes.as_seen(run.config)}."
    )


def _neighbours(this: Sample, epoch: int) -> None:
    st.subheader(f"Neighbours in p, epoch {epoch}")
    found = frames.sample.neighbours(this.matrix, this.drawn, epoch, this.image, NEIGHBOURS)
    if found is None:
        st.info(f"Epoch {epoch} has no p (n = 0, n = all, or warm-up), so no neighbours in p.")
        return
    T = this.matrix.p.shape[1]
    st.caption(
        f"Showing {len(found)} of {T:,}: next by rank of p, the likelier first; this image has rank "
        f"{frames.sample.rank_in(this.matrix, epoch, this.image):,}. Click one to move to it."
    )
    if this.dataset is None:
        downloads.table(found, alt=f"Images next to image {this.image} by rank of p in epoch {epoch}")
        return
    rows = [int(row) for row in found["image"]]
    captions, titles = (
        frames.sample.neighbour_captions(found),
        frames.sample.neighbour_titles(found, this.run, this.dataset),
    )
    clean = frames.sample.clean_images(this.run, this.dataset, rows)
    clicked = sheet.show({"clean": clean}, captions, titles, "neighbours", scale=3)
    if clicked is not None:
        choices.ask("image", rows[clicked])
        st.rerun()


def _place(this: Sample, pinned: Sample | None) -> None:
    st.subheader("Its place in the data map")
    found = page.held(frames.sample.sample_map, this.run)
    if found is None:
        st.info("No epoch of this run has p, so there is no data map.")
        return
    shown = {name: one.image for name, one in _compared(this, pinned).items() if one.run.id == this.run.id}
    places = frames.sample.sample_places(found, list(shown.values()), list(shown))
    downloads.chart(
        partial(charts.sample.sample_map, found.grid, places, dark=page.dark()),
        found.grid,
        f"{this.run.id}-data-map",
        alt=f"Mean of p against its variability for all samples, with the place of training image {this.image}",
    )
    said = f"Showing {found.shown:,} of {len(found.mean):,} samples"
    said += f"; {found.zeros:,} have p = 0 in every epoch and no place on a log axis." if found.zeros else "."
    if pinned is not None and pinned.run.id != this.run.id:
        said += " The pinned image is of another run, which has its own map."
    st.caption(said)
