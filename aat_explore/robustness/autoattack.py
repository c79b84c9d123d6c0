"""The standard AutoAttack (Croce and Hein 2020), using pyautoattack, the package that RobustBench uses."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn

from aat_explore.algorithm.attacks import predicted_labels
from aat_explore.algorithm.gradients import attacked, pixels
from aat_explore.engine.batches import ImageSet
from aat_explore.errors import AATError
from aat_explore.optional import imported

LIBRARY = "pyautoattack"
ATTACKS = {"APGD-CE": "apgd-ce", "APGD-T": "apgd-t", "FAB-T": "fab-t", "Square": "square"}  # in the standard order
LEAST_CLASSES = 4  # for APGD-T's loss, a ratio of differences of four logits


class AutoAttack:
    """The four attacks with the standard parameters, but no more target classes than the network has.

    Raises AATError if pyautoattack cannot be imported.
    """

    def __init__(self, *, seed: int, num_classes: int = 10, square_queries: int = 5000) -> None:
        self._library = imported(LIBRARY)
        logging.getLogger("auto-attack").addHandler(logging.NullHandler())  # our checks look for what it warns of
        self._seed, self._targets, self._queries = seed, min(9, num_classes - 1), square_queries
        self._num_classes = num_classes

    @staticmethod
    def version() -> dict[str, str]:
        """Return the version of the library, for records."""
        return {LIBRARY: metadata.version(LIBRARY)}

    def survivors(self, network: nn.Module, data: ImageSet, epsilon: float, survives: Tensor) -> Tensor:
        """Return which images of `survives`, bool (N,), stay correct after each attack and those before it: (4, N).

        Each attack is tried on the survivors of those before it, as in the library. Raises AATError for a network of
        fewer than four classes.
        """
        if self._num_classes < LEAST_CLASSES:
            raise AATError(
                f"AutoAttack needs {LEAST_CLASSES} classes and this network has {self._num_classes}; use attack pgd"
            )
        survives, results = survives.clone(), []
        for name in ATTACKS:
            self.attempt(name, network, data, epsilon, survives)
            results.append(survives.clone())
        return torch.stack(results)

    def attempt(self, name: str, network: nn.Module, data: ImageSet, epsilon: float, survives: Tensor) -> None:
        """Clear in `survives`, bool (N,), the images that one attack fools, by our own check of the x′ it returns."""
        for rows, chunk in data.chunks():
            remaining = survives[rows].nonzero().flatten()
            if len(remaining) == 0:
                continue
            images, labels = pixels(chunk.images[remaining]), chunk.labels[remaining]
            with attacked(network), _global_state_restored():
                x_adv, _ = self._prepared(name, network, images.device, epsilon).run_standard_evaluation(
                    images, labels, batch_size=len(images)
                )
            in_ball_and_box = ((x_adv - images).abs().flatten(1).amax(1) <= epsilon + 1e-6) & (
                (x_adv >= 0) & (x_adv <= 1)
            ).flatten(1).all(1)
            is_fooled = in_ball_and_box & (predicted_labels(network, x_adv) != labels)
            survives[rows][remaining[is_fooled]] = False  # a slice is a view

    def _prepared(self, name: str, network: nn.Module, device: torch.device, epsilon: float) -> Any:
        attack = self._library.AutoAttack(network, eps=epsilon, norm="Linf", seed=self._seed, device=device)
        attack.verbose = False
        attack.attacks_to_run = [ATTACKS[name]]
        attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = self._targets
        attack.square.n_queries = self._queries
        return attack


@contextmanager
def _global_state_restored() -> Iterator[None]:
    """Restore torch's global generator, which the library seeds, and the debugger's trace hook, which it removes."""
    trace = sys.gettrace()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        sys.settrace(trace)
