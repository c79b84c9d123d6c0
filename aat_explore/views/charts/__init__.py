"""Frames → Altair charts in the paper's colours, one subject per file; the same for app and notebooks.

    attack.py        one sample under attack
    contrast.py      colours that can be read as text
    compare.py       runs side by side: curves, overlap of their picks
    dynamics.py      all epochs of a run: how uneven p is, how the picks change
    figures.py       the paper's figures
    files.py         charts in notebooks without a network connection, and as files
    picks.py         one epoch: p and classes of all samples and of the picks
    results.py       clean and robust accuracy against n, against ε and against training time
    runs.py          one run's metrics; what epochs cost
    sample.py        one sample over the epochs, and its place among all
    style.py         colours, dash patterns, axes and sizes of all charts
    quick_altair.py  imports Altair quickly, before the other modules do

`dark` selects colours for a dark page. Charts have fixed sizes, because Streamlit cannot stretch facets.
"""

from aat_explore.views.charts import quick_altair as quick_altair  # isort: skip
from aat_explore.views.charts import attack, compare, dynamics, figures, files, picks, results, runs, sample, style

__all__ = ["attack", "compare", "dynamics", "figures", "files", "picks", "results", "runs", "sample", "style"]
