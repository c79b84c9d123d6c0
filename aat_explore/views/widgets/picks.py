"""The picks of each epoch, to step through or to play."""

from collections.abc import Callable

from aat_explore.errors import AATError
from aat_explore.views import frames, gallery
from aat_explore.views.protocols import Dataset, Run
from aat_explore.views.recipes import as_seen
from aat_explore.views.widgets.explorer import Explorer, State, dropdown, epoch_player

SIDE_BY_SIDE, CLEAN, ADVERSARIAL, DIFFERENCE = "side by side", "clean", "adversarial", "difference"
EVERY = "all classes"


class PickExplorer(Explorer):
    """The images that each epoch drew: play or step through the epochs; choose a class, an order and a view.

    Without `dataset` only recorded x′ can be shown. Clicks on images go to `on_click`.
    """

    def __init__(self, run: Run, dataset: Dataset | None = None, *, count: int = 12) -> None:
        self._run, self._dataset, self._count = run, dataset, count
        self.play, self.epoch = epoch_player(run.epoch)
        self.classes = dropdown("class", [EVERY, *(() if dataset is None else dataset.class_names)])
        self.order = dropdown("order", list(frames.picks.ORDERS))
        modes = [ADVERSARIAL] if dataset is None else [SIDE_BY_SIDE, CLEAN, ADVERSARIAL, DIFFERENCE]
        self.mode = dropdown("show", modes)
        super().__init__([self.play, self.epoch], [self.classes, self.order, self.mode])
        self._watch(self.epoch, self.classes, self.order, self.mode)

    def on_click(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the row in the training split of each clicked image."""
        self.sheet.on_click(lambda at: callback(self.state.rows[at]))

    def _draw(self) -> State:
        run, epoch, mode = self._run, self.epoch.value, self.mode.value
        check_recorded(run)
        check_draws(run)
        every = frames.picks.all_picks(run, epoch, self._dataset)
        classes = [] if self.classes.value == EVERY else [self.classes.value]
        chosen = frames.picks.selected(every, classes=classes, order=self.order.value)
        showable = chosen if mode == CLEAN else chosen[chosen["recorded"]]  # x′ exists only for recorded picks
        here = showable.head(self._count)
        recorded = "" if mode == CLEAN else f", {len(showable):,} with x′ recorded"
        words = [
            f"Epoch {epoch}: {draw_words(frames.picks.draw_statistics(run, epoch), len(every))}",
            f"Shown: {len(here):,} of {len(chosen):,} drawn ({self.classes.value}{recorded}).",
        ]
        if here.empty:
            return State([*words, "Choose another class or epoch, or the clean images."])
        picture = gallery.picked_images(run, epoch, here, self._dataset, None if mode == SIDE_BY_SIDE else mode)
        if picture.colours is not None:
            words[1] += f" {picture.colours}; the largest |x′ − x| here is {picture.largest:.3g}."
        if here["before"].notna().any():
            words[1] += f" Predicted before → after by the network that made x′{as_seen(run.config)}."
        return State(
            words, picture.images, frames.picks.captions(here), frames.picks.titles(here), here["image"].tolist()
        )


def check_recorded(run: Run) -> None:
    """AATError for a summary-only copy, which lacks the picks of the epochs."""
    if not run.recorded:
        raise AATError(
            f"run={run.id} holds a summary only, without the picks of each epoch; open a run that was trained here"
        )


def check_draws(run: Run) -> None:
    """AATError for a run that perturbs nothing."""
    if run.config.num_perturbed == 0:
        raise AATError(f"run={run.id} has n = 0: it perturbs nothing; open a run with n > 0")


def draw_words(statistics: frames.picks.DrawStatistics | None, drawn: int) -> str:
    """The number of images that an epoch drew, and how uneven its p was, as text."""
    if statistics is None:
        return f"{drawn:,} images perturbed, without sampling (n = all, or warm-up)."
    short = f", {statistics.shortfall:,} fewer than n" if statistics.shortfall else ""
    again = (
        "" if statistics.overlap is None else f", overlap (Jaccard) with the previous epoch {statistics.overlap:.1%}"
    )
    return (
        f"{statistics.num_drawn:,} of {statistics.num_train:,} images drawn{short}; effective sample size "
        f"{statistics.effective_sample_size:,.0f}, the most likely 1% hold {statistics.top_mass:.1%} of p, "
        f"Gini {statistics.gini:.2f}{again}."
    )
