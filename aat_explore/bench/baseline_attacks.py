"""The attacks of the baselines: written out as in tutorials, or a library's."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from aat_explore.attacks import ResolvedAttack
from aat_explore.errors import AATError
from aat_explore.optional import imported

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""From a network in eval mode, images float32 (B, C, H, W) in [0, 1] and labels (B,) to x′ (B, C, H, W)."""


def textbook_fgsm(network: nn.Module, images: Tensor, labels: Tensor, *, epsilon: float) -> Tensor:
    """Return clip(x + ε·sign(∇ₓJ)), with `backward` to the parameters too, as in tutorials."""
    x = images.clone().detach().requires_grad_()
    loss = nn.CrossEntropyLoss()(network(x), labels)
    network.zero_grad()
    loss.backward()
    assert x.grad is not None
    return (x + epsilon * x.grad.sign()).clamp(0, 1).detach()


def textbook_pgd(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    steps: int,
    step_size: float,
    random_start: bool,
) -> Tensor:
    """Return the last PGD iterate, with `backward` to the parameters too in each step."""
    x_adv = images.clone().detach()
    if random_start:
        x_adv = (x_adv + torch.empty_like(x_adv).uniform_(-epsilon, epsilon)).clamp(0, 1)
    for _ in range(steps):
        x_adv.requires_grad_()
        loss = nn.CrossEntropyLoss()(network(x_adv), labels)
        network.zero_grad()
        loss.backward()
        assert x_adv.grad is not None
        moved = x_adv.detach() + step_size * x_adv.grad.sign()
        delta = (moved - images).clamp(-epsilon, epsilon)
        x_adv = (images + delta).clamp(0, 1)
    return x_adv


def textbook_attack(attack: ResolvedAttack) -> Attack:
    """Return the attack written out by hand."""
    if is_fgsm(attack):
        return partial(textbook_fgsm, epsilon=attack.epsilon)
    return partial(
        textbook_pgd,
        epsilon=attack.epsilon,
        steps=attack.steps,
        step_size=attack.step_size,
        random_start=attack.random_start,
    )


def foolbox_attack(attack: ResolvedAttack) -> Attack:
    """Return foolbox's attack; its `__call__` takes one more forward pass to see which samples are fooled."""
    foolbox = imported("foolbox")
    if is_fgsm(attack):
        library_attack = foolbox.attacks.LinfFastGradientAttack()
    else:
        library_attack = foolbox.attacks.LinfPGD(
            steps=attack.steps, abs_stepsize=attack.step_size, random_start=attack.random_start
        )

    def perturb(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        wrapped = foolbox.PyTorchModel(network, bounds=(0, 1), device=images.device)
        x_adv: Tensor
        _, x_adv, _ = library_attack(wrapped, images, labels, epsilons=attack.epsilon)
        return x_adv.detach()

    return perturb


def torchattacks_attack(attack: ResolvedAttack) -> Attack:
    """Return torchattacks' attack, which computes only the gradient of the images."""
    torchattacks = imported("torchattacks")

    def perturb(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        if is_fgsm(attack):
            library_attack = torchattacks.FGSM(network, eps=attack.epsilon)
        else:
            library_attack = torchattacks.PGD(
                network,
                eps=attack.epsilon,
                alpha=attack.step_size,
                steps=attack.steps,
                random_start=attack.random_start,
            )
        x_adv: Tensor = library_attack(images, labels)
        return x_adv

    return perturb


def is_fgsm(attack: ResolvedAttack) -> bool:
    """Whether libraries call the attack FGSM; with a random start it is one step of their PGD.

    Raises AATError for an attack that the baselines do not have.
    """
    if attack.kind not in ("fgsm", "pgd"):
        raise AATError(f"attack.kind={attack.kind} is not among the baselines' attacks; use fgsm or pgd")
    return attack.kind == "fgsm" and not attack.random_start
