"""The sampler over all epochs of a run."""

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

from aat_explore.dashboard import choices, context, downloads, look, page, picks_sheet, selection, sheet, steps
from aat_explore.datasets import Dataset
from aat_explore.store import Run
from aat_explore.views import charts, frames
from aat_explore.views.canvas.points import OF_SCORES
from aat_explore.views.frames.samples_map import MAP_OF_P
from aat_explore.views.protocols import Array, Frame

SIZE = 72  # images per gallery: whole rows of 8, 9 or 12
UPPER, LOWER = 205, 300  # heights of the two rows of panels: whole in a window of 720 pixels
MOST, NEVER = "picked most often", "never picked"


def show() -> None:
    """Eight panels over the epochs, of one run or a few; then the samples picked most often, and those never picked."""
    page.name("Sampler")
    runs = page.readable_runs()
    run = context.recorded_run(runs)
    if not page.remembered(frames.dynamics.has_draws, run):
        st.info("No epoch of this run has drawn samples yet (n = 0, or warm-up): choose another run.")
        return
    if run.config.num_perturbed == "all":
        st.info(
            "This run perturbs all samples in every epoch (n = all). It draws from no distribution, so there is no p."
        )
        return
    others = context.choose_others(run, [other for other in runs if other.recorded and other.config.samples])
    epoch = context.choose_epoch(run)
    shown = dict(zip("ABCD", [run, *others], strict=False))
    page.statement(
        "Sampler",
        _statement(run, epoch),
        r"\mathrm{ESS}=\frac{1}{\sum_i p_i^2},\quad H=-\sum_i p_i\ln p_i,\quad "
        r"\mathrm{overlap}(K,K')=\frac{|K\cap K'|}{|K\cup K'|}",
        "The effective sample size, ESS, is T for uniform p; entropy H is then ln T, and the Gini coefficient 0. K is "
        "the set that an epoch picked. Thin lines are what uniform p would give. Class mix: a class's share of the "
        "picks divided by its share of all T.",
    )
    _note_on_region(run, epoch)
    if others:
        named = context.run_names(list(shown.values()))
        entries = [f"{letter} · {named[one.id]}" for letter, one in shown.items()]
        look.legend(dict(zip(entries, charts.style.SERIES, strict=False)))
    _unevenness(run, shown, epoch)
    dataset = _picks(run, shown, epoch)
    if dataset is not None:
        _galleries(run, dataset, epoch)


def _statement(run: Run, epoch: int) -> str:
    """The epoch's p and picks in numbers, in one line; shares as on Picks."""
    statistics = page.remembered(frames.picks.draw_statistics, run, epoch)
    if statistics is None:
        return f"**Epoch {epoch}** · picked by no p (warm-up)"
    parts = [f"**Epoch {epoch}** · p of {statistics.num_train:,} samples", *statistics.words]
    if again := page.remembered(frames.picks.picked_again, run, epoch):
        parts.append(again)
    return " · ".join(parts)


# --- Panels ----------------------------------------------------------------------------------------------------------


def _unevenness(run: Run, shown: Mapping[str, Run], epoch: int) -> None:
    """The upper row: four measures of p."""
    data = _of_each(frames.dynamics.unevenness, shown)
    if data.empty:
        st.info("This copy of the run has no record of p.")
        return
    for place, measure in zip(st.columns(4), frames.dynamics.UNEVENNESS, strict=True):
        with place:
            downloads.chart(
                partial(charts.dynamics.measure_of_p, data, measure, epoch=epoch, dark=page.dark()),
                _with_ids(data[data["measure"] == measure], shown),
                f"{measure.replace(' ', '-').replace('-%', '')}-{run.id}",
                alt=f"{charts.dynamics.TITLES[measure]}, by epoch{_by_run(shown)}",
                height=UPPER,
            )


def _picks(run: Run, shown: Mapping[str, Run], epoch: int) -> Dataset | None:
    """The lower row: what the picks have in common; returns the run's images, if they are here."""
    dark, before, every, mix, times = page.dark(), *st.columns(4)
    with before:
        data = _of_each(_overlap, shown)
        if data.empty:
            st.info("No two successive epochs picked samples.")
        else:
            downloads.chart(
                partial(charts.dynamics.overlap_with_previous, data, epoch=epoch, dark=dark),
                _with_ids(data, shown),
                f"overlap-with-previous-{run.id}",
                alt=f"Overlap of the picks of each epoch and the one before, by epoch{_by_run(shown)}, and by chance",
                height=LOWER,
            )
    of = "A" if len(shown) > 1 else ""
    with every:
        data = page.remembered(_overlaps, run)
        if data["epoch"].nunique() > 1:
            downloads.chart(
                partial(charts.dynamics.overlaps, data, epoch=epoch, of=of, dark=dark),
                data,
                f"overlap-{run.id}",
                alt="Overlap of the picks of every two epochs, as a map",
                height=LOWER,
            )
    with mix:
        dataset = page.dataset_of(run)
        if dataset is not None:
            data = page.remembered(_mix, run, dataset)
            downloads.chart(
                partial(charts.dynamics.mix_over_epochs, data, epoch=epoch, of=of, dark=dark),
                data,
                f"classes-{run.id}",
                alt="Share of each class among the picks over its share of all samples, by epoch, as a map",
                height=LOWER,
            )
    with times:
        data = _of_each(_times, shown)
        downloads.chart(
            partial(charts.dynamics.times_drawn_histogram, data, dark=dark),
            _with_ids(data, shown),
            f"times-{run.id}",
            alt=f"Number of samples by times picked{_by_run(shown)}, and by uniform draws",
            height=LOWER,
        )
    return dataset


