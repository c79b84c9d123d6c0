"""Frames → Altair charts, in the paper's colours; the same for app and notebooks.

    style.py    colours, dash patterns, axes and sizes of all charts
    runs.py     one run's metrics; what epochs cost
    epoch.py    one epoch: p and classes of all and of the drawn
    paper.py    the paper's figures
    files.py    charts in notebooks without a network, and as files

`dark` asks for colours that stay visible on a dark page; charts come with fixed sizes, because Streamlit cannot stretch
facets.
"""

from aat_explore.views.charts.epoch import class_mix, p_histogram
from aat_explore.views.charts.files import PICTURES, check_picture, draw_offline, save
from aat_explore.views.charts.paper import accuracy_against_n, pgd_on_all, robustness
from aat_explore.views.charts.runs import epoch_metrics, speed
from aat_explore.views.charts.style import PAPER_COLOURS, Chart, n_styles, order_of_n

__all__ = [
    "PAPER_COLOURS",
    "PICTURES",
    "Chart",
    "accuracy_against_n",
    "check_picture",
    "class_mix",
    "draw_offline",
    "epoch_metrics",
    "n_styles",
    "order_of_n",
    "p_histogram",
    "pgd_on_all",
    "robustness",
    "save",
    "speed",
]
