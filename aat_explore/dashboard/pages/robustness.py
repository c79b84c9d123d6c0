"""How accuracy falls as the attack grows: the paper's Fig. 1-3 and 5."""

from functools import partial

import streamlit as st

from aat_explore.dashboard import choices, downloads, figures, page
from aat_explore.views import charts, frames

AAT, PGD = FIGURES = ("Fig. 1–3: adaptive training", "Fig. 5: PGD on all samples")


def show() -> None:
    """Accuracy under attack against ε for one data set, or for networks trained with PGD on all samples."""
    page.heading(
        "Robustness vs ε",
        "Test accuracy under an attack of growing budget ε, for networks trained with n perturbed samples per epoch "
        "(the paper's Fig. 1–3 and 5).",
        r"\mathrm{accuracy}(\varepsilon) = \frac{1}{N}\sum_{i=1}^{N} "
        r"\mathbb{1}\left[\hat y(x_i') = y_i\right],\qquad \lVert x_i' - x_i\rVert_\infty \le \varepsilon",
        "x′ is the attack's result within ε of the test image; with several restarts an image counts only if all of "
        "them fail. Lines are means over seeds, bands one standard deviation, points single runs.",
    )
    measured, test = figures.measured(page.ticked_runs())
    if choices.switch("Figure", FIGURES, "figure") == AAT:
        offered = frames.figures.tested_with(measured, test)
        dataset = choices.choose("Data set", frames.figures.datasets(offered), "dataset")
        runs = frames.figures.robustness(offered, dataset, figures.choose_recipe(offered, dataset), test)
        means = frames.figures.over_seeds(runs, ["panel", "position", "n", "epsilon"])
        draw = partial(charts.figures.robustness, runs, means, test, dark=page.dark())
    else:
        runs = frames.figures.pgd_on_all(measured, test)
        if runs.empty:
            st.info("No evaluated run was trained with PGD on all samples. To train and test one:")
            st.code(page.command("train --num-perturbed all --attack.kind pgd"), language="bash")
            st.stop()
        means = frames.figures.over_seeds(runs, ["panel", "recipe", "epsilon"])
        draw = partial(charts.figures.pgd_on_all, runs, means, test)
    downloads.chart(draw, runs, "robustness-against-epsilon", alt=f"Accuracy under {test} against ε")
    figures.say_what_was_tested(runs, test)
    downloads.table(means, alt="Mean accuracies for each ε, over seeds", column_config=figures.MEAN_COLUMNS)
