"""What one epoch drew: the picked images, the distribution they were drawn from, their classes."""

from functools import partial

import streamlit as st

from aat_explore.dashboard import choices, downloads, page, player, sheet, state
from aat_explore.datasets import Dataset
from aat_explore.scores import PAPERS_SCORE
from aat_explore.store import Run
from aat_explore.views import charts, frames, gallery
from aat_explore.views.protocols import Frame
from aat_explore.views.recipes import as_seen, norm_name, when_perturbed

CLEAN, ADVERSARIAL, DIFFERENCE = "clean", "adversarial", "difference"
MODES = ("side by side", CLEAN, ADVERSARIAL, DIFFERENCE)
SIZES = ("24", "48", "100", "200", "1000")
OUTCOME = (
    "Of the recorded images, by the network that made x′: fooled (right before, wrong after), resists (right, right), "
    "wrong already (wrong, wrong), corrected (wrong, right: label leaking, if the attack knew the true label)"
)
EXPONENTS = (-12.0, 0.0)  # of p, on the slider; its low end includes everything below


def show() -> None:
    """One epoch of one run: statistics, histogram of p and class mix to select by, and a sheet of the selected."""
    page.heading(
        "Picks",
        "Which training images an epoch picked, what the attack did to them, and how they differ from the rest.",
        r"p_i = \frac{\lVert\nabla_{x_i} J\rVert_2^{k}}{\sum_j \lVert\nabla_{x_j} J\rVert_2^{k}},\qquad "
        r"x' = A_\varepsilon(x),\qquad \lVert x' - x\rVert_\infty \le \varepsilon",
        "p is proportional to the k-th power of the norm of the loss's gradient at each clean image (k = 1 Norm, k = 2 "
        "Squared Norm), or of another score that the run names; n images are drawn from p and perturbed by the run's "
        "attack A: FGSM takes one step x + ε sign(∇ₓJ), PGD several smaller ones. The effective sample size is 1/Σp².",
    )
    run = page.choose_run(page.recorded_runs())
    if run.config.num_perturbed == 0:
        st.info("n = 0 is standard training: this run picked and perturbed nothing. Choose another run.")
        return
    attack = run.config.resolved_attack.name
    st.caption(f"Here x′ is made by {attack} at ε = {run.config.epsilon:g}, {when_perturbed(run.config)}{_score(run)}.")
    epoch = player.choose_epoch(run)
    dataset = page.dataset_of(run)
    badges = st.container()
    every = page.remembered(frames.picks.all_picks, run, epoch, dataset)
    shown = _selected(every, dataset)
    distributions = st.container()
    _sheet(run, epoch, dataset, shown)  # sent first: images matter most, and browsers take longest to draw charts
    with badges:
        _badges(run, epoch)
    with distributions:
        _distributions(run, epoch, dataset, shown, whole=len(shown) == len(every))


def _score(run: Run) -> str:
    """What p is proportional to, where it differs from the formula."""
    score = run.config.canonical().score
    words = "" if score == PAPERS_SCORE else f"; p is proportional to {norm_name(run.config.norm_power, score)}"
    return page.plain(words)


def _badges(run: Run, epoch: int) -> None:
    statistics = page.remembered(frames.picks.draw_statistics, run, epoch)
    if statistics is None:
        return
    columns = st.columns(6)
    columns[0].metric(
        "Drawn", f"{statistics.num_drawn:,}", help=f"Distinct images, out of T = {statistics.num_train:,}"
    )
    columns[1].metric(
        "Shortfall",
        f"{statistics.shortfall:,}",
        help="How many fewer than n were drawn, because too few had p > 0",
    )
    columns[2].metric(
        "Effective size",
        f"{statistics.effective_sample_size:,.0f}",
        help=f"1/Σp²; {statistics.num_train:,} for uniform p",
    )
    columns[3].metric(
        "Top 1 % hold", f"{statistics.top_mass:.0%}", help="Share of p held by the most likely 1 % of images"
    )
    columns[4].metric("Gini", f"{statistics.gini:.2f}", help="0: p is uniform; 1: one image holds all of it")
    columns[5].metric(
        "Overlap",
        "–" if statistics.overlap is None else f"{statistics.overlap:.0%}",
        help="Of K with the previous epoch's K′ (Jaccard): |K ∩ K′| / |K ∪ K′|, images in both out of those in either",
    )


def _selected(every: Frame, dataset: Dataset | None) -> Frame:
    """What passes the filters, in the chosen order; for n = all and warm-up there is no p to filter by."""
    order = choices.switch("Order", tuple(frames.picks.ORDERS), "order")
    left, middle, right = st.columns(3)
    with left:
        classes = [] if dataset is None else choices.choose_many("Classes", dataset.class_names, "class")
    outcomes = []
    if counts := frames.recorded.outcome_counts(every):
        with middle:
            outcomes = choices.choose_many("Outcome", list(counts), "outcome", help=OUTCOME)
    exponents = None
    if every["p"].notna().any():
        with right:
            low, high = choices.between("log₁₀ p", *EXPONENTS, "p", step=0.1, help="Or drag across the histogram of p")
            exponents = (low if low > EXPONENTS[0] else float("-inf"), high)
    return frames.picks.selected(every, classes=classes, outcomes=outcomes, exponents=exponents, order=order)


