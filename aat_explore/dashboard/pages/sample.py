"""One training image over all epochs of a run, next to a pinned one if there is one."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from aat_explore.dashboard import choices, context, downloads, look, page, sample_panel, selection, sheet, steps
from aat_explore.dashboard.picks_sheet import OUTCOME_COLOURS, scale_of
from aat_explore.dashboard.sample_panel import Sample
from aat_explore.errors import AATError
from aat_explore.store import Run, RunMovedOnError, Store
from aat_explore.views import charts, frames, gallery, names

NEIGHBOURS = 20
VERSIONS = (ADVERSARIAL, DIFFERENCE) = ("x′", "difference")
MANY = 20  # versions that fit two rows at 1440 pixels; more are shown smaller
WIDTHS = [1.25, 1]  # of the images, and of the charts beside them


def show() -> None:
    """One image in the epoch chosen and over all: x′, p and rank, recorded versions, neighbours, the data map."""
    run = context.recorded_run(page.readable_runs())
    epoch = context.choose_epoch(run)
    dataset = page.dataset_of(run)
    matrix, drawn = page.held(frames.sample.p_matrix, run), page.held(frames.sample.draw_matrix, run)
    T = frames.sample.num_train(matrix, drawn, dataset)
    if T == 0:
        page.name("Sample")
        st.info("This run recorded neither p nor picks (n = 0, or warm-up), and its images are not on this machine.")
        return
    with st.sidebar:
        this = Sample(run, dataset, matrix, drawn, _choose_image(T, page.remembered(_first, run)))
        name = steps.choose_list(this)
        version = ADVERSARIAL if dataset is None else choices.switch("Versions", VERSIONS, "version")
    selected = selection.show(run.config.dataset)
    pinned = _pinned(this)
    compared = _compared(this, pinned)
    page.heading(
        "Sample",
        _statement(this),
        r"p_i^{(e)} = \frac{\lVert\nabla_{x_i} J_e\rVert_2^{k}}{\sum_j \lVert\nabla_{x_j} J_e\rVert_2^{k}},\qquad "
        r"\mathrm{rank}_i = 1 + \#\{j : p_j > p_i\},\qquad \bar p_i = \frac1E\sum_e p_i^{(e)},\qquad "
        r"v_i = \frac{\mathrm{sd}_e\, p_i^{(e)}}{\bar p_i}",
        "Image i keeps its row number in every epoch and run of a data set. p is given as a multiple of the uniform "
        "1/T. Marks on its line are epochs that picked the image. The data map plots the mean of p over the epochs "
        "against its variability v (sd divided by mean): 0 if the image is always equally likely, √(E − 1) if it is "
        "likely in only one of E epochs. The sd of log p would be dominated by epochs with p near 0, in which the "
        "image is not drawn. Loss, margin, entropy and gradient norm are those of the clean image, by the "
        "network that the epoch's p comes from. Pin an image to compare it with another, of any run.",
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="actions"):
        steps.show(this, name, epoch)
        _buttons(this, pinned, is_selected=this.image in selected)
    left, right = st.columns(WIDTHS)
    with left:
        _portraits(compared, epoch)
        _versions(this, epoch, version)
        _neighbours(this, epoch, selected)
    with right:
        _trajectories(this, compared, epoch)
        _scores(this, compared, epoch)
        _place(this, compared)


def _statement(this: Sample) -> str:
    facts = this.facts
    parts = [this.title, f"picked in {len(facts.drawn_in)} of {facts.epochs} epochs"]
    if facts.times_uniform is not None:
        parts.append(f"mean p {frames.picks.times(facts.times_uniform)}")
    return " · ".join(parts)


# --- Choosing and pinning --------------------------------------------------------------------------------------------


def _first(run: Run) -> int:
    """The image that has the most to show: the most versions, else the most draws."""
    recorded = frames.recorded.most_recorded(run)
    return frames.sample.most_drawn(frames.sample.draw_matrix(run)) if recorded is None else recorded


def _choose_image(T: int, first: int) -> int:
    return choices.whole(
        "Training image",
        0,
        T - 1,
        first,
        "image",
        help="Its row, counted from 0; by default, one with many x′ on record.",
        always=True,
    )


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


def _buttons(this: Sample, pinned: Sample | None, *, is_selected: bool) -> None:
    if pinned is None or pinned.address != this.address:
        label = "Pin" if pinned is None else "Pin this"
        _button(label, choices.set_param, ("pin", this.address), "Shift+P", "keep")
    if pinned is not None and pinned.address != this.address:
        _button("Swap", _swap, (this, pinned), "Shift+S", "swap_horiz")
    if pinned is not None:
        _button("Unpin", choices.set_param, ("pin", None), "Shift+U", "keep_off")
    label = "Unselect" if is_selected else "Select"
    _button(label, selection.flip, (this.run.config.dataset, this.image), "Shift+X", "select")
    hint = "Attack it with settings of your choice (Shift+A)"
    if st.button("Attack lab", icon=":material/bolt:", shortcut="Shift+A", key="do attack", help=hint):
        page.open_page("attack", run=this.run.id, image=this.image)


def _button(label: str, act: Callable[..., None], args: tuple[Any, ...], keys: str, icon: str) -> None:
    icon_name, hint = f":material/{icon}:", f"{label} ({keys})"
    st.button(label, on_click=act, args=args, shortcut=keys, icon=icon_name, key=f"do {icon}", help=hint)


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
    named = names.names({sample.run.id: sample.run.config for sample in (this, pinned)})
    return {
        f"#{this.image}, {named[this.run.id]}": this,
        f"#{pinned.image}, {named[pinned.run.id]}, pinned": pinned,
    }


# --- What is known about it ------------------------------------------------------------------------------------------


def _portraits(compared: dict[str, Sample], epoch: int) -> None:
    """The images and facts of each sample, in the epoch or in the last that its run has."""
    for column, (title, sample) in zip(st.columns(len(compared)), compared.items(), strict=True):
        with column:
            if len(compared) > 1:
                named = "" if sample.class_name is None else f" · {page.plain(sample.class_name)}"
                st.markdown(f"**{page.plain(title)}**{named}")
            shown = min(epoch, sample.run.epoch)
            sample_panel.images(sample, shown, most=260)
            sample_panel.facts(sample, shown)


def _trajectories(this: Sample, compared: dict[str, Sample], epoch: int) -> None:
    with_p = [(title, sample) for title, sample in compared.items() if len(sample.matrix.epochs)]
    for title, sample in compared.items():
        if (title, sample) not in with_p:
            st.info(f"{page.plain(title)}: no epoch of this run has p (n = 0, n = all, or warm-up).")
    if not with_p:
        return
    history = sample_panel.history(with_p)
    name, several = f"{this.run.id}-image-{this.image}", len(compared) > 1
    sample_panel.p_chart(history, name, epoch, height=140, legend=several)
    downloads.chart(
        partial(charts.sample.rank_history, history, epoch=epoch, legend=False),
        history,
        f"{name}-rank",
        alt=f"Rank of p of training image {this.image} over the epochs, 1 on top, on a log axis",
        height=125,
    )


def _scores(this: Sample, compared: dict[str, Sample], epoch: int) -> None:
    """What the scoring passes recorded of the samples, a small chart a score."""
    parts = [
        frames.scores.history(page.held(frames.scores.matrices, sample.run), sample.drawn, sample.image, title)
        for title, sample in compared.items()
    ]
    histories = frames.sample.together(parts)
    if histories.empty:
        return
    scores = list(dict.fromkeys(histories["score"]))
    for column, score in zip(itertools.cycle(st.columns(2)), scores, strict=False):
        of_score = histories[histories["score"] == score]
        with column:
            st.caption(f"**{page.plain(of_score['title'].iloc[0])}**")
            downloads.chart(
                partial(charts.sample.score_history, of_score, epoch=epoch, legend=False),
                of_score,
                f"{this.run.id}-image-{this.image}-{score}",
                alt=f"{score} of training image {this.image} over the epochs",
                height=105,
            )


def _versions(this: Sample, epoch: int, show_as: str) -> None:
    drawn_in = this.facts.drawn_in
    if not drawn_in:
        st.caption("No epoch picked this image, so no x′ of it was made.")
        return
    total = "1 epoch" if len(drawn_in) == 1 else f"{len(drawn_in)} epochs"
    versions = page.remembered(frames.recorded.sample_versions, this.run, this.image, drawn_in, this.dataset)
    if versions is None:
        st.caption(
            f"Picked in {total}, but no x′ is on record: an epoch records its first {this.run.config.num_recorded:,} "
            "picks, and this image was not among them."
        )
        return
    counts = frames.recorded.outcome_counts(versions.predictions)
    shown = versions.x_adv
    if show_as == DIFFERENCE and this.dataset is not None:
        clean = frames.sample.clean_images(this.run, this.dataset, [this.image] * len(versions.epochs))
        shown = gallery.difference(clean, versions.x_adv, this.run.config.epsilon)
    few = len(versions.epochs) <= MANY
    tiles = sheet.Tiles(
        frames.recorded.version_titles(versions, this.image),
        captions=[str(number) for number in versions.epochs] if few else (),
        ids=versions.epochs,
        marks=[OUTCOME_COLOURS.get(outcome, "") for outcome in versions.predictions["outcome"]],
        selected=[epoch],
    )
    clicked = sheet.draw({show_as: shown}, tiles, "versions", scale=scale_of(shown.shape[-1], "M" if few else "S"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"{show_as} of {len(versions.epochs)} of the {total} that picked it; click one for its epoch",
            width="content",
        )
        if counts:
            look.legend({f"{count} {name}": OUTCOME_COLOURS[name] for name, count in counts.items() if count})
    if clicked is not None:
        choices.ask("epoch", versions.epochs[clicked])
        st.rerun()


def _neighbours(this: Sample, epoch: int, selected: tuple[int, ...]) -> None:
    neighbours = frames.sample.neighbours(this.matrix, this.drawn, epoch, this.image, NEIGHBOURS)
    if neighbours is None:
        st.caption(f"Epoch {epoch} has no p (n = 0, n = all, or warm-up), so no neighbours in p.")
        return
    if this.dataset is None:
        st.caption(f"**Neighbours in p**, epoch {epoch}")
        downloads.table(neighbours, alt=f"Images nearest to image {this.image} by rank of p in epoch {epoch}")
        return
    rank = this.moment(epoch).rank
    st.caption(f"**Neighbours in p**, epoch {epoch}: ranks around {rank:,}, most likely first")
    rows = [int(row) for row in neighbours["image"]]
    clean = frames.sample.clean_images(this.run, this.dataset, rows)
    tiles = sheet.Tiles(
        frames.sample.neighbour_titles(neighbours, this.run, this.dataset),
        ids=rows,
        marks=[charts.style.GROUP_COLOURS[page.dark()]["drawn"] if picked else "" for picked in neighbours["drawn"]],
        selected=selected,
    )
    clicked = sheet.draw(
        {"clean": clean},
        tiles,
        "neighbours",
        scale=scale_of(clean.shape[-1], "M"),
        on_select=lambda row: selection.flip(this.run.config.dataset, row),
    )
    look.legend({f"picked in epoch {epoch}": charts.style.GROUP_COLOURS[page.dark()]["drawn"]})
    if clicked is not None:
        choices.ask("image", rows[clicked])
        st.rerun()


def _place(this: Sample, compared: dict[str, Sample]) -> None:
    sample_map = page.held(frames.sample.sample_map, this.run)
    if sample_map is None:
        return
    shown = {title: sample.image for title, sample in compared.items() if sample.run.id == this.run.id}
    places = frames.sample.sample_places(sample_map, list(shown.values()), list(shown))
    others = len(shown) < len(compared)
    zeros = f"; {sample_map.zeros:,} with p = 0 throughout are left out" if sample_map.zeros else ""
    pinned = "; the pinned image belongs to another run, which has its own map" if others else ""
    st.caption(f"**{sample_map.shown:,} samples** by mean and variability of p{zeros}{pinned}")
    downloads.chart(
        partial(charts.sample.sample_map, sample_map.grid, places, dark=page.dark(), legend=False),
        sample_map.grid,
        f"{this.run.id}-data-map",
        alt=f"Mean of p against its variability for all samples, with the place of training image {this.image}",
        height=210,
    )
