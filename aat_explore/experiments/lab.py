"""One attack on one image, with the losses over ε and over PGD's steps; and several networks under several attacks.

The whole grid of ε goes through the network as one batch: with StdCNN, an attack with PGD-20 at 17 values of ε takes
75 ms, against 290 ms one ε at a time (AMD EPYC, one thread, medians of 15).
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
from aat_explore.experiments.run import load_network
from aat_explore.records import wilson_interval
from aat_explore.robustness.attempts import described
from aat_explore.robustness.evaluation import correct_at
from aat_explore.store import Run
from aat_explore.views.frames.attack import Attacked, Attempt
from aat_explore.views.protocols import UInt8
from aat_explore.views.recipes import title_of_test

if TYPE_CHECKING:
    from aat_explore.views.widgets import AttackExplorer

GRID = 17  # values of ε from 0 to twice the chosen one, which is the middle one


def frozen_network(run: Run, data: Dataset, epoch: int | None = None) -> nn.Module:
    """Return a run's network as `load_network` does, with its parameters frozen, so that threads can share it.

    Raises AATError as `load_network` does.
    """
    return load_network(run, data, epoch).requires_grad_(False)  # so that `attacked` changes nothing in it


def attack(network: nn.Module, image: UInt8, label: int | None, attempt: Attempt) -> Attacked:
    """Attack one image, uint8 (C, H, W), and return x′ with the losses around it.

    The attack raises the loss of `label`, or of the predicted class if it is None. FGSM (one PGD step of size ε from
    the image itself), PGD and the attack of `attempt` are tried at `GRID` values of ε. Raises AATError for ε outside
    [0, 1], steps < 1, or an attack that is unknown or fails.
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
    magnitudes = wide(gradient).abs()
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
        gradient_l1=float(magnitudes.sum()),
        gradient_zeros=float((magnitudes == 0).double().mean()),
    )


def compare(
    networks: Mapping[str, nn.Module], images: Tensor, labels: Tensor, attacks: Sequence[str], *, epsilon: float
) -> pd.DataFrame:
    """Attack several networks by several attacks of ε; a row each: network, attack, accuracy, least, most, images.

    `images` (N, C, H, W) uint8 or float in [0, 1], `labels` (N,) int64; `attacks` as in `EvaluationConfig.attack`,
    except transfer, which needs another network. The first row of each network has attack `clean`. `least` to `most`
    is the 95% interval over the draw of images (Wilson). Raises AATError for ε outside [0, 1], an unknown attack, and
    for autoattack if pyautoattack is missing.
    """
    check_epsilon(epsilon)
    rows, data = [], ImageSet(images, labels)
    for name, network in networks.items():
        for kind in attacks:
            config = checked(EvaluationConfig, {"attack": kind})
            clean, robust = (int(correct.sum()) for correct in correct_at(network, data, config, (0.0, epsilon)))
            counts = {"clean": clean, title_of_test(described(config)): robust}
            rows += [(name, attack, n / len(data), *wilson_interval(n, len(data))) for attack, n in counts.items()]
    frame = pd.DataFrame(rows, columns=["network", "attack", "accuracy", "least", "most"])
    return frame.drop_duplicates(["network", "attack"], ignore_index=True).assign(images=len(data))


def explorer(run: Run, data: Dataset) -> "AttackExplorer":
    """Return a notebook widget that attacks test images with the run's network after its last epoch.

    Raises AATError as `frozen_network` does.
    """
    from aat_explore.views.widgets import AttackExplorer  # imports ipywidgets, which the dashboard does not need

    return AttackExplorer(run, data, partial(attack, frozen_network(run, data)))


def _pgd_along(
    network: nn.Module, clean: Tensor, labels: Tensor, epsilons: Sequence[float], attempt: Attempt
) -> tuple[Tensor, list[float]]:
    """Return x′ (len(epsilons), C, H, W) of PGD on one image for several ε in one batch, and losses at the middle ε.

    Row k is `attacks.pgd` at the k-th ε with the same seed; the last starts at random if the others do not, and vice
    versa. The losses are those at the start and after each step but the last.
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
    """Return x′ (len(epsilons), C, H, W) of one image by any attack, one ε at a time from the same seed."""
    steps = attempt.steps if spec_of(attempt.kind).steps is not None else None
    options = attempt.options
    attacks = [resolved(attempt.kind, epsilon, steps=steps, options=options) for epsilon in epsilons]
    starts = [torch.Generator().manual_seed(attempt.seed) for _ in attacks]
    with torch.enable_grad():
        x_adv = [perturb(network, clean, labels, attack, start) for attack, start in zip(attacks, starts, strict=True)]
    return torch.cat(x_adv)


def _losses(logits: Tensor, labels: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return J (B,) of each row of float64 logits (B, K) for one label."""
    losses: np.ndarray[Any, np.dtype[np.float64]] = F.cross_entropy(
        logits, labels.expand(len(logits)), reduction="none"
    ).numpy()
    return losses + 0.0  # turns -0 into 0, where all probability is on the label
