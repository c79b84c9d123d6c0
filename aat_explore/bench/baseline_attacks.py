"""The attacks of the baselines: written out as tutorials have them, or a library's."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from aat_explore.attacks import ResolvedAttack
from aat_explore.errors import AATError
from aat_explore.optional import imported

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""From a network in eval mode, images float32 (B, C, H, W) in [0, 1] and labels (B,) to x′ (B, C, H, W)."""


def textbook_fgsm(model: nn.Module, images: Tensor, labels: Tensor, *, epsilon: float) -> Tensor:
    """Return clip(x + ε·sign(∇ₓJ)), by `backward` to the parameters too, as tutorials have it."""
    x = images.clone().detach().requires_grad_()
    loss = nn.CrossEntropyLoss()(model(x), labels)
    model.zero_grad()
    loss.backward()
    assert x.grad is not None
    return (x + epsilon * x.grad.sign()).clamp(0, 1).detach()


def textbook_pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    steps: int,
    step_size: float,
    random_start: bool,
) -> Tensor:
    """Return the last PGD iterate, each step by `backward` to the parameters too."""
    x_adv = images.clone().detach()
    if random_start:
        x_adv = (x_adv + torch.empty_like(x_adv).uniform_(-epsilon, epsilon)).clamp(0, 1)
    for _ in range(steps):
        x_adv.requires_grad_()
        loss = nn.CrossEntropyLoss()(model(x_adv), labels)
        model.zero_grad()
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
    """Return the attack by foolbox; its `__call__` spends one more forward pass to see which samples were fooled."""
    foolbox = imported("foolbox")
    if is_fgsm(attack):
        made = foolbox.attacks.LinfFastGradientAttack()
    else:
        made = foolbox.attacks.LinfPGD(
            steps=attack.steps, abs_stepsize=attack.step_size, random_start=attack.random_start
        )

    def perturb(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
        x_adv: Tensor
        _, x_adv, _ = made(wrapped, images, labels, epsilons=attack.epsilon)
        return x_adv.detach()

    return perturb


def torchattacks_attack(attack: ResolvedAttack) -> Attack:
    """Return the attack by torchattacks, which asks for the gradient of the images alone."""
    torchattacks = imported("torchattacks")

    def perturb(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        if is_fgsm(attack):
            made = torchattacks.FGSM(model, eps=attack.epsilon)
        else:
            made = torchattacks.PGD(
                model,
                eps=attack.epsilon,
                alpha=attack.step_size,
                steps=attack.steps,
                random_start=attack.random_start,
            )
        x_adv: Tensor = made(images, labels)
        return x_adv

    return perturb


def is_fgsm(attack: ResolvedAttack) -> bool:
    """Whether libraries call it FGSM; with a random start it is one step of their PGD.

    Raises AATError for an attack that the baselines do not have.
    """
    if attack.kind not in ("fgsm", "pgd"):
        raise AATError(f"attack.kind={attack.kind} is not among the baselines' attacks; use fgsm or pgd")
    return attack.kind == "fgsm" and not attack.random_start
