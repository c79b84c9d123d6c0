"""Explorers for notebooks (ipywidgets), built from the same frames, charts and sheets as the dashboard.

    explorer.py    the base class: controls, one redraw per burst of events, messages, a static picture
    sheet.py       a sheet of images to click on and to select from
    picks.py       what each epoch picked
    filmstrip.py   what some epochs picked, a row an epoch
    sample.py      one training image over all epochs
    attack.py      one test image under attack

Put an explorer on the last line of a cell to display it. Explorers work in JupyterLab and VS Code; without a running
kernel their static picture is shown.
"""

from aat_explore.views.widgets.attack import AttackExplorer
from aat_explore.views.widgets.filmstrip import FilmstripExplorer
from aat_explore.views.widgets.picks import PickExplorer
from aat_explore.views.widgets.sample import SampleExplorer

__all__ = ["AttackExplorer", "FilmstripExplorer", "PickExplorer", "SampleExplorer"]
