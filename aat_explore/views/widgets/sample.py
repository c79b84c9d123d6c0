"""One training image over all epochs."""

from typing import Any

import ipywidgets
import numpy as np

from aat_explore.views import charts, frames
from aat_explore.views.protocols import Dataset, Run
from aat_explore.views.widgets.explorer import Explorer, State, dropdown, row_number, slider
from aat_explore.views.widgets.picks import PickExplorer, check_recorded

VERSIONS = 14  # recorded versions shown: with the clean image, three rows of a sheet


class SampleExplorer(Explorer):
    """One image: p and its rank in each epoch, the epochs that drew it, and its adversarial versions.

    Starts at the image drawn most often; clicks in the `PickExplorer` `follows` select the image.
    """

    def __init__(self, run: Run, dataset: Dataset, *, follows: PickExplorer | None = None) -> None:
        self._run, self._dataset = run, dataset
        recorded = run.recorded
        self._matrix = (
            frames.sample.p_matrix(run)
            if recorded
            else frames.sample.PMatrix(np.arange(0), np.empty((0, 0), np.float32))
        )
        self._is_drawn = frames.sample.draw_matrix(run) if recorded else np.empty((0, 0), bool)
        T = frames.sample.num_train(self._matrix, self._is_drawn, dataset)
        self.image = row_number("image", T - 1, frames.sample.most_drawn(self._is_drawn))
        self.listing = dropdown("step through", frames.sample.list_names(self._matrix, self._is_drawn, dataset))
        self.epoch = slider("in epoch", 1, run.epoch, run.epoch)
        self.previous, self.next = (_button(word, icon) for word, icon in (("previous", "<"), ("next", ">")))
        self.place = ipywidgets.Label()
        self.previous.on_click(lambda _: self._step(self._place_in_list().before))
        self.next.on_click(lambda _: self._step(self._place_in_list().after))
        super().__init__([self.image, self.listing, self.epoch], [self.previous, self.next, self.place])
        self._watch(self.image, self.listing, self.epoch)
        if follows is not None:
            follows.on_click(self.choose)

    def choose(self, image: int) -> None:
        """Show this row of the training split."""
        self.image.value = image

    def _place_in_list(self) -> frames.sample.PlaceInList:
        records = (self._matrix, self._is_drawn, self._dataset)
        rows = frames.sample.listed(self.listing.value, *records, self.epoch.value, self.image.value)
        return frames.sample.place_in_list(rows, self.image.value)

    def _step(self, to: int | None) -> None:
        if to is not None:
            self.choose(to)

    def _draw(self) -> State:
        run, dataset, image = self._run, self._dataset, self.image.value
        check_recorded(run)
        self._show_place()
        name = frames.sample.class_of(run, dataset, image)
        facts = frames.sample.sample_facts(self._matrix, self._is_drawn, image)
        versions = frames.recorded.sample_versions(run, image, facts.drawn_in, dataset)
        words = [_facts_words(image, name, facts)]
        images, captions = frames.sample.clean_images(run, dataset, [image]), [f"clean\n{name}"]
        if versions is not None:
            images = np.concatenate([images, versions.x_adv[-VERSIONS:]])
            captions += frames.recorded.version_captions(versions)[-VERSIONS:]
            count = len(versions.epochs)
            words.append(
                f"x′ is recorded for {count} of these epochs"
                + (f"; the last {VERSIONS} are shown." if count > VERSIONS else ".")
            )
        chart = None
        if self._matrix.p.size:
            history = frames.sample.sample_history(self._matrix, self._is_drawn, image, f"image {image}, {name}")
            chart = charts.sample.sample_history(history) if (history["p"] > 0).any() else None
        return State(words, {"": images}, captions, chart=chart)

    def _show_place(self) -> None:
        place = self._place_in_list()
        self.epoch.disabled = self.listing.value not in frames.sample.LISTS_OF_EPOCH
        self.previous.disabled, self.next.disabled = place.before is None, place.after is None
        where = self.listing.value + ("" if self.epoch.disabled else f", epoch {self.epoch.value}")
        if place.position is None:
            self.place.value = f"not in this list of {place.total:,} ({where})"
        else:
            self.place.value = f"{place.position:,} of {place.total:,} ({where})"


def _button(word: str, icon: str) -> Any:
    return ipywidgets.Button(description=f"{icon} {word}" if icon == "<" else f"{word} {icon}", tooltip=word)


def _facts_words(image: int, name: str, facts: frames.sample.SampleFacts) -> str:
    epochs = ", ".join(map(str, facts.drawn_in)) or "none"
    words = f"Image {image}, {name}: drawn in {len(facts.drawn_in)} of {facts.epochs} epochs ({epochs})"
    if facts.mean_p is None or facts.times_uniform is None:
        return f"{words}; no p is recorded."
    return f"{words}; mean p {facts.mean_p:.3g}, {facts.times_uniform:.2g} times the uniform 1/T."
