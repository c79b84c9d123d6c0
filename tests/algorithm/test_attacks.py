"""FGSM and PGD: in the ball and in the box, equal to one another where they should be, and to foolbox."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Linear, confident, fitted, fresh, mini
from torch import nn

from aat_explore.algorithm import fgsm, pgd, predicted_labels
from aat_explore.algorithm.attacks import move
from aat_explore.errors import AATError


def sample(count: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = mini()
    return images[:count], labels[:count]


@settings(max_examples=60, deadline=None)
@given(
    epsilon=st.floats(0, 1),
    steps=st.integers(0, 5),
    share=st.floats(0.01, 3),
    random_start=st.booleans(),
    seed=st.integers(0, 999),
)
def test_perturbations_stay_in_the_ball_and_in_the_box(epsilon, steps, share, random_start, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(8, 1, 3, 3, generator=generator).round(decimals=1)  # with many pixels on the border
    labels = torch.randint(4, (8,), generator=generator)
    network = Linear()
    if steps == 0:
        x_adv = fgsm(network, images, labels, epsilon=epsilon)
    else:
        x_adv = pgd(
            network, images, labels, epsilon=epsilon, steps=steps,
            step_size=max(share * epsilon, 1e-9), random_start=random_start, generator=generator,
        )  # fmt: skip
    assert x_adv.dtype == torch.float32
    assert (x_adv - images).abs().max() <= epsilon + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1


@pytest.mark.parametrize("name", ["StdCNN", "ResNet18"])
def test_fgsm_is_one_step_pgd_without_a_random_start(name):
    network, (images, labels) = fresh(name), sample(8)
    one_step = pgd(network, images, labels, epsilon=0.1, steps=1, step_size=0.1, random_start=False)
    assert torch.equal(fgsm(network, images, labels, epsilon=0.1), one_step)


def test_fgsm_on_a_linear_model_has_a_closed_form():
    network = Linear()
    images, labels = torch.full((6, 1, 3, 3), 0.5), torch.arange(6) % 4
    W = network.W.detach().double()
    residual = torch.softmax(images.flatten(1).double() @ W.T, 1) - nn.functional.one_hot(labels, 4)
    expected = images + 0.1 * (residual @ W).sign().view(-1, 1, 3, 3).float()
    torch.testing.assert_close(fgsm(network, images, labels, epsilon=0.1), expected)


def test_fgsm_is_the_worst_point_of_the_ball_for_a_linear_loss():
    """Two classes: the margin is linear in x, so no point of the ball raises the loss more than FGSM's."""
    network = Linear(num_classes=2)
    images, labels = torch.full((1, 1, 3, 3), 0.5), torch.tensor([0])
    loss = nn.CrossEntropyLoss()
    worst = loss(network(fgsm(network, images, labels, epsilon=0.2)), labels)
    corners = images + 0.2 * (2.0 * torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 9).view(-1, 1, 3, 3) - 1)
    assert worst >= nn.functional.cross_entropy(network(corners), labels.expand(512), reduction="none").max() - 1e-6


def test_zero_epsilon_moves_nothing():
    network, (images, labels) = fresh("StdCNN"), sample()
    assert torch.equal(fgsm(network, images, labels, epsilon=0), images)
    assert torch.equal(pgd(network, images, labels, epsilon=0, steps=3), images)


def test_a_sample_with_zero_gradient_is_not_moved_by_fgsm():
    network = Linear(scale=0)
    images = torch.rand(3, 1, 3, 3)
    assert torch.equal(fgsm(network, images, torch.tensor([0, 1, 2]), epsilon=0.3), images)


def test_more_steps_raise_the_loss():
    network, (images, labels) = confident("StdCNN"), sample(200)
    loss = [
        nn.functional.cross_entropy(network(x), labels).item()
        for x in (
            images,
            *(pgd(network, images, labels, epsilon=0.05, steps=k, random_start=False) for k in (1, 5, 40)),
        )
    ]
    assert loss == sorted(loss)


