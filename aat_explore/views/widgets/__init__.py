"""Explorers for notebooks (ipywidgets), of the same frames, charts and sheets as the dashboard's pages.

    explorer.py    what all share: controls, one redraw for a burst of events, messages, a static picture
    sheet.py       a contact sheet to click on
    picks.py       what each epoch picked
    sample.py      one training image over all epochs
    attack.py      one test image under attack

Display an explorer as a cell's last line. They work in JupyterLab and VS Code; where no kernel runs, their static
picture is shown.
"""

from aat_explore.views.widgets.attack import AttackExplorer
from aat_explore.views.widgets.picks import PickExplorer
from aat_explore.views.widgets.sample import SampleExplorer

__all__ = ["AttackExplorer", "PickExplorer", "SampleExplorer"]
