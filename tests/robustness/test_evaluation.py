"""Robust accuracy counts an image only if no iterate of any attempt fools the network on it."""

import itertools
import sys

import numpy as np
import pytest
import torch
from networks import Linear, confident, fresh, mini_set
from scipy.stats import binomtest

from aat_explore.algorithm import pgd
from aat_explore.algorithm.attacks import pgd_step, uniform_start
from aat_explore.algorithm.gradients import attacked
from aat_explore.attacks import ResolvedAttack
from aat_explore.config import EvaluationConfig
from aat_explore.engine import counting
from aat_explore.engine.batches import ImageSet, chunk_size
from aat_explore.engine.counting import clean_correct, fgsm_correct, robust_correct
from aat_explore.errors import AATError
from aat_explore.records import wilson_interval
from aat_explore.robustness.evaluation import correct_at, evaluate, verdicts

GRID = (0.0, 0.01, 0.03, 0.1)


@pytest.fixture(scope="module")
def data() -> ImageSet:
    return mini_set(0, 400)


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
    # Every image has its own start, also one that is wrong from the beginning: which are depends on the machine.
    x_adv, x, y = uniform_start(images, 0.02, generator())[rows], images[rows], labels[rows]
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
    """In one chunk: in those that follow, the first of five starts is not the start of a single attack."""
    network, data = confident("StdCNN"), data.first(chunk_size(data.images.device))
    one = robust_correct(network, data, attack(0.05, steps=1), generator=generator())
    five = robust_correct(network, data, attack(0.05, steps=1), restarts=5, generator=generator())
    assert not (five & ~one).any()
    assert five.sum() < one.sum()


def test_a_misclassified_image_is_never_robust():
    network, data = confident("StdCNN"), mini_set(400, 800)  # not those that it was fitted to
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
    config = EvaluationConfig(steps=5, epsilons=GRID, seed=3, curve="independent")
    heard = []
    found, correct = evaluate(
        network, data, config, GRID, epoch=7, progress=lambda done, total: heard.append(done / total)
    )
    expected = [int(clean_correct(network, data).sum())] + [
        int(robust_correct(network, data, attack(epsilon, steps=5), generator=generator(3)).sum())
        for epsilon in GRID[1:]
    ]
    assert list(found.num_correct) == expected
    assert found.accuracies == tuple(count / 400 for count in expected)
    assert (found.epoch, found.num_images, found.epsilons) == (7, 400, GRID)
    assert heard == sorted(heard)
    assert (heard[0], heard[-1]) == (0.0, 1.0)
    assert correct.shape == (1, len(GRID), len(data))
    assert correct[0].sum(axis=1).tolist() == expected
    assert found.num_threads == torch.get_num_threads()


@pytest.mark.parametrize("restarts", [1, 2])
@pytest.mark.parametrize("steps", [1, 5])
def test_a_nested_curve_never_leaves_an_image_that_an_independent_attack_fools(data, steps, restarts):
    """Image by image; and what it leaves at one ε it has left at every smaller one."""
    network = confident("StdCNN")
    nested, independent = (
        list(correct_at(network, data, EvaluationConfig(steps=steps, restarts=restarts, curve=curve), GRID))
        for curve in ("nested", "independent")
    )
    for one, other in zip(nested, independent, strict=True):
        assert not (one & ~other).any()
    for smaller, larger in itertools.pairwise(nested):
        assert not (larger & ~smaller).any()
    assert nested[-1].sum() < nested[0].sum()


def test_without_warm_steps_a_nested_curve_is_the_least_of_independent_attacks(data, monkeypatch):
    """So that dropping what is fooled already is all that it does besides them."""
    monkeypatch.setattr(counting, "WARM_STEPS", 0)
    network = confident("StdCNN")
    nested, independent = (
        list(correct_at(network, data, EvaluationConfig(steps=3, curve=curve), GRID))
        for curve in ("nested", "independent")
    )
    least = independent[0]
    for one, other in zip(nested, independent, strict=True):
        least = least & other
        assert torch.equal(one, least)


