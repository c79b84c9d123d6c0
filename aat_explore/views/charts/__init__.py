"""Frames → Altair charts, in the paper's colours; the same for app and notebooks.

    style.py    colours, dash patterns, axes and sizes of all charts
    runs.py     one run's metrics; what epochs cost
    epoch.py    one epoch: p and classes of all and of the drawn
    sample.py   one sample over the epochs, and its place among all
    dynamics.py all epochs of a run
    attack.py   one sample under attack
    paper.py    the paper's figures
    compare.py  runs beside each other: curves, overlap of what they drew
    quick_altair.py    imports Altair quickly, before all others
    files.py    charts in notebooks without a network, and as files

`dark` asks for colours that stay visible on a dark page; charts come with fixed sizes, because Streamlit cannot stretch
facets.
"""

from aat_explore.views.charts import quick_altair as quick_altair
from aat_explore.views.charts.attack import attacked_classes, compared, loss_along_epsilon, loss_along_steps
from aat_explore.views.charts.compare import drawn_overlap, run_curves
from aat_explore.views.charts.dynamics import (
    MAP_BRUSH,
    data_map,
    draw_counts,
    mix_over_epochs,
    overlaps,
    unevenness,
)
from aat_explore.views.charts.epoch import BRUSH, CLICK, class_mix, p_histogram
from aat_explore.views.charts.files import PICTURES, check_picture, draw_offline, offline_bundle, save, svg
from aat_explore.views.charts.paper import accuracy_against_n, accuracy_against_seconds, pgd_on_all, robustness
from aat_explore.views.charts.runs import epoch_metrics, robustness_over_epochs, speed
from aat_explore.views.charts.sample import sample_history, sample_map
from aat_explore.views.charts.style import PAPER_COLOURS, Chart, n_styles, order_of_n

__all__ = [
    "BRUSH",
    "CLICK",
    "MAP_BRUSH",
    "PAPER_COLOURS",
    "PICTURES",
    "Chart",
    "accuracy_against_n",
    "accuracy_against_seconds",
    "attacked_classes",
    "check_picture",
    "class_mix",
    "compared",
    "data_map",
    "draw_counts",
    "draw_offline",
    "drawn_overlap",
    "epoch_metrics",
    "loss_along_epsilon",
    "loss_along_steps",
    "mix_over_epochs",
    "n_styles",
    "offline_bundle",
    "order_of_n",
    "overlaps",
    "p_histogram",
    "pgd_on_all",
    "robustness",
    "robustness_over_epochs",
    "run_curves",
    "sample_history",
    "sample_map",
    "save",
    "speed",
    "svg",
    "unevenness",
]
