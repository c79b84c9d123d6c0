"""What each epoch picked, to step through or to play."""

from collections.abc import Callable

import ipywidgets

from aat_explore.errors import AATError
from aat_explore.views import frames, gallery
from aat_explore.views.protocols import Dataset, Run
from aat_explore.views.recipes import as_seen
from aat_explore.views.widgets.explorer import Explorer, State, dropdown, slider

SIDE_BY_SIDE, CLEAN, ADVERSARIAL, DIFFERENCE = "side by side", "clean", "adversarial", "difference"
EVERY = "all classes"
PACE = 800  # milliseconds an epoch when playing


class PickExplorer(Explorer):
    """The images that each epoch drew: play or step through the epochs, choose a class, an order and what is shown.

    Without `dataset` only x′ as recorded can be shown. A click on an image is told to `on_click`.
    """

    def __init__(self, run: Run, dataset: Dataset | None = None, *, count: int = 12) -> None:
        self._run, self._dataset, self._count = run, dataset, count
        self.epoch = slider("epoch", 1, run.epoch, 1)
        self.play = ipywidgets.Play(min=1, max=run.epoch, value=1, interval=PACE, show_repeat=False)
        ipywidgets.link((self.play, "value"), (self.epoch, "value"))
        self.classes = dropdown("class", [EVERY, *(() if dataset is None else dataset.class_names)])
        self.order = dropdown("order", list(frames.picks.ORDERS))
        modes = [ADVERSARIAL] if dataset is None else [SIDE_BY_SIDE, CLEAN, ADVERSARIAL, DIFFERENCE]
        self.mode = dropdown("show", modes)
        super().__init__([self.play, self.epoch], [self.classes, self.order, self.mode])
        self._watch(self.epoch, self.classes, self.order, self.mode)

    def on_click(self, hear: Callable[[int], None]) -> None:
        """Call `hear` with the row, in the training split, of each image that is clicked."""
        self.sheet.on_click(lambda at: hear(self.state.rows[at]))

    def _draw(self) -> State:
        run, epoch, mode = self._run, self.epoch.value, self.mode.value
        check_recorded(run)
        if run.config.num_perturbed == 0:
            raise AATError(f"run={run.id} has n = 0: it picked and perturbed nothing; open one with n > 0")
        every = frames.picks.drawn(run, epoch, self._dataset)
        classes = [] if self.classes.value == EVERY else [self.classes.value]
        chosen = frames.picks.selected(every, classes=classes, order=self.order.value)
        able = chosen if mode == CLEAN else chosen[chosen["recorded"]]  # x′ is there only of the recorded
        here = able.head(self._count)
        kept = "" if mode == CLEAN else f", {len(able):,} with x′ recorded"
        words = [
            f"Epoch {epoch}: {draw_words(frames.picks.draw_statistics(run, epoch), len(every))}",
            f"Shown: {len(here):,} of {len(chosen):,} drawn ({self.classes.value}{kept}).",
        ]
        if here.empty:
            return State([*words, "Choose another class or epoch, or the clean images."])
        picture = gallery.picked_images(run, epoch, here, self._dataset, None if mode == SIDE_BY_SIDE else mode)
        if picture.factor is not None:
            words[1] += f" |Difference| is amplified {picture.factor} times; the largest here is {picture.largest:.3g}."
        if here["before"].notna().any():
            words[1] += f" Predicted before → after by the network that made x′{as_seen(run.config)}."
        return State(
            words, picture.images, frames.picks.captions(here), frames.picks.titles(here), here["image"].tolist()
        )


def check_recorded(run: Run) -> None:
    """AATError for a light copy, which has not what each epoch drew."""
    if not run.recorded:
        raise AATError(f"run={run.id} is a light copy, without what each epoch drew; open a run that was trained here")


def draw_words(found: frames.picks.DrawStatistics | None, drawn: int) -> str:
    """What an epoch drew, and how uneven its p was."""
    if found is None:
        return f"{drawn:,} images perturbed, drawn from no distribution (n = all, or warm-up)."
    short = f", {found.shortfall:,} fewer than n" if found.shortfall else ""
    again = "" if found.overlap is None else f", overlap (Jaccard) with the epoch before {found.overlap:.0%}"
    return (
        f"{found.num_drawn:,} of {found.num_train:,} images drawn{short}; effective sample size "
        f"{found.effective_sample_size:,.0f}, the most likely 1 % hold {found.top_mass:.0%} of p, "
        f"Gini {found.gini:.2f}{again}."
    )
