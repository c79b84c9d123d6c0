"""What perturbing n of the training samples does to accuracy: the paper's Fig. 4."""

import streamlit as st

from aat_explore.dashboard import choices, figures, page
from aat_explore.views import charts, frames

MEASURES = ("clean accuracy", "robust accuracy")


def show() -> None:
    """Clean or robust test accuracy against n, a panel a data set and norm, and the table behind it."""
    page.heading(
        "Accuracy vs n",
        "Test accuracy against n, the number of training samples perturbed an epoch: from n = 0, standard training, to "
        "n = all, every sample (the paper's Fig. 4).",
        r"\mathrm{accuracy}(n) = \frac{1}{N}\sum_{i=1}^{N} \mathbb{1}\left[\hat y_{\theta_n}(x_i) = y_i\right]",
        "θₙ is the network trained with n perturbed samples an epoch; N is the number of test images. Robust accuracy "
        "counts an image only if the attack at the training ε fails. Points are single runs, the line is their mean "
        "over seeds, bars reach one standard deviation up and down. Baselines n = 0 and n = all stand in both rows.",
    )
    measured, test = figures.measured(page.readable_runs())
    robust = choices.switch("Measure", MEASURES, "measure") == "robust accuracy"
    chosen = {name: figures.choose_recipe(measured, name) for name in frames.datasets(measured)}
    runs = frames.accuracy_against_n(measured, chosen, test, robust=robust)
    if runs.empty:
        st.info("None of these evaluations tested the training ε; choose clean accuracy, or evaluate with that ε.")
        st.stop()
    means = frames.over_seeds(runs, ["dataset", "panel", "position", "n"])
    title = f"robust accuracy ({test.split(',')[0]}, training ε)" if robust else "clean test accuracy"
    st.altair_chart(
        charts.accuracy_against_n(runs, means, title, dark=page.dark()), width="content", alt=f"{title} against n"
    )
    figures.say_what_was_tested(runs, test)
    st.dataframe(means, hide_index=True, column_config=figures.MEAN_COLUMNS, alt=f"{title} for each n, over seeds")
