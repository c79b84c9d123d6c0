"""What one epoch drew: the picked images, the distribution they were drawn from, their classes."""

import streamlit as st

from aat_explore.dashboard import choices, page
from aat_explore.datasets import Dataset
from aat_explore.store import Run
from aat_explore.views import charts, frames, gallery
from aat_explore.views.recipes import attack_name, when_perturbed

ORDERS = ("as drawn", "by p", "by class")


def show() -> None:
    """One epoch of one run: contact sheet, histogram of p, class mix."""
    page.heading(
        "Picks",
        "Which training images an epoch picked, what the attack made of them, and how they differ from the rest.",
        r"p_i = \frac{\lVert\nabla_{x_i} J\rVert_2^{k}}{\sum_j \lVert\nabla_{x_j} J\rVert_2^{k}},\qquad "
        r"x' = A_\varepsilon(x),\qquad \lVert x' - x\rVert_\infty \le \varepsilon",
        "p is proportional to the norm of the loss's gradient at each clean image (k = 1 Norm, k = 2 Squared Norm); n "
        "images are drawn from p and perturbed by the run's attack A: FGSM takes one step x + ε sign(∇ₓJ), PGD several "
        "smaller ones. The effective sample size is 1/Σp².",
    )
    run = choices.choose_run(page.readable_runs())
    if run.config.num_perturbed == 0:
        st.info("n = 0 is standard training: this run picked and perturbed nothing. Choose another run.")
        return
    attack = attack_name(run.config.resolved_attack)
    st.caption(f"Here x′ is made by {attack} at ε = {run.config.epsilon:g}, {when_perturbed(run.config)}.")
    epoch = choices.choose_epoch(run)
    dataset = page.dataset_of(run)
    _numbers(run, epoch)
    _sheet(run, epoch, dataset)
    _distributions(run, epoch, dataset)


def _numbers(run: Run, epoch: int) -> None:
    found = page.remembered(frames.draw_statistics, run, epoch)
    if found is None:
        return
    columns = st.columns(5)
    columns[0].metric("Drawn", f"{found.num_drawn:,}", help=f"Distinct images, of T = {found.num_train:,}")
    columns[1].metric(
        "Effective sample size", f"{found.effective_sample_size:,.0f}", help=f"1/Σp²; uniform: {found.num_train:,}"
    )
    columns[2].metric("Top 1 % hold", f"{found.top_mass:.0%}", help="Probability of the most likely 1 % of images")
    columns[3].metric("Gini", f"{found.gini:.2f}", help="0: uniform p, 1: one image has it all")
    columns[4].metric(
        "Overlap (Jaccard)",
        "–" if found.overlap is None else f"{found.overlap:.0%}",
        help="Of K with the epoch before: |K ∩ K′| / |K ∪ K′|, in both of those in either",
    )


def _sheet(run: Run, epoch: int, dataset: Dataset | None) -> None:
    left, right = st.columns(2)
    with left:
        order = choices.switch("Order", ORDERS, "order")
    with right:
        count = int(choices.switch("Images", ("24", "48", "100"), "images"))
    sheet = page.remembered(gallery.picked_sheet, run, epoch, dataset, order=order, count=count, dark=page.dark())
    if sheet is None:
        st.info(f"Epoch {epoch} recorded no image (warm-up, or num_recorded = 0).")
        return
    st.image(
        sheet.png,
        output_format="PNG",
        caption=_caption(sheet, run, epoch),
        alt=f"{sheet.num_images} images picked in epoch {epoch} of {run.id}, clean, adversarial, difference",
    )


def _caption(sheet: gallery.PickedSheet, run: Run, epoch: int) -> str:
    said = f"{sheet.num_images} of the images picked in epoch {epoch}, with p and its rank among all T."
    if sheet.factor is None or sheet.largest is None:
        return said
    return (
        f"{said} |Difference| is amplified {sheet.factor} times; the largest is {sheet.largest:.3g}, "
        f"ε is {run.config.epsilon:g}."
    )


def _distributions(run: Run, epoch: int, dataset: Dataset | None) -> None:
    left, right = st.columns(2)
    histogram = page.remembered(frames.p_histogram, run, epoch)
    with left:
        st.subheader("p of all and of the drawn")
        if histogram is None:
            st.info("This epoch drew from no distribution (n = all, or warm-up), so there is no p.")
        else:
            st.altair_chart(
                charts.p_histogram(histogram, dark=page.dark()),
                alt=f"Histogram of p in epoch {epoch}: all samples against the drawn",
            )
    if dataset is not None:
        with right:
            st.subheader("Classes of the drawn")
            mix = page.remembered(frames.class_mix, run, epoch, dataset)
            st.altair_chart(
                charts.class_mix(mix, dark=page.dark()),
                alt=f"Share of each class among all samples and among those drawn in epoch {epoch}",
            )
