"""One training image over all epochs of a run, next to a pinned one if there is one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from aat_explore.dashboard import choices, context, downloads, page, sheet
from aat_explore.datasets import Dataset
from aat_explore.errors import AATError
from aat_explore.store import Run, RunMovedOnError, Store
from aat_explore.views import charts, frames, gallery, pixels, recipes
from aat_explore.views.protocols import Array

NEIGHBOURS = 24


@dataclass(frozen=True)
class Sample:
    """Row `image` of a run's training split, with p and draws of all samples in the run."""

    run: Run
    dataset: Dataset | None
    matrix: frames.sample.PMatrix
    drawn: Array
    image: int

    @property
    def address(self) -> str:
        """The value of `pin` in the URL."""
        return f"{self.run.id}:{self.image}"

    @property
    def facts(self) -> frames.sample.SampleFacts:
        """When it was drawn, and its mean p."""
        return frames.sample.sample_facts(self.matrix, self.drawn, self.image)


def show() -> None:
    """One image: p and rank over the epochs, recorded adversarial versions, neighbours in p, place in the data map."""
    page.heading(
        "Sample",
        "One training image over all epochs: how likely it was to be picked, when it was picked, and what the attack "
        "did to it. Pin one to compare two.",
        r"p_i^{(e)} = \frac{\lVert\nabla_{x_i} J_e\rVert_2^{k}}{\sum_j \lVert\nabla_{x_j} J_e\rVert_2^{k}},\qquad "
        r"\mathrm{rank}_i = 1 + \#\{j : p_j > p_i\},\qquad \bar p_i = \frac1E\sum_e p_i^{(e)},\qquad "
        r"v_i = \frac{\mathrm{sd}_e\, p_i^{(e)}}{\bar p_i}",
        "Image i keeps its row number in every epoch and run of a data set. The data map plots the mean of p over the "
        "epochs against its variability v (sd divided by mean): 0 if the image is always equally likely, √(E − 1) if "
        "it is likely in only one of E epochs. The sd of log p would be dominated by epochs with p near 0, in which "
        "the image is not drawn.",
    )
    run = context.recorded_run(page.readable_runs())
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
            "Training image",
            0,
            T - 1,
            first,
            "image",
            help="Its row, counted from 0; by default, the image drawn most often.",
        )
    this = Sample(run, dataset, matrix, drawn, image)
    with middle:
        name = choices.choose("Step through", frames.sample.list_names(matrix, drawn, dataset), "list")
    with right:
        epoch = context.choose_epoch(run)
    pinned = _pinned(this)
    _steps(this, name, epoch)
    _portraits(this, pinned)
    _trajectories(this, pinned)
    _versions(this)
    _neighbours(this, epoch)
    _place(this, pinned)


# --- Choosing, stepping, pinning -------------------------------------------------------------------------------------


def _pinned(this: Sample) -> Sample | None:
    """The pinned sample; a pin in the URL that does not exist is dropped, with a note."""
    text = choices.param("pin")
    if text is None:
        return None
    run_id, _, row = text.rpartition(":")
    try:
        return _sample_at(this, run_id, row)
    except RunMovedOnError:
        raise
    except AATError as error:
        choices.set_param("pin", None)
        st.caption(f":material/link_off: Nothing is pinned any more: {page.plain(str(error)[:300])}.")
        return None


def _sample_at(this: Sample, run_id: str, row: str) -> Sample:
    """Row `row` of a run ("" means the run of `this`); AATError if there is none."""
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
    place = frames.sample.place_in_list(rows, this.image)
    with st.container(horizontal=True, vertical_alignment="center"):
        _step("Previous", place.before, "Shift+Left", "arrow_back")
        _step("Next", place.after, "Shift+Right", "arrow_forward")
        title = f"{name}, epoch {epoch}" if name in frames.sample.LISTS_OF_EPOCH else name
        if not place.total:
            st.caption(f"This list is empty ({title}): the epoch drew nothing, or has no p.")
        elif place.position is None:
            st.caption(f"Image {this.image} is not among the {place.total:,} in this list ({title}).")
        else:
            st.caption(f"Showing {place.position:,} of {place.total:,} ({title}).")


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
    """The samples to show, by names that distinguish them."""
    if pinned is None or pinned.address == this.address:
        return {f"#{this.image}": this}
    if pinned.run.id == this.run.id:
        return {f"#{this.image}": this, f"#{pinned.image}, pinned": pinned}
    return {f"#{this.image}, {this.run.id}": this, f"#{pinned.image}, {pinned.run.id}, pinned": pinned}


# --- What is known about it ------------------------------------------------------------------------------------------


def _portraits(this: Sample, pinned: Sample | None) -> None:
    shown = _compared(this, pinned)
    columns = st.columns([3] * len(shown) + [2])
    for column, (name, sample) in zip(columns, shown.items(), strict=False):
        with column:
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
            width=pixels.shape[1],  # its own: by default Streamlit enlarges, and blurs, an image to its caption's width
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
    return f"{words}; mean p {facts.mean_p:.2e}, {facts.times_uniform:.3g}× the uniform 1/T."


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
        f"Showing {len(this.matrix.epochs)} of {this.run.epoch} epochs, those with p. Marks are epochs that drew the "
        "image. p = 0 cannot be shown on a log axis."
    )


