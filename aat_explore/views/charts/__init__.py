"""Frames → Altair charts, in the paper's colours, a subject a file; the same for app and notebooks.

    attack.py        one sample under attack
    compare.py       runs beside each other: curves, overlap of their picks
    dynamics.py      all epochs of a run: how uneven p is, how the picks move
    figures.py       the paper's figures
    files.py         charts in notebooks without a network, and as files
    picks.py         one epoch: p and classes of all samples and of the picks
    runs.py          one run's metrics; what epochs cost
    sample.py        one sample over the epochs, and its place among all
    style.py         colours, dash patterns, axes and sizes of all charts
    quick_altair.py  imports Altair quickly, before all others

`dark` asks for colours that stay visible on a dark page; charts come with fixed sizes, because Streamlit cannot stretch
facets.
"""

from aat_explore.views.charts import quick_altair as quick_altair  # isort: skip
from aat_explore.views.charts import attack, compare, dynamics, figures, files, picks, runs, sample, style

__all__ = ["attack", "compare", "dynamics", "figures", "files", "picks", "runs", "sample", "style"]
