"""All training samples as points, the picks of each epoch lit up; a lasso selects."""

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aat_explore.errors import AATError
from aat_explore.views import frames
from aat_explore.views.canvas.points import CLASS, OF_NETWORK, OF_RUN, OF_SCORES, PICKED, Points, notes, points_of
from aat_explore.views.canvas.still import still
from aat_explore.views.canvas.widget import PointsMap
from aat_explore.views.frames.samples_map import DATA_MAP, EMBEDDINGS, MAP_OF_P, Axis
from aat_explore.views.protocols import Dataset, Run
from aat_explore.views.widgets.explorer import Explorer, State, dropdown, epoch_player
from aat_explore.views.widgets.picks import EVERY, check_draws, check_recorded

MOST_BELOW = 20  # images of the selection that are shown below the map
HOW_TO = "Drag moves, Shift-drag selects, and the wheel zooms once the map is clicked on."


class MapExplorer(Explorer):
    """All samples as points: the data map, any two scores, or an embedding; play or step through the epochs.

    A lasso (a drag with Shift) selects, and `rows` are the selected samples. Clicks on points and on the images of the
    selection go to `on_click`. Without `dataset` there are neither classes nor images. `embeddings`: method → float32
    (T, 2), as in `{"pca": embed(run.id).points}` with `aat_explore.experiments.embedding.embed`; AATError if one is of
    another shape.
    """

    def __init__(
        self,
        run: Run,
        dataset: Dataset | None = None,
        *,
        embeddings: Mapping[Literal["pca", "umap"], NDArray[np.float32]] | None = None,
    ) -> None:
        self._run, self._dataset, self._embeddings = run, dataset, dict(embeddings or {})
        self._points: Points | None = None
        self._held: Any = cache(frames.samples_map.called)  # what takes the whole run to compute
        self._offered = frames.samples_map.offered(run) if run.recorded else ()
        self._pairs = self._pairs_of_axes()
        self.play, self.epoch = epoch_player(run.epoch)
        self.axes = dropdown("axes", [*self._pairs, *([OF_SCORES] if len(self._offered) > 1 else [])])
        scores = [(name.replace("-", " "), name) for name in self._offered]
        self.x, self.y = dropdown("x", scores), dropdown("y", scores[1:] + scores[:1])
        self.classes = dropdown("class", [EVERY, *(() if dataset is None else dataset.class_names)])
        self.colour = dropdown("colour", [PICKED, *(() if dataset is None else [CLASS])])
        self.map = PointsMap()
        self.map.on_select(self._encircled)
        super().__init__(
            [self.play, self.epoch], [self.axes, self.x, self.y], [self.classes, self.colour], above=[self.map]
        )
        self._watch(self.epoch, self.axes, self.x, self.y, self.classes, self.colour)

    def on_click(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the row in the training split of each clicked point or image."""
        self.map.on_click(callback)
        self.sheet.on_click(lambda at: callback(self.state.rows[at]))

    def _pairs_of_axes(self) -> dict[str, tuple[str, str]]:
        """Names of `frames.samples_map.QUANTITIES` for x and y, by what the list calls them."""
        of_run = [pair for pair in (DATA_MAP, MAP_OF_P) if pair[0] in self._offered][:1]
        pairs = dict.fromkeys([OF_RUN], of_run[0]) if of_run else {}
        for method, points in self._embeddings.items():
            if method not in EMBEDDINGS:
                raise AATError(f"embeddings[{method!r}] is unknown; choose of {', '.join(EMBEDDINGS)}")
            count = self._count()
            if np.shape(points) != (count, 2):
                raise AATError(
                    f"embeddings[{method!r}] has the shape {np.shape(points)}; run={self._run.id} needs ({count}, 2)"
                )
            pairs[f"{OF_NETWORK}, {method.upper()}"] = EMBEDDINGS[method]
        return pairs

    def _count(self) -> int:
        """T."""
        drawn = self._held(frames.sample.draw_matrix, self._run)
        return int(drawn.shape[1]) or (0 if self._dataset is None else len(self._dataset.train.labels))

    def _select(self, rows: Collection[int]) -> None:
        outside = [row for row in rows if not 0 <= row < self._count()]
        if outside:
            last = self._count() - 1
            raise AATError(f"rows={outside[0]} is not a sample of run={self._run.id}; choose from 0 to {last}")
        self._selected = set(rows)
        self._show()

    def _encircled(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows.tolist()

    def _axes(self, epoch: int, names: tuple[str, str]) -> tuple[Axis, Axis]:
        """The axes of these names; AATError if the epoch does not have them."""
        method = next((method for method, pair in EMBEDDINGS.items() if pair == names), None)
        if method is None:
            values = frames.samples_map.values_of(self._run, epoch, names, self._held, frames.samples_map.called)
        else:
            values = dict(zip(names, np.asarray(self._embeddings[method], np.float32).T, strict=True))
        if lacking := frames.samples_map.lacking(epoch, names, values):
            raise AATError(lacking)
        return frames.samples_map.axis(names[0], values[names[0]]), frames.samples_map.axis(names[1], values[names[1]])

    def _draw(self) -> State:
        self._points = None
        try:
            words = self._place()
        finally:
            self.map.show(self._points)  # nothing after an error
        first = self.rows[:MOST_BELOW]
        if self._dataset is None or not first:
            return State(words)
        images = {"": frames.sample.clean_images(self._run, self._dataset, first)}
        captions = [f"#{row}\n{frames.sample.class_of(self._run, self._dataset, row)}" for row in first]
        return State(words, images, captions, [caption.replace("\n", ", ") for caption in captions], first)

    def _place(self) -> list[str]:
        """Put the points where the controls ask for them; returns what is to be said of them."""
        run, epoch = self._run, self.epoch.value
        check_recorded(run)
        check_draws(run)
        of_scores = self.axes.value == OF_SCORES
        for control in (self.x, self.y):
            control.layout.display = "" if of_scores else "none"
        if self.axes.value is None:
            raise AATError(f"run={run.id} has no scores to place its samples by; give embeddings, as of `aat embed`")
        names = (self.x.value, self.y.value) if of_scores else self._pairs[self.axes.value]
        axes = self._axes(epoch, names)
        self._points = points_of(
            run,
            epoch,
            self._dataset,
            axes,
            key=f"{run.id} {' '.join(names)}",
            selected=self._selected,
            classes=[] if self.classes.value == EVERY else [self.classes.value],
            by_class=self.colour.value == CLASS,
        )
        words = [f"{self._points.words}", " · ".join([HOW_TO, *notes(names, axes, self._offered)])]
        if self._selected:
            below = f", the first {MOST_BELOW} below" if self._dataset and len(self._selected) > MOST_BELOW else ""
            words.append(f"{len(self._selected):,} selected{below}.")
        return words

    def _picture(self) -> bytes | None:
        return None if self._points is None else still(self._points)
