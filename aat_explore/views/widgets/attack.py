"""One test image under attack."""

from typing import Protocol

import ipywidgets
import numpy as np

from aat_explore.views import charts, frames, gallery, pixels
from aat_explore.views.protocols import Dataset, Run, UInt8
from aat_explore.views.widgets.explorer import Explorer, State, row_number, slider


class Attack(Protocol):
    """Attacks one image, uint8 (C, H, W); `attack_lab.explorer` supplies it, because views never import torch."""

    def __call__(self, image: UInt8, label: int, attempt: frames.attack.Attempt) -> frames.attack.Attacked: ...  # noqa: D102


class AttackExplorer(Explorer):
    """One image of the test split under an attack: x′, predictions, the loss along ε, signs of gradient masking."""

    def __init__(self, run: Run, dataset: Dataset, attack: Attack) -> None:
        self._run, self._dataset, self._attack = run, dataset, attack
        low, high, default, step = frames.attack.epsilon_range(run.config)
        self.image = row_number("test image", len(dataset.test.labels) - 1, 0)
        self.kind = ipywidgets.ToggleButtons(
            options=list(frames.attack.attacks_offered(run.config).items()), style={"button_width": "auto"}
        )
        self.epsilon = ipywidgets.FloatSlider(
            value=default,
            min=low,
            max=high,
            step=step,
            description="ε",
            style={"description_width": "initial"},
            readout_format=".3f",
        )
        self.steps = slider("steps", 1, frames.attack.MAX_STEPS, 20)
        super().__init__([self.image, self.kind], [self.epsilon, self.steps])
        self._watch(self.image, self.kind, self.epsilon, self.steps)

    def _draw(self) -> State:
        row, names = self.image.value, self._dataset.class_names
        label = int(self._dataset.test.labels[row])
        attempt = frames.attack.Attempt(self.kind.value, self.epsilon.value, self.steps.value)
        result = self._attack(self._dataset.test.images(np.array([row]))[0], label, attempt)
        predictions = frames.attack.predictions(result, names)
        images = np.concatenate(list(pixels.alike(frames.attack.pictures(result)).values()))
        captions = [f"{image}\n{name} {p:.1%}" for image, (name, p) in predictions.items()]
        signs = [sign for sign in frames.attack.masking_signs(result) if sign.seen]
        words = [
            f"Test image {row}, {names[label]}: loss {result.fgsm_losses[0]:.3g} clean, {result.loss:.3g} under "
            f"{attempt.title}; the largest change of a pixel is {result.largest_change:.3g}.",
            *(f"Sign of gradient masking: {sign.name.lower()}; {sign.finding}." for sign in signs),
        ]
        chart = charts.attack.loss_along_epsilon(frames.attack.loss_along_epsilon(result))
        return State(words, {"": images}, [*captions, gallery.DIFFERENCE], chart=chart)
