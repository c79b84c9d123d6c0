"""One row of picked images per epoch, so that one picture shows how the picks change."""

from collections.abc import Callable

from aat_explore.views import frames
from aat_explore.views.protocols import Dataset, Run
from aat_explore.views.widgets.explorer import Explorer, State, dropdown
from aat_explore.views.widgets.picks import EVERY, check_draws, check_recorded

EPOCHS, PER_ROW = 8, 14  # fit a notebook's width at two screen pixels per pixel of MNIST


class FilmstripExplorer(Explorer):
    """What some of the epochs picked, a row an epoch; choose an order, a class and how far apart the epochs are.

    Clicks on images go to `on_click`; `rows` are the selected samples.
    """

    def __init__(self, run: Run, dataset: Dataset, *, epochs: int = EPOCHS, per_row: int = PER_ROW) -> None:
        self._run, self._dataset, self._epochs, self._per_row = run, dataset, epochs, per_row
        self.order = dropdown("order", list(frames.filmstrip.ORDERS))
        self.classes = dropdown("class", [EVERY, *dataset.class_names])
        super().__init__([self.order, self.classes])
        self._watch(self.order, self.classes)

    def on_click(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the row in the training split of each clicked image."""
        self.sheet.on_click(lambda at: callback(self.state.rows[at]))

    def _draw(self) -> State:
        run, dataset = self._run, self._dataset
        check_recorded(run)
        check_draws(run)
        epochs = frames.filmstrip.epochs_shown(run, self._epochs)
        classes = [] if self.classes.value == EVERY else [self.classes.value]
        film = frames.filmstrip.filmstrip(run, epochs, self._per_row, self.order.value, dataset, classes)
        strip = {f"epoch {row.epoch}": frames.sample.clean_images(run, dataset, row.rows) for row in film}
        words = [f"{self.order.value}, {len(epochs)} of {run.epoch} epochs, {self.classes.value}."]
        if not any(map(len, strip.values())):
            return State([*words, "None was picked; choose another class."])
        titles = [title for row in film for title in row.titles]
        rows = [int(number) for row in film for number in row.rows]
        return State(words, strip=strip, titles=titles, rows=rows)