def test_a_nested_curve_stays_in_the_ball(data):
    """A network that only ε = 0.05 can fool is not fooled by a start carried over from elsewhere."""

    class Threshold(torch.nn.Module):
        """Class 1 as soon as any pixel is 0.05 above ½."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            excess = x.flatten(1).amax(1) - 0.5495
            return torch.stack([-excess, excess], 1)

    grey = ImageSet(torch.full((9, 1, 4, 4), 0.5), torch.zeros(9, dtype=torch.int64))
    config = EvaluationConfig(steps=10)
    counts = [int(correct.sum()) for correct in correct_at(Threshold(), grey, config, (0.0, 0.02, 0.04, 0.05, 0.1))]
    assert counts == [9, 9, 9, 0, 0]


def test_only_a_nested_curve_says_so(data):
    said = [
        evaluate(Linear(10, 784), data.first(5), EvaluationConfig(**fields), (0.0,), epoch=1)[0].attack.get("curve")
        for fields in ({}, {"curve": "independent"}, {"attack": "fgsm"})
    ]
    assert said == ["nested", None, None]


def test_a_model_digest_tells_networks_apart(data):
    small = data.first(10)
    digests = {
        evaluate(Linear(10, 784, scale=scale), small, EvaluationConfig(), (0.0,), epoch=1)[0].model_digest
        for scale in (1, 1, 2)
    }
    assert len(digests) == 2


# --- Verdicts in parts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", ["nested", "independent"])
def test_verdicts_do_not_depend_on_what_is_skipped(data, curve):
    network, config = confident("StdCNN"), EvaluationConfig(steps=2, restarts=2, seed=5, curve=curve)
    whole = list(verdicts(network, data, config, GRID))
    (rest,) = verdicts(network, data, config, GRID, skip=200)
    assert len(whole) == 2
    assert np.array_equal(rest.correct, whole[1].correct)
    assert not np.array_equal(rest.correct, whole[0].correct)


# --- AutoAttack ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def half(data) -> float:
    """The ε at which PGD fools half of 20 images: training rounds differently on every processor, and ε with it."""
    network, least, most = confident("StdCNN"), 0.0, 0.1
    for _ in range(10):
        epsilon = (least + most) / 2
        left = robust_correct(network, data.first(20), attack(epsilon, steps=20), generator=generator())
        least, most = (epsilon, most) if int(left.sum()) > 10 else (least, epsilon)
    return most


@pytest.fixture(scope="module")
def autoattack(data, half):
    """The ensemble on 20 images of a trained network; at the first ε some resist all four."""
    pytest.importorskip("pyautoattack")
    config = EvaluationConfig(attack="autoattack")
    return evaluate(confident("StdCNN"), data.first(20), config, (0.0, half, 2 * half), epoch=1)


@pytest.mark.slow
def test_autoattack_is_the_librarys_own_run(data, half, autoattack):
    """Its own loop over its four attacks, on the images that are classified correctly, from the same seed."""
    library = pytest.importorskip("pyautoattack")
    network, (found, correct) = confident("StdCNN"), autoattack
    images, labels = data.images[:20].float() / 255, data.labels[:20]
    own = library.AutoAttack(network, eps=half, norm="Linf", seed=0, version="standard")
    own.verbose = False
    with torch.random.fork_rng(), attacked(network):
        x_adv, _ = own.run_standard_evaluation(images, labels, batch_size=20)
        expected = network(x_adv).argmax(1) == labels
    assert np.array_equal(correct[-1, 1], expected.numpy())
    assert 0 < found.num_correct[1] < found.num_correct[0]
    assert found.attacks == ("APGD-CE", "APGD-T", "FAB-T", "Square")
    assert "pyautoattack" in found.versions


@pytest.mark.slow
def test_each_of_its_attacks_only_takes_away_and_pgd_is_hardly_weaker(data, half, autoattack):
    """PGD fools as many at an ε that is half as large again."""
    network, (found, correct) = confident("StdCNN"), autoattack
    for weaker, stronger in itertools.pairwise(correct):
        assert not (stronger & ~weaker).any()
    for smaller, larger in itertools.pairwise(correct[-1]):
        assert not (larger & ~smaller).any()
    left = robust_correct(network, data.first(20), attack(1.5 * half, steps=40), restarts=2, generator=generator())
    assert int(left.sum()) <= found.num_correct[1]


def test_autoattack_leaves_the_network_and_torchs_chance_as_they_were(data):
    """At an ε where its first attack fools all, so that the other three have nothing to do."""
    pytest.importorskip("pyautoattack")
    network = confident("StdCNN")
    chance, wanted = torch.get_rng_state(), [parameter.requires_grad for parameter in network.parameters()]
    found, correct = evaluate(network, data.first(6), EvaluationConfig(attack="autoattack"), (0.0, 0.1), epoch=1)
    assert (correct.shape, found.num_correct[1]) == ((4, 2, 6), 0)
    assert torch.equal(torch.get_rng_state(), chance)
    assert [parameter.requires_grad for parameter in network.parameters()] == wanted


def test_what_an_attack_returns_is_checked_not_believed(data, monkeypatch):
    """x′ outside the ball, or of an image that it does not fool, counts for nothing."""
    pytest.importorskip("pyautoattack")
    from aat_explore.robustness.autoattack import AutoAttack

    class Cheat:
        def run_standard_evaluation(self, images, labels, *, batch_size):
            return torch.rand_like(images), labels

    network, few = confident("StdCNN"), data.first(10)
    monkeypatch.setattr(AutoAttack, "_prepared", lambda *arguments: Cheat())
    left = AutoAttack(seed=0).survivors(network, few, 0.1, clean_correct(network, few))
    assert torch.equal(left[-1], clean_correct(network, few))


def test_without_the_library_it_says_how_to_get_it(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    with pytest.raises(AATError, match=r"pyautoattack cannot be imported .*; pip install 'aat-explore\[eval\]'"):
        evaluate(confident("StdCNN"), data.first(4), EvaluationConfig(attack="autoattack"), (0.1,), epoch=1)


def test_a_network_of_three_classes_is_refused(data):
    pytest.importorskip("pyautoattack")
    few = ImageSet(data.images[:4], torch.zeros(4, dtype=torch.int64))
    with pytest.raises(AATError, match="AutoAttack needs 4 classes and this network has 3; use attack pgd"):
        evaluate(Linear(3, 784), few, EvaluationConfig(attack="autoattack"), (0.1,), epoch=1)


# --- Intervals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 17, 100, 199, 200])
def test_an_interval_is_scipys(count):
    expected = binomtest(count, 200).proportion_ci(0.95, method="wilson")
    assert wilson_interval(count, 200) == pytest.approx((expected.low, expected.high), abs=1e-12)


# --- Weak attacks, to show the difference ----------------------------------------------------------------------------


def test_weak_pgd_is_ten_steps_from_the_image_whose_last_one_counts(data):
    network, config = confident("StdCNN"), EvaluationConfig(attack="weak-pgd")
    images = data.images.float() / 255
    last = pgd(network, images, data.labels, epsilon=0.02, steps=10, step_size=0.002, random_start=False)
    expected = clean_correct(network, data) & (network(last).argmax(1) == data.labels)
    made, correct = evaluate(network, data, config, (0.0, 0.02), epoch=1)
    assert np.array_equal(correct[-1, 1], expected.numpy())
    assert made.attack["counts"] == "last iterate"
    assert made.attack["random_start"] is False


def test_a_transferred_attack_knows_nothing_of_the_network(data):
    """x′ made for a network that answers at random fools one that does not much less than its own."""
    network, other = confident("StdCNN"), fresh("StdCNN").eval()
    config = EvaluationConfig(attack="transfer", transfer_from="other-run")
    parts = list(verdicts(network, data, config, (0.0, 0.02), transfer_from=other))
    correct = np.concatenate([part.correct for part in parts], axis=-1)
    last = pgd(other, data.images.float() / 255, data.labels, epsilon=0.02, steps=40, random_start=False)
    expected = clean_correct(network, data) & (network(last).argmax(1) == data.labels)
    assert np.array_equal(correct[-1, 1], expected.numpy())
    own = robust_correct(network, data, attack(0.02, steps=40), generator=generator())
    assert correct[-1, 1].sum() > own.sum() + 50