def test_a_random_start_repeats_with_its_generator():
    network, (images, labels) = fresh("StdCNN"), sample(4)
    once, again, other = (
        pgd(network, images, labels, epsilon=0.1, steps=2, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_moving_by_stored_signs_is_fgsm():
    """What lets the trainer reuse the gradient of scoring: int8 signs and uint8 images lose nothing."""
    network, (images, labels) = confident("StdCNN"), sample(64)
    x_adv = fgsm(network, images, labels, epsilon=0.3)
    from aat_explore.algorithm.gradients import attacked, input_gradient

    with attacked(network):
        signs = input_gradient(network, images, labels)[0].sign().to(torch.int8)
    assert torch.equal(move((images * 255).round().byte(), signs, 0.3), x_adv)


@pytest.mark.parametrize(
    "attack", [fgsm, lambda *a, **k: pgd(*a, steps=2, **k), lambda m, x, y, **k: predicted_labels(m, x)]
)
def test_attacks_leave_the_model_as_they_found_it(attack):
    network, (images, labels) = fresh("ResNet18").train(), sample(4)
    before = copy.deepcopy(network.state_dict())
    attack(network, images, labels, epsilon=0.1)
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("epsilon", [-0.1, 8, float("nan")])
def test_an_epsilon_that_is_no_pixel_distance_is_an_error(epsilon):
    with pytest.raises(AATError, match="epsilon"):
        fgsm(Linear(), torch.rand(1, 1, 3, 3), torch.tensor([0]), epsilon=epsilon)


def test_pgd_without_a_step_is_an_error():
    with pytest.raises(AATError, match="steps=0"):
        pgd(Linear(), torch.rand(1, 1, 3, 3), torch.tensor([0]), epsilon=0.1, steps=0)


# --- against another library ---------------------------------------------------------------------------------------


def share_of_equal_pixels(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float(((ours - theirs).abs() < 1e-5).double().mean())


def test_fgsm_agrees_with_foolbox():
    foolbox = pytest.importorskip("foolbox", reason="foolbox is in the [eval] extra")
    network, (images, labels) = fitted("StdCNN", 400, 20), sample(100)
    model = foolbox.PyTorchModel(network, bounds=(0, 1))
    _, theirs, _ = foolbox.attacks.LinfFastGradientAttack()(model, images, labels, epsilons=0.1)
    ours = fgsm(network, images, labels, epsilon=0.1)
    # Foolbox takes its loss in float32: where softmax rounds to 1 its gradient is 0 or noise. Compare where it is not.
    with torch.no_grad():
        unsure = torch.softmax(network(images), 1).max(1).values < 0.99
    assert unsure.sum() >= 50
    assert share_of_equal_pixels(ours[unsure], theirs[unsure]) > 0.999
    agree = network(ours).argmax(1) == network(theirs).argmax(1)
    assert agree.double().mean() >= 0.95


def test_pgd_agrees_with_foolbox():
    foolbox = pytest.importorskip("foolbox", reason="foolbox is in the [eval] extra")
    network, (images, labels) = fitted("StdCNN", 400, 20), sample(300)
    model = foolbox.PyTorchModel(network, bounds=(0, 1))
    steps, epsilon = 20, 0.03
    attack = foolbox.attacks.LinfPGD(steps=steps, abs_stepsize=2.5 * epsilon / steps, random_start=False)
    _, _, fooled = attack(model, images, labels, epsilons=epsilon)
    ours = pgd(network, images, labels, epsilon=epsilon, steps=steps, random_start=False)
    accuracy_ours = float((network(ours).argmax(1) == labels).double().mean())
    accuracy_theirs = float((~fooled).double().mean())
    assert 0.05 < accuracy_theirs < 0.95  # an ε at which the comparison says something
    assert abs(accuracy_ours - accuracy_theirs) <= 0.02
    assert accuracy_ours <= accuracy_theirs + 0.005  # ours has the exact gradient: never weaker
    verdicts = (network(ours).argmax(1) != labels) == fooled
    assert verdicts.double().mean() >= 0.95
