"""What perturbing n training samples does to accuracy, and what training time buys: the paper's Fig. 4."""

from functools import partial

import streamlit as st

from aat_explore.dashboard import choices, downloads, figures, page
from aat_explore.views import charts, frames
from aat_explore.views.protocols import Frame

MEASURES = ("clean accuracy", "robust accuracy")
AXES = ("n", "training seconds")


def show() -> None:
    """Clean or robust test accuracy against n or training time, by data set and norm, and the claim about it."""
    page.heading(
        "Accuracy vs n",
        "Test accuracy against n, the number of training samples perturbed per epoch, from none to all (the "
        "paper's Fig. 4).",
        r"\mathrm{accuracy}(n) = \frac{1}{N}\sum_{i=1}^{N} \mathbb{1}\left[\hat y_{\theta_n}(x_i) = y_i\right]",
        "θₙ is the network trained with n perturbed samples per epoch; N is the number of test images. Robust accuracy "
        "counts an image only if the attack at the training ε fails. Points are single runs, lines their means over "
        "seeds, error bars one standard deviation. The baselines n = 0 and n = all appear in every panel.",
    )
    offered = page.ticked_runs()
    measured, test = figures.measured(offered)
    tested = frames.figures.tested_with(measured, test)
    left, right = st.columns(2)
    with left:
        robust = choices.switch("Measure", MEASURES, "measure") == "robust accuracy"
    with right:
        in_time = choices.switch("Horizontal axis", AXES, "axis") == "training seconds"
    chosen = {name: figures.choose_recipe(tested, name) for name in frames.figures.datasets(tested)}
    runs = frames.figures.accuracy_against_n(measured, chosen, test, robust=robust)
    if runs.empty:
        st.info("None of these evaluations used the training ε; choose clean accuracy, or evaluate at that ε.")
        st.stop()
    clean = frames.figures.accuracy_against_n(measured, chosen, test)
    claim = frames.figures.claim_check(frames.figures.over_seeds(clean, ["dataset", "panel", "position", "n"]))
    st.write(
        f"**Clean accuracy within {frames.figures.CLAIMED_POINTS:g} points of n = 0?** {frames.figures.verdicts(claim)}"
    )
    title = f"robust accuracy ({test.split(',')[0]}, training ε)" if robust else "clean test accuracy"
    if in_time:
        _against_seconds(runs, title)
    else:
        _against_n(runs, title)
    figures.say_what_was_tested(runs, test)
    _say_claim(claim, frames.figures.baselines_to_train(clean, offered))


def _against_n(runs: Frame, title: str) -> None:
    means = frames.figures.over_seeds(runs, ["dataset", "panel", "position", "n"])
    draw = partial(charts.figures.accuracy_against_n, runs, means, title, dark=page.dark())
    downloads.chart(draw, runs, "accuracy-against-n", alt=f"{title} against n")
    downloads.table(means, alt=f"{title} for each n, over seeds", column_config=figures.MEAN_COLUMNS)


def _against_seconds(runs: Frame, title: str) -> None:
    means = frames.figures.over_seeds_in_time(runs)
    draw = partial(charts.figures.accuracy_against_seconds, runs, means, title, dark=page.dark())
    downloads.chart(draw, runs, "accuracy-against-seconds", alt=f"{title} against seconds of training")
    downloads.table(
        means, alt=f"{title} and seconds for each n and machine, over seeds", column_config=figures.MEAN_COLUMNS
    )
    st.caption(
        "Seconds up to the epoch tested: scoring, drawing, perturbing and training, without validation and recording. "
        "The number beside each mean is n."
    )
    if runs["machine"].nunique() > 1:
        st.warning(
            "These runs were trained on different machines: "
            + page.plain("; ".join(sorted(runs["machine"].unique())))
            + ". Seconds on different machines are not comparable, so each machine has its own means and line."
        )
    else:
        st.caption(
            f"All on {page.plain(runs['machine'].iloc[0])}, as recorded. Seconds on different machines are not "
            "comparable, nor are seconds on one machine if it was also busy with other work."
        )


def _say_claim(table: Frame, lacking: list[str]) -> None:
    st.subheader(f"Within {frames.figures.CLAIMED_POINTS:g} points of n = 0?")
    if table.empty:
        st.info("All runs here have n = 0. To train one that perturbs samples:")
        st.code(page.command("train --num-perturbed 1000"), language="bash")
        return
    downloads.table(table, alt="Whether clean accuracy is within 0.5 points of n = 0", column_config=figures.CLAIM)
    st.caption(
        "The verdict follows the difference of the means over seeds, in points of clean test accuracy. Where sd is as "
        "large as the difference, or there is one seed, another seed may change it. The paper says yes for every n "
        "that it samples; for n = all it says yes on MNIST, and reports a loss of 2 to 4 points on Fashion-MNIST and "
        "CIFAR10."
    )
    if lacking:
        st.info("Unknown where no run with n = 0 and these settings has been tested. To train and test one:")
        st.code("\n".join(page.command(words) for words in lacking), language="bash")