def _versions(this: Sample) -> None:
    st.subheader("Recorded adversarial versions")
    drawn_in = this.facts.drawn_in
    if not drawn_in:
        st.info("No epoch drew this image, so there is no adversarial version of it.")
        return
    total = "1 epoch that drew it" if len(drawn_in) == 1 else f"{len(drawn_in)} epochs that drew it"
    versions = page.remembered(frames.recorded.sample_versions, this.run, this.image, drawn_in, this.dataset)
    if versions is None:
        st.info(
            f"Showing 0 of the {total}: an epoch records its first "
            f"{this.run.config.num_recorded} picks (num_recorded), and this image was not among them."
        )
        return
    images, parts = {"adversarial": versions.x_adv}, "x′"
    if this.dataset is not None:
        clean = frames.sample.clean_images(this.run, this.dataset, [this.image] * len(versions.epochs))
        factor = pixels.amplification(this.run.config.epsilon)
        images = {"clean": clean, **images, "difference": gallery.difference(clean, versions.x_adv, factor)}
        largest = gallery.largest_difference(clean, versions.x_adv)
        parts = (
            f"clean, x′, |x′ − x| amplified {factor} times (the largest is {largest:.3g}, "
            f"ε is {this.run.config.epsilon:g})"
        )
    clicked = sheet.show(
        images,
        frames.recorded.version_captions(versions),
        frames.recorded.version_titles(versions, this.image),
        "versions",
    )
    st.caption(
        f"Showing {len(versions.epochs)} of the {total}: {parts}. {_predictions(versions, this.run)} Click one to open "
        "the picks of its epoch."
    )
    if clicked is not None:
        page.open_page("picks", run=this.run.id, epoch=versions.epochs[clicked])


def _predictions(versions: frames.recorded.SampleVersions, run: Run) -> str:
    if versions.predictions["before"].isna().all():
        return "They were recorded by an older aat-explore without predictions."
    counts = ", ".join(
        f"{count} × {name}" for name, count in frames.recorded.outcome_counts(versions.predictions).items() if count
    )
    return "Beneath: the class predicted before → after the attack, by the network that made x′" + (
        f"{recipes.as_seen(run.config)} ({counts})." if counts else f"{recipes.as_seen(run.config)}."
    )


def _neighbours(this: Sample, epoch: int) -> None:
    st.subheader(f"Neighbours in p, epoch {epoch}")
    neighbours = frames.sample.neighbours(this.matrix, this.drawn, epoch, this.image, NEIGHBOURS)
    if neighbours is None:
        st.info(f"Epoch {epoch} has no p (n = 0, n = all, or warm-up), so no neighbours in p.")
        return
    T = this.matrix.p.shape[1]
    st.caption(
        f"Showing {len(neighbours)} of {T:,}: the nearest by rank of p, most likely first; this image has rank "
        f"{frames.sample.rank_in(this.matrix, epoch, this.image):,}. Click one to open it."
    )
    if this.dataset is None:
        downloads.table(neighbours, alt=f"Images nearest to image {this.image} by rank of p in epoch {epoch}")
        return
    rows = [int(row) for row in neighbours["image"]]
    captions, titles = (
        frames.sample.neighbour_captions(neighbours),
        frames.sample.neighbour_titles(neighbours, this.run, this.dataset),
    )
    clean = frames.sample.clean_images(this.run, this.dataset, rows)
    clicked = sheet.show({"clean": clean}, captions, titles, "neighbours", scale=3)
    if clicked is not None:
        choices.ask("image", rows[clicked])
        st.rerun()


def _place(this: Sample, pinned: Sample | None) -> None:
    st.subheader("Its place in the data map")
    sample_map = page.held(frames.sample.sample_map, this.run)
    if sample_map is None:
        st.info("No epoch of this run has p, so there is no data map.")
        return
    shown = {name: sample.image for name, sample in _compared(this, pinned).items() if sample.run.id == this.run.id}
    places = frames.sample.sample_places(sample_map, list(shown.values()), list(shown))
    downloads.chart(
        partial(charts.sample.sample_map, sample_map.grid, places, dark=page.dark()),
        sample_map.grid,
        f"{this.run.id}-data-map",
        alt=f"Mean of p against its variability for all samples, with the place of training image {this.image}",
    )
    note = f"Showing {sample_map.shown:,} of {len(sample_map.mean):,} samples"
    note += f"; {sample_map.zeros:,} have p = 0 in every epoch and no place on a log axis." if sample_map.zeros else "."
    if pinned is not None and pinned.run.id != this.run.id:
        note += " The pinned image belongs to another run, which has its own map."
    st.caption(note)