def _distributions(run: Run, epoch: int, dataset: Dataset | None, shown: Frame, *, whole: bool) -> None:
    left, right = st.columns(2)
    histogram = page.remembered(frames.picks.p_histogram, run, epoch)
    with left:
        if histogram is None:
            st.info("This epoch drew from no distribution (n = all, or warm-up), so there is no p.")
        else:
            st.markdown("**p of all images and of those drawn** (drag across to select)")
            data = histogram if whole else frames.picks.with_shown(histogram, shown)
            downloads.chart(
                partial(charts.picks.p_histogram, data, dark=page.dark()),
                data,
                f"p-{run.id}-{epoch}",
                alt=f"Histogram of p in epoch {epoch}: all samples, the drawn and those shown",
                key="histogram",
                on_select=_brushed,
                selection_mode=charts.picks.BRUSH,
            )
    if dataset is not None:
        with right:
            st.markdown("**Classes of the images drawn** (click to select, shift-click to add)")
            mix = page.remembered(frames.picks.class_mix, run, epoch, dataset)
            mix = mix if whole else frames.picks.with_shown(mix, shown)
            downloads.chart(
                partial(charts.picks.class_mix, mix, dark=page.dark()),
                mix,
                f"classes-{run.id}-{epoch}",
                alt=f"Share of each class among all samples and among those drawn in epoch {epoch}",
                key="classes",
                on_select=_clicked,
                selection_mode=charts.picks.CLICK,
            )


def _brushed() -> None:
    """Set the slider of p to the range dragged across the histogram; clearing the range resets it."""
    ends = state.selection("histogram").get(charts.picks.BRUSH, {}).get("p_low")
    choices.ask("p", frames.picks.exponents(ends[0], ends[1], *EXPONENTS) if ends else EXPONENTS)


def _clicked() -> None:
    """Set the class filter to the classes whose bars were clicked."""
    points = state.selection("classes").get(charts.picks.CLICK, [])
    choices.ask("class", list(dict.fromkeys(point["class"] for point in points)))


def _sheet(run: Run, epoch: int, dataset: Dataset | None, shown: Frame) -> None:
    left, middle, right = st.columns([37, 28, 15])
    with left:
        mode = ADVERSARIAL if dataset is None else choices.switch("Show", MODES, "show")
    with middle:
        size = int(choices.switch("Images per sheet", SIZES, "images"))
    total = len(shown)
    if mode != CLEAN:  # every drawn image has a clean one, but only recorded images have x′
        shown = shown[shown["recorded"]]
    pages = max(1, -(-len(shown) // size))
    with right:
        number = choices.whole("Sheet", 1, pages, 1, "sheet", help=f"Out of {pages:,}")
    here = shown.iloc[(number - 1) * size : number * size]
    recorded = "" if mode == CLEAN else f"; of these, {len(shown):,} have a recorded adversarial image"
    first = (number - 1) * size + 1 if len(here) else 0
    st.caption(
        f"Showing {first:,}–{max(0, first + len(here) - 1):,} of {len(shown):,}: {total:,} drawn images pass the "
        f"filters{recorded}. Click an image to follow it over all epochs."
    )
    if here.empty:
        st.info(
            f"Epoch {epoch} recorded no adversarial images (warm-up, or num_recorded = 0)."
            if total and mode != CLEAN
            else "No drawn image passes these filters; widen log₁₀ p, or clear classes and outcomes."
        )
        return
    picture = gallery.picked_images(run, epoch, here, dataset, None if mode == MODES[0] else mode)
    clicked = sheet.show(
        picture.images,
        frames.picks.captions(here) if size <= 200 else [],
        frames.picks.titles(here),
        "picks",
        scale=2 if mode == MODES[0] else 3 if size <= 200 else 1,
    )
    st.caption(
        " · ".join([f"Each tile: {', '.join(picture.images)}.", *_differences(run, picture), *_outcomes(run, here)])
    )
    if clicked is not None:
        page.open_page("sample", run=run.id, image=int(here["image"].iloc[clicked]))


def _outcomes(run: Run, here: Frame) -> list[str]:
    if not here["recorded"].any():
        return []
    if here["before"].isna().all():
        return ["Recorded by an older aat-explore without predictions, so there are no outcomes and no orders by loss."]
    counts = ", ".join(f"{count:,} {name}" for name, count in frames.recorded.outcome_counts(here).items())
    totals = f": {counts}" if counts else ""
    by = f"by the network that made x′{as_seen(run.config)}"
    return [f"Classes predicted before → after the attack (beneath, or on hovering) are {by}{totals}."]


def _differences(run: Run, picture: gallery.PickedImages) -> list[str]:
    if picture.factor is None:
        return []
    return [
        f"|Difference| is amplified {picture.factor} times; the largest here is {picture.largest:.3g}, "
        f"ε is {run.config.epsilon:g}."
    ]
