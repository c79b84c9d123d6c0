"""One sample, one network, one attack, and what surrounds it: losses along ε and along the steps of PGD; and several
networks under several attacks.

The whole grid of ε goes through the network as one batch: PGD-20 at 17 values of ε with StdCNN, and all else that an
attack computes, takes 75 ms so, and 290 ms one ε after another (AMD EPYC, one thread, medians of 15).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aat_explore.algorithm.attacks import check_epsilon, move, project, uniform_start
from aat_explore.algorithm.gradients import attacked, input_gradient, pixels, wide
from aat_explore.attacks import resolved, spec_of
from aat_explore.config import EvaluationConfig, checked
from aat_explore.datasets import Dataset
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.perturb import perturb
from aat_explore.errors import AATError
from aat_explore.experiments import run as experiment
from aat_explore.records import wilson_interval
from aat_explore.robustness.attempts import described
from aat_explore.robustness.evaluation import correct_at
from aat_explore.store import Run
from aat_explore.views.frames.attack import Attacked, Attempt
from aat_explore.views.protocols import UInt8
from aat_explore.views.recipes import title_of_test

if TYPE_CHECKING:
    from aat_explore.views.widgets import AttackExplorer

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
    the image itself; both are tried at `GRID` values of ε, and so is the attack of `attempt` if it is another one.
    Raises AATError for ε outside [0, 1], steps < 1, or an attack that is unknown or fails.
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
        batches = {"fgsm": fgsm, "pgd": pgd[:GRID]}
        if attempt.kind not in batches:
            batches[attempt.kind] = _along(network, clean, labels, epsilons.tolist(), attempt)
        x_adv = batches[attempt.kind][GRID // 2]
        losses = {kind: _losses(wide(network(batch)), labels) for kind, batch in batches.items()}
        other_start = _losses(wide(network(pgd[GRID:])), labels)
        after = wide(network(x_adv[None]))
    slope = wide(gradient).abs()
    return Attacked(
        attempt=attempt,
        clean=clean[0].numpy(),
        x_adv=x_adv.numpy(),
        label=int(labels),
        before=before.softmax(1)[0].numpy(),
        after=after.softmax(1)[0].numpy(),
        epsilons=epsilons,
        losses=losses,
        step_losses=np.array([*step_losses, losses["pgd"][GRID // 2]]),
        loss_other_start=float(other_start[0]),
        gradient_l1=float(slope.sum()),
        gradient_zeros=float((slope == 0).double().mean()),
    )


def compare(
    networks: Mapping[str, nn.Module], images: Tensor, labels: Tensor, attacks: Sequence[str], *, epsilon: float
) -> pd.DataFrame:
    """Attack several networks by several attacks of ε; a row each: network, attack, accuracy, least, most, images.

    `images` (N, C, H, W) uint8 or float in [0, 1], `labels` (N,) int64; `attacks` as in `EvaluationConfig.attack`, but
    for transfer, which needs another network. The first attack of each network is none,
    `clean`; `least` to `most` is the 95 % interval, had other images been drawn (Wilson). Raises AATError for ε outside
    [0, 1], an unknown attack, and for autoattack where pyautoattack is missing.
    """
    check_epsilon(epsilon)
    rows, data = [], ImageSet(images, labels)
    for name, network in networks.items():
        for kind in attacks:
            config = checked(EvaluationConfig, {"attack": kind})
            clean, left = (int(correct.sum()) for correct in correct_at(network, data, config, (0.0, epsilon)))
            found = {"clean": clean, title_of_test(described(config)): left}
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


def _along(network: nn.Module, clean: Tensor, labels: Tensor, epsilons: Sequence[float], attempt: Attempt) -> Tensor:
    """x′ of one image by any attack, one ε after another from the same seed: (len(epsilons), C, H, W)."""
    steps = attempt.steps if spec_of(attempt.kind).steps is not None else None
    options = attempt.options
    attacks = [resolved(attempt.kind, epsilon, steps=steps, options=options) for epsilon in epsilons]
    starts = [torch.Generator().manual_seed(attempt.seed) for _ in attacks]
    with torch.enable_grad():
        made = [perturb(network, clean, labels, attack, start) for attack, start in zip(attacks, starts, strict=True)]
    return torch.cat(made)


def _losses(logits: Tensor, labels: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """J of each row of float64 logits (B, K) for one label, (B,)."""
    losses: np.ndarray[Any, np.dtype[np.float64]] = F.cross_entropy(
        logits, labels.expand(len(logits)), reduction="none"
    ).numpy()
    return losses + 0.0  # no -0, which is what it gives where all probability is on the label
