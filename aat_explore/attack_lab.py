"""One sample, one network, one attack, and what surrounds it: losses along ε and along the steps of PGD; and several
networks under several attacks.

The whole grid of ε goes through the network as one batch: PGD-20 at 17 values of ε with StdCNN, and all else that an
attack computes, takes 75 ms so, and 290 ms one ε after another (AMD EPYC, one thread, medians of 15).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aat_explore import experiment
from aat_explore.algorithm.attacks import check_epsilon, move, project, uniform_start
from aat_explore.algorithm.gradients import attacked, input_gradient, pixels, wide
from aat_explore.config import EvaluationConfig
from aat_explore.datasets import Dataset
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.evaluation import correct_at
from aat_explore.errors import AATError
from aat_explore.records import wilson_interval
from aat_explore.store import Run
from aat_explore.views.frames.attack import Attacked, Attempt
from aat_explore.views.protocols import UInt8
from aat_explore.views.recipes import TEST_NAMES

if TYPE_CHECKING:
    from aat_explore.views.widgets import AttackExplorer

Kind = Literal["fgsm", "weak-pgd", "pgd", "autoattack"]

GRID = 17  # values of ε from 0 to twice the chosen one, which is in the middle


def load_network(run: Run, data: Dataset, epoch: int) -> nn.Module:
    """Return a run's network after `epoch`, on the CPU, in eval mode, to be read by several threads at once.

    Raises AATError as `experiment.load_network` does.
    """
    network = experiment.load_network(run, data, epoch)
    return network.requires_grad_(False)  # so that `attacked` finds nothing to change, and sessions may share it


def attack(network: nn.Module, image: UInt8, label: int | None, attempt: Attempt) -> Attacked:
    """Attack one image, uint8 (C, H, W), and return x′ with the losses around it.

    The loss of `label` is raised, that of the predicted class if it is None. FGSM is one step of PGD of size ε from
    the image itself; both are attacked at `GRID` values of ε. Raises AATError for ε outside [0, 1] or steps < 1.
    """
    check_epsilon(attempt.epsilon)
    if attempt.steps < 1:
        raise AATError(f"steps={attempt.steps} is less than 1; PGD needs at least one step")
    clean = pixels(torch.from_numpy(np.array(image))[None])
    epsilons = np.linspace(0, 2 * attempt.epsilon, GRID)
    epsilons[GRID // 2] = attempt.epsilon
    with attacked(network), torch.no_grad():
        before = wide(network(clean))
        labels = before.argmax(1) if label is None else torch.tensor([label])
        gradient, _ = input_gradient(network, clean, labels)
        fgsm = torch.cat([move(clean, gradient.sign(), epsilon) for epsilon in epsilons.tolist()])
        pgd, step_losses = _pgd_along(network, clean, labels, [*epsilons.tolist(), attempt.epsilon], attempt)
        after = wide(network(torch.cat([fgsm, pgd])))
    losses = _losses(after, labels)
    chosen = (0 if attempt.kind == "FGSM" else GRID) + GRID // 2
    slope = wide(gradient).abs()
    return Attacked(
        attempt=attempt,
        clean=clean[0].numpy(),
        x_adv=torch.cat([fgsm, pgd])[chosen].numpy(),
        label=int(labels),
        before=before.softmax(1)[0].numpy(),
        after=after.softmax(1)[chosen].numpy(),
        epsilons=epsilons,
        fgsm_losses=losses[:GRID],
        pgd_losses=losses[GRID : 2 * GRID],
        step_losses=np.array([*step_losses, losses[GRID + GRID // 2]]),
        loss_other_start=float(losses[-1]),
        gradient_l1=float(slope.sum()),
        gradient_zeros=float((slope == 0).double().mean()),
    )


def compare(
    networks: Mapping[str, nn.Module], images: Tensor, labels: Tensor, attacks: Sequence[Kind], *, epsilon: float
) -> pd.DataFrame:
    """Attack several networks by several attacks of ε; a row each: network, attack, accuracy, least, most, images.

    `images` (N, C, H, W) uint8 or float in [0, 1], `labels` (N,) int64. The first attack of each network is none,
    `clean`; `least` to `most` is the 95 % interval, had other images been drawn (Wilson). Raises AATError for ε outside
    [0, 1], and for autoattack where pyautoattack is missing.
    """
    check_epsilon(epsilon)
    rows, data = [], ImageSet(images, labels)
    for name, network in networks.items():
        for kind in attacks:
            config = EvaluationConfig(attack=kind)
            clean, left = (int(correct.sum()) for correct in correct_at(network, data, config, (0.0, epsilon)))
            found = {"clean": clean, TEST_NAMES.get(kind, f"PGD-{config.num_steps}"): left}
            rows += [(name, attack, n / len(data), *wilson_interval(n, len(data))) for attack, n in found.items()]
    frame = pd.DataFrame(rows, columns=["network", "attack", "accuracy", "least", "most"])
    return frame.drop_duplicates(["network", "attack"], ignore_index=True).assign(images=len(data))


def explorer(run: Run, data: Dataset) -> "AttackExplorer":
    """Return a widget to attack images of the test split in a notebook, by the run's network after its last epoch.

    Raises AATError as `load_network` does.
    """
    from aat_explore.views.widgets import AttackExplorer  # ipywidgets, which the dashboard need not wait for

    return AttackExplorer(run, data, partial(attack, load_network(run, data, run.epoch)))


def _pgd_along(
    network: nn.Module, clean: Tensor, labels: Tensor, epsilons: Sequence[float], attempt: Attempt
) -> tuple[Tensor, list[float]]:
    """PGD on one image for several ε in one batch: x′ (len(epsilons), C, H, W), the last from the other kind of start.

    Row k is `attacks.pgd` at the k-th ε with the same seed. Also the losses at ε, in the middle of the grid, at the
    start and after each step but the last.
    """
    starts = [attempt.random_start] * (len(epsilons) - 1) + [not attempt.random_start]
    x_adv = torch.cat(
        [
            uniform_start(clean, epsilon, torch.Generator().manual_seed(attempt.seed)) if at_random else clean
            for epsilon, at_random in zip(epsilons, starts, strict=True)
        ]
    )
    sizes = torch.tensor(epsilons).view(-1, 1, 1, 1) * (attempt.factor / attempt.steps)
    step_losses = []
    for _ in range(attempt.steps):
        gradient, logits = input_gradient(network, x_adv, labels.expand(len(x_adv)))
        step_losses.append(float(_losses(wide(logits[GRID // 2, None]), labels)[0]))
        moved = x_adv + sizes * gradient.sign()
        x_adv = torch.cat([project(moved[k, None], clean, epsilon) for k, epsilon in enumerate(epsilons)])
    return x_adv, step_losses


def _losses(logits: Tensor, labels: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """J of each row of float64 logits (B, K) for one label, (B,)."""
    losses: np.ndarray[Any, np.dtype[np.float64]] = F.cross_entropy(
        logits, labels.expand(len(logits)), reduction="none"
    ).numpy()
    return losses + 0.0  # no -0, which is what it gives where all probability is on the label
