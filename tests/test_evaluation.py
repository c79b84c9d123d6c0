"""Robust accuracy counts an image only if no iterate of any attempt fools the network on it."""

import pytest
import torch
from networks import Linear, confident, mini

from aat_explore.algorithm import pgd
from aat_explore.algorithm.attacks import pgd_step, uniform_start
from aat_explore.algorithm.gradients import attacked
from aat_explore.config import EvaluationConfig, ResolvedAttack
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.evaluation import clean_correct, evaluate, fgsm_correct, robust_correct

GRID = (0.0, 0.01, 0.03, 0.1)


@pytest.fixture(scope="module")
def data() -> ImageSet:
    images, labels = mini()
    return ImageSet((images[:400] * 255).round().byte(), labels[:400])


def attack(epsilon: float, *, steps: int = 10, random_start: bool = True) -> ResolvedAttack:
    return ResolvedAttack("pgd", epsilon, steps, 2.5 * epsilon / steps, random_start)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_dropping_fooled_images_changes_no_verdict(data):
    """The oracle attacks every image to the end and looks at every iterate."""
    network, budget = confident("StdCNN"), attack(0.02)
    images, labels = data.images.float() / 255, data.labels
    robust = network(images).argmax(1) == labels
    rows = robust.nonzero().flatten()
    x_adv, x, y = uniform_start(images[rows], 0.02, generator()), images[rows], labels[rows]
    with attacked(network):
        for _ in range(budget.steps):
            following, logits = pgd_step(network, x_adv, x, y, epsilon=0.02, step_size=budget.step_size)
            robust[rows] &= logits.argmax(1) == y
            x_adv = following
    robust[rows] &= network(x_adv).argmax(1) == y
    assert 0.05 < float(robust.double().mean()) < 0.95
    assert torch.equal(robust_correct(network, data, budget, generator=generator()), robust)


def test_it_is_never_easier_than_the_last_iterate_of_pgd(data):
    network, images = confident("StdCNN"), data.images.float() / 255
    survives = robust_correct(network, data, attack(0.02, random_start=False), generator=generator())
    last = pgd(network, images, data.labels, epsilon=0.02, steps=10, random_start=False)
    assert not (survives & (network(last).argmax(1) != data.labels)).any()


def test_restarts_only_take_away(data):
    network = confident("StdCNN")
    one = robust_correct(network, data, attack(0.05, steps=1), generator=generator())
    five = robust_correct(network, data, attack(0.05, steps=1), restarts=5, generator=generator())
    assert not (five & ~one).any()
    assert five.sum() < one.sum()


def test_a_misclassified_image_is_never_robust(data):
    network = confident("StdCNN")
    wrong = ~clean_correct(network, data)
    assert wrong.any()
    assert not (robust_correct(network, data, attack(1e-6, steps=1), generator=generator()) & wrong).any()


def test_a_linear_models_robust_accuracy_has_a_closed_form():
    """Two classes: image x resists every x′ of the ball iff its margin exceeds ε·‖w₁ − w₀‖₁ (no pixel at a border)."""
    network, epsilon = Linear(num_classes=2), 0.02
    network.W.data -= network.W.data.mean(1, keepdim=True)  # so that a grey image lies on the boundary
    images = 0.3 + 0.4 * torch.rand(300, 1, 3, 3, generator=generator())
    labels = network(images).argmax(1)
    labels[:30] = 1 - labels[:30]
    w = (network.W[1] - network.W[0]).detach()
    margin = (images.flatten(1) @ w) * (2 * labels - 1)
    exact = margin > epsilon * w.abs().sum()
    clear = (margin - epsilon * w.abs().sum()).abs() > 1e-4
    assert 0.1 < float(exact.double().mean()) < 0.9
    survives = robust_correct(network, ImageSet(images, labels), attack(epsilon, steps=20), generator=generator())
    assert torch.equal(survives[clear], exact[clear])


def test_fgsm_accuracy_counts_an_image_that_the_attack_puts_right():
    """Label leaking in its purest form: the loss pushes the wrong way, so that x′ is right where x was wrong."""

    class Backwards(torch.nn.Module):
        """Logits by the mean's distance from ½ with a fold: class 1 wins only when the image is far from ½."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            distance = (x - 0.5).mean(dim=(1, 2, 3))
            far = (distance.abs() > 0.05).float()
            score = distance - 0.01
            return torch.stack([-score, score + 10 * far], 1)

    data = ImageSet(torch.full((20, 1, 4, 4), 0.5), torch.ones(20, dtype=torch.int64))
    network = Backwards()
    assert not clean_correct(network, data).any()
    assert fgsm_correct(network, data, 0.1).all()
    assert not robust_correct(network, data, attack(0.1), generator=generator()).any()


def test_an_evaluation_counts_what_robust_correct_says_at_each_epsilon(data):
    network = confident("StdCNN")
    config = EvaluationConfig(steps=5, epsilons=GRID, seed=3)
    heard = []
    found = evaluate(network, data, config, GRID, epoch=7, progress=lambda done, total: heard.append((done, total)))
    expected = [int(clean_correct(network, data).sum())] + [
        int(robust_correct(network, data, attack(epsilon, steps=5), generator=generator(3)).sum())
        for epsilon in GRID[1:]
    ]
    assert list(found.num_correct) == expected
    assert found.accuracies == tuple(count / 400 for count in expected)
    assert (found.epoch, found.num_images, found.epsilons) == (7, 400, GRID)
    assert heard[-1] == (4, 4)
    assert found.num_threads == torch.get_num_threads()


def test_accuracy_falls_with_epsilon(data):
    found = evaluate(confident("StdCNN"), data, EvaluationConfig(steps=10), GRID, epoch=1)
    assert list(found.num_correct) == sorted(found.num_correct, reverse=True)
    assert found.num_correct[-1] < 40


def test_a_model_digest_tells_networks_apart(data):
    small = data.first(10)
    digests = {
        evaluate(Linear(10, 784, scale=scale), small, EvaluationConfig(), (0.0,), epoch=1).model_digest
        for scale in (1, 1, 2)
    }
    assert len(digests) == 2