def _of_each(frame: Callable[[Run, str], Frame], shown: Mapping[str, Run]) -> Frame:
    return frames.sample.together([page.remembered(frame, one, letter) for letter, one in shown.items()])


def _with_ids(data: Frame, shown: Mapping[str, Run]) -> Frame:
    """The numbers of a chart as they are downloaded: with the ids of runs in place of letters."""
    return data.assign(run=data["run"].map({letter: one.id for letter, one in shown.items()}))


def _by_run(shown: Mapping[str, Run]) -> str:
    return " and run" if len(shown) > 1 else ""


def _overlap(run: Run, name: str = "") -> Frame:
    return frames.dynamics.overlap_with_previous(page.held(frames.sample.draw_matrix, run), name)


def _overlaps(run: Run) -> Frame:
    return frames.dynamics.overlaps(page.held(frames.sample.draw_matrix, run))


def _mix(run: Run, dataset: Dataset) -> Frame:
    return frames.dynamics.mix_over_epochs(run, page.held(frames.sample.draw_matrix, run), dataset)


def _times(run: Run, name: str = "") -> Frame:
    return frames.dynamics.times_drawn_histogram(page.held(frames.sample.draw_matrix, run), name)


# --- Samples ---------------------------------------------------------------------------------------------------------


def _galleries(run: Run, dataset: Dataset, epoch: int) -> None:
    """The samples picked most often, and beside them those never picked."""
    drawn = page.held(frames.sample.draw_matrix, run)
    often, never = frames.sample.most_often(drawn), frames.sample.never(drawn)
    times, T, epochs = frames.sample.times_drawn(drawn), drawn.shape[1], len(drawn)
    left, right = st.columns(2, gap="medium")
    with left:
        least, most = times[often[:SIZE]].min(), times[often[0]]
        counts = f"{least}–{most}× in {epochs} epochs" if least < most else f"{most}× in epochs 1 to {epochs}"
        if _title(MOST.capitalize(), counts, f"Picks of epoch {epoch}", "open picks"):
            page.open_page("picks", run=run.id, epoch=epoch, view="Sheet")
        _gallery(run, dataset, often, times, MOST)
    with right:
        if _title(NEVER.capitalize(), f"{len(never):,} of {T:,} samples", "Map of all", "open map"):
            _open_map(run, epoch)
        _gallery(run, dataset, never, times, NEVER)


def _title(words: str, detail: str, target: str, key: str) -> bool:
    """The heading of a gallery, with a button to what shows more; whether that was just pressed."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{words}** :small[{detail}]", width="stretch")
        return bool(st.button(target, icon=":material/arrow_forward:", type="tertiary", key=key))


def _gallery(run: Run, dataset: Dataset, rows: Array, times: Array, name: str) -> None:
    """The first samples of a list; a click opens one, and Previous and Next there follow the list."""
    here = rows[:SIZE]
    if not len(here):
        st.caption("none")
        return
    images = frames.sample.clean_images(run, dataset, here)
    tiles = sheet.Tiles(
        titles=[f"#{row}, {frames.sample.class_of(run, dataset, row)}, picked {times[row]}×" for row in here],
        ids=here.tolist(),
        selected=selection.rows(run.config.dataset),
    )
    at = sheet.draw(
        {"clean": images},
        tiles,
        name,
        scale=picks_sheet.scale_of(images.shape[-1], "M"),
        on_select=lambda row: selection.flip(run.config.dataset, row),
    )
    if at is not None:
        steps.remember(run.config.dataset, name, rows)
        page.open_page("sample", run=run.id, image=int(here[at]))


# --- The map, which is on Picks --------------------------------------------------------------------------------------


def _open_map(run: Run, epoch: int) -> None:
    x, y = MAP_OF_P
    page.open_page("picks", run=run.id, epoch=epoch, view="Map", axes=OF_SCORES, x=x, y=y)


def _note_on_region(run: Run, epoch: int) -> None:
    """For links to a rectangle of the data map that was here: a note, and the samples in it on the map of Picks."""
    region = choices.param("region")
    if region is None:
        return
    ends, of_run = _ends(region), page.held(frames.sample.sample_map, run)
    if ends is None:
        st.caption(f":material/link_off: The link says region = {page.plain(region[:80])}, which is no rectangle.")
        choices.set_param("region", None)
        return
    if of_run is None:
        choices.set_param("region", None)
        return
    rows = frames.dynamics.inside(of_run, ends[:2], ends[2:])
    extent = f"mean p {ends[0]:.2g} to {ends[1]:.2g}, variability {ends[2]:.2f} to {ends[3]:.2f}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"The map is on Picks now. The link marks {len(rows):,} samples: {extent}.", width="content")
        none = len(rows) == 0
        if st.button(
            "Select and show them", icon=":material/arrow_forward:", type="tertiary", key="open region", disabled=none
        ):
            choices.set_param("region", None)
            selection.put(run.config.dataset, rows)
            _open_map(run, epoch)


def _ends(region: str) -> list[float] | None:
    """Four numbers from the URL: from and to of mean p, then of variability; None if they are no rectangle."""
    try:
        ends = [float(part) for part in region.split("_")]
    except ValueError:
        return None
    return ends if len(ends) == 4 and ends[0] <= ends[1] and ends[2] <= ends[3] else None  # both false for NaN
