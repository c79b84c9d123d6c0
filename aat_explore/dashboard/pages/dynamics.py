"""The sampler over all epochs of a run."""

from functools import partial

import streamlit as st

from aat_explore.dashboard import choices, context, downloads, page, sheet, state
from aat_explore.datasets import Dataset
from aat_explore.store import Run
from aat_explore.views import charts, frames
from aat_explore.views.protocols import Array

SIZE = 48  # images per gallery
MOST, NEVER = LISTS = ("most often drawn", "never drawn")


def show() -> None:
    """How uneven p is, how K changes, the classes it prefers, samples drawn often or never, and the data map."""
    page.heading(
        "Sampler",
        "The sampler over all epochs: how uneven p is, whether it repeats samples, which classes it prefers, and which "
        "samples it never draws.",
        r"\mathrm{ESS}=\frac{1}{\sum_i p_i^2},\quad H=-\sum_i p_i\ln p_i,\quad "
        r"\mathrm{Jaccard}(K,K')=\frac{|K\cap K'|}{|K\cup K'|},\quad "
        r"v_i=\frac{\mathrm{sd}_e\,p_i}{\mathrm{mean}_e\,p_i}",
        "Dashed lines are what uniform p would give. The data map (after Swayamdipta et al. 2020, with p in place of "
        "confidence) plots each sample's mean of p over the epochs against its variability v.",
    )
    runs = page.readable_runs()
    run = context.recorded_run(runs)
    if not page.remembered(frames.dynamics.has_draws, run):
        st.info("No epoch of this run has drawn samples yet (n = 0, or warm-up): choose another run.")
        return
    dataset, drawn = page.dataset_of(run), page.held(frames.sample.draw_matrix, run)
    times = frames.sample.times_drawn(drawn)
    _unevenness(run, runs)
    _overlaps(run, drawn)
    _classes(run, drawn, dataset)
    _counts(run, drawn, times, dataset)
    _map(run, times, dataset)


def _unevenness(run: Run, runs: list[Run]) -> None:
    st.subheader("How uneven p is")
    others = {frames.dynamics.run_name(other): other for other in runs if other.config.samples and other.id != run.id}
    compared = choices.choose_many(
        "Compare with",
        list(others),
        "against",
        at_most=3,
        help="For instance Norm with Squared Norm and uniform control",
    )
    data = frames.sample.together(
        [page.remembered(frames.dynamics.unevenness, shown) for shown in (run, *(others[name] for name in compared))]
    )
    if data.empty:
        st.info("This run drew from no distribution (n = all), so there is no p.")
        return
    downloads.chart(
        partial(charts.dynamics.unevenness, data),
        data,
        f"unevenness-{run.id}",
        alt="Effective sample size, entropy, Gini coefficient and mass of the top 1 % by epoch",
    )


def _overlaps(run: Run, drawn: Array) -> None:
    st.subheader("Whether it draws the same samples again")
    data, chance = frames.dynamics.overlaps(drawn), frames.dynamics.chance_overlap(drawn)
    shown, drew = data["epoch"].nunique(), int(drawn.any(axis=1).sum())
    st.caption(
        f"Jaccard overlap of the drawn sets of every two epochs; two uniform draws would share {chance:.2%}. "
        f"Showing {shown} of {drew} epochs that drew samples{', evenly spread' if shown < drew else ''}."
    )
    downloads.chart(
        partial(charts.dynamics.overlaps, data),
        data,
        f"overlap-{run.id}",
        alt="Overlap of drawn sets, epoch against epoch",
    )


def _classes(run: Run, drawn: Array, dataset: Dataset | None) -> None:
    if dataset is None:
        return
    st.subheader("Which classes it prefers")
    data = frames.dynamics.mix_over_epochs(run, drawn, dataset)
    downloads.chart(
        partial(charts.dynamics.mix_over_epochs, data),
        data,
        f"classes-{run.id}",
        alt="Share of each class among the drawn, by epoch",
    )


def _counts(run: Run, drawn: Array, times: Array, dataset: Dataset | None) -> None:
    st.subheader("How often each sample was drawn")
    data = frames.dynamics.times_drawn_histogram(drawn)
    st.caption(
        "Bars: how many samples were drawn that often. Diamonds: what uniform draws of the same sizes would give."
    )
    downloads.chart(
        partial(charts.dynamics.times_drawn_histogram, data, dark=page.dark()),
        data,
        f"times-{run.id}",
        alt="Number of samples by times drawn",
    )
    name = choices.switch("Gallery", LISTS, "gallery")
    rows = frames.sample.most_often(drawn) if name == MOST else frames.sample.never(drawn)
    _gallery(run, times, dataset, rows, name, "often")


def _map(run: Run, times: Array, dataset: Dataset | None) -> None:
    sample_map = page.held(frames.sample.sample_map, run)
    if sample_map is None:
        return
    st.subheader("The data map")
    st.caption("Drag a rectangle over the map to see the images in it; the link keeps it.")
    data = frames.dynamics.map_cells(sample_map, times)
    downloads.chart(
        partial(charts.dynamics.data_map, data),
        data,
        f"map-{run.id}",
        alt="Mean of p against its variability, coloured by times drawn",
        key="map",
        on_select=_brushed,
        selection_mode=charts.dynamics.MAP_BRUSH,
    )
    ends = _ends(choices.param("region"))
    if ends is None:
        return
    if st.button("Clear the rectangle", icon=":material/close:"):
        choices.set_param("region", None)
        st.rerun()
    rows = frames.dynamics.inside(sample_map, ends[:2], ends[2:])
    extent = f"mean p {ends[0]:.2g} to {ends[1]:.2g}, variability {ends[2]:.2f} to {ends[3]:.2f}"
    _gallery(run, times, dataset, rows, extent, "region")


def _brushed() -> None:
    """Keep the rectangle dragged over the map in the URL."""
    brushed = state.selection("map").get(charts.dynamics.MAP_BRUSH, {})
    mean, variability = brushed.get("mean_low"), brushed.get("variability_low")
    if mean and variability:
        choices.set_param("region", "_".join(f"{end:.4g}" for end in (*sorted(mean), *sorted(variability))))


def _ends(region: str | None) -> list[float] | None:
    """Four numbers from the URL; None if there are none, with a note if they do not fit."""
    if region is None:
        return None
    try:
        ends = [float(part) for part in region.split("_")]
    except ValueError:
        ends = []
    if len(ends) == 4 and ends[0] <= ends[1] and ends[2] <= ends[3]:  # both false for NaN
        return ends
    st.caption(f":material/link_off: The link says region = {page.plain(region[:80])}, which is no rectangle.")
    return None


def _gallery(run: Run, times: Array, dataset: Dataset | None, rows: Array, name: str, key: str) -> None:
    here = rows[:SIZE]
    st.caption(f"Showing {len(here)} of {len(rows):,} samples ({name}).")
    if not len(here):
        st.info("There are none.")
    elif dataset is not None:
        images = {"clean": frames.sample.clean_images(run, dataset, here)}
        captions = frames.dynamics.times_captions(times, here)
        titles = [caption.replace("\n", ", ") for caption in captions]
        if (at := sheet.show(images, captions, titles, key)) is not None:
            page.open_page("sample", run=run.id, image=int(here[at]))
