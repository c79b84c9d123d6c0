"""Shared by the two pages with the paper's figures: the choice of evaluations and settings, and what was tested."""

from collections.abc import Sequence

import streamlit as st

from aat_explore.dashboard import choices, page
from aat_explore.dashboard.text import label
from aat_explore.store import Run
from aat_explore.views import frames
from aat_explore.views.protocols import Frame
from aat_explore.views.recipes import Recipe

PERCENT = st.column_config.NumberColumn(format="percent")
MEAN_COLUMNS = {
    "mean": PERCENT,
    "sd": PERCENT,
    "low": None,
    "high": None,
    "position": None,
    "panel": "norm",
    "epsilon": st.column_config.NumberColumn("ε", format="%.4g"),
    "seconds": st.column_config.NumberColumn(format="%.4g", help="Of training, without validation; mean over runs"),
    "lower": None,
    "upper": None,
}
CLAIM = {
    "panel": "norm",
    "within": st.column_config.TextColumn(
        "within 0.5 points", help="Whether the mean is at most 0.5 points from that of n = 0"
    ),
    "by": st.column_config.NumberColumn(
        "difference (points)", format="%+.2f", help="Mean clean accuracy minus that of n = 0"
    ),
    "mean": PERCENT,
    "sd": PERCENT,
    "mean of n = 0": st.column_config.NumberColumn("n = 0", format="percent", help="Mean clean accuracy of n = 0"),
    "sd of n = 0": st.column_config.NumberColumn("sd of n = 0", format="percent", help="Over seeds"),
    "seeds of n = 0": st.column_config.NumberColumn("seeds of n = 0", format="%d"),
}


def measured(runs: Sequence[Run]) -> tuple[Frame, str]:
    """All test accuracies and the test to show; names runs without one, and stops if none has any."""
    frame = page.remembered(frames.figures.evaluated, list(runs))
    if missing := frames.figures.untested(frame, runs):
        word = "run has" if len(missing) == 1 else "runs have"
        with st.expander(f"{len(missing)} {word} no test accuracy yet", icon=":material/pending:"):
            st.write("To measure it:")
            st.code("\n".join(page.command(f"evaluate {run_id}") for run_id in missing), language="bash")
    if frame.empty:
        st.info("No run in this cache has been evaluated on test images yet, so there is nothing to show.")
        st.stop()
    return frame, choices.choose("Tested with", frames.figures.tests(frame), "test")


def choose_recipe(frame: Frame, dataset: str) -> Recipe:
    """The settings whose runs are compared, if those of a data set have several."""
    by_name = {str(recipe): recipe for recipe in frames.figures.recipes(frame, dataset)}
    return by_name[choices.choose(f"Settings for {label(dataset)}", list(by_name), f"settings-{dataset}")]


def say_what_was_tested(runs: Frame, test: str) -> None:
    """Caption a figure: the attack, what it proves, how n = all trains, which runs fail or were tested too early."""
    st.caption(
        f"Tested with {page.plain(test)}; accuracy at ε = 0 is clean accuracy. Accuracy under any attack, PGD "
        "included, is an upper bound on robust accuracy: a stronger attack may fool the network on more images."
    )
    if (runs["n"] == "all").any():
        st.caption(
            "n = all: by default x′ of all samples is made once per epoch by the epoch-start network "
            "(`perturbing_network` epoch-start). That is weaker than the training of Madry et al., where the current "
            "network makes x′ in each batch; runs that do so have `perturbing_network` on-the-fly in their settings."
        )
    if failed := frames.figures.failing(runs):
        named = page.plain("; ".join(f"{run}: {why}" for run, why in failed.items()))
        st.markdown(f"{page.FLAG} **Marked by crosses, because they fail checks** (the Checks page explains): {named}.")
    if early := frames.figures.unfinished(runs):
        st.caption("Tested before the end of training: " + page.plain(", ".join(early)) + ".")
