"""The standard AutoAttack (Croce and Hein 2020), by pyautoattack, the package that RobustBench uses."""

import logging
import sys
from collections.abc import Callable, Iterator
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
ATTACKS = {"APGD-CE": "apgd-ce", "APGD-T": "apgd-t", "FAB-T": "fab-t", "Square": "square"}  # in the standard's order
LEAST_CLASSES = 4  # of APGD-T's loss, a ratio of differences of four logits


class AutoAttack:
    """The four attacks with the parameters of the standard version, but for target classes a network does not have.

    Raises AATError if pyautoattack cannot be imported.
    """

    def __init__(self, *, seed: int, num_classes: int = 10, square_queries: int = 5000) -> None:
        self._library = imported(LIBRARY)
        logging.getLogger("auto-attack").addHandler(logging.NullHandler())  # its warnings are what our checks look for
        self._seed, self._targets, self._queries = seed, min(9, num_classes - 1), square_queries
        self._num_classes = num_classes

    @staticmethod
    def version() -> dict[str, str]:
        """Version of the library, for records."""
        return {LIBRARY: metadata.version(LIBRARY)}

    def leaves(
        self,
        network: nn.Module,
        data: ImageSet,
        epsilon: float,
        survives: Tensor,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Tensor:
        """Return which of the images that `survives`, bool (N,), each attack and those before it leave: (4, N).

        Each attack is tried on all that the ones before it left, as in the library's own run. `progress` hears how
        many of the four are done. Raises AATError for a network of fewer than four classes.
        """
        if self._num_classes < LEAST_CLASSES:
            raise AATError(
                f"AutoAttack needs {LEAST_CLASSES} classes and this network has {self._num_classes}; use attack pgd"
            )
        survives, found = survives.clone(), []
        for done, name in enumerate(ATTACKS):
            self.attempt(name, network, data, epsilon, survives)
            found.append(survives.clone())
            progress(done + 1)
        return torch.stack(found)

    def attempt(self, name: str, network: nn.Module, data: ImageSet, epsilon: float, survives: Tensor) -> None:
        """Clear in `survives`, bool (N,), what one attack fools; what it returns is checked, not believed."""
        for rows, chunk in data.chunks():
            standing = survives[rows].nonzero().flatten()
            if len(standing) == 0:
                continue
            images, labels = pixels(chunk.images[standing]), chunk.labels[standing]
            with attacked(network), _own_chance_and_trace():
                x_adv, _ = self._prepared(name, network, images.device, epsilon).run_standard_evaluation(
                    images, labels, batch_size=len(images)
                )
            inside = ((x_adv - images).abs().flatten(1).amax(1) <= epsilon + 1e-6) & (
                (x_adv >= 0) & (x_adv <= 1)
            ).flatten(1).all(1)
            fooled = inside & (predicted_labels(network, x_adv) != labels)
            survives[rows][standing[fooled]] = False  # a slice is a view

    def _prepared(self, name: str, network: nn.Module, device: torch.device, epsilon: float) -> Any:
        made = self._library.AutoAttack(network, eps=epsilon, norm="Linf", seed=self._seed, device=device)
        made.verbose = False
        made.attacks_to_run = [ATTACKS[name]]
        made.apgd_targeted.n_target_classes = made.fab.n_target_classes = self._targets
        made.square.n_queries = self._queries
        return made


@contextmanager
def _own_chance_and_trace() -> Iterator[None]:
    """Give back torch's global generator, which the library seeds, and the debugger's hook, which it takes away."""
    trace = sys.gettrace()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        sys.settrace(trace)
