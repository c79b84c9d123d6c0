"""The opponents of `aat bench` do the work they are compared for: the same scores, attacks, samples and network."""

import sys
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import mini_set
from torch.utils.data import DataLoader

from aat_explore.algorithm import fgsm, gradient_norms, pgd
from aat_explore.bench.baseline_attacks import foolbox_attack, textbook_attack, torchattacks_attack
from aat_explore.bench.baselines import (
    BASELINES,
    ARTTrainer,
    Baseline,
    TextbookAAT,
    textbook_network,
)
from aat_explore.config import AttackConfig, RunConfig
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.networks import weights_of
from aat_explore.engine.trainer import Trainer
from aat_explore.errors import AATError
from aat_explore.presets import preset

T = 256
ATTACKS = {"textbook": textbook_attack, "foolbox": foolbox_attack, "torchattacks": torchattacks_attack}
PGD = {"kind": "pgd", "steps": 3}
RANDOM_FGSM = {"kind": "fgsm", "random_start": True}


@pytest.fixture(scope="module")
def training() -> ImageSet:
    return mini_set(0, T)


@pytest.fixture(autouse=True)
def _seeded():
    """Baselines draw from the global generators, as scripts do: start each test alike, and leave them as they were."""
    state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        np.random.seed(0)
        yield
    np.random.set_state(state)


def small(**fields) -> RunConfig:
    return preset("mini", **{"num_perturbed": 40} | fields)


def made(name: str, config: RunConfig, training: ImageSet) -> Baseline:
    skip_without(name)
    return BASELINES[name](config, training, 10)


def skip_without(name: str) -> None:
    if name != "textbook":
        pytest.importorskip(name, reason=f"{name} is an optional opponent")


@pytest.fixture(scope="module")
def network(training) -> torch.nn.Module:
    """Trained enough for attacks to raise its loss, not enough for float32 to round its softmax to one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        baseline = TextbookAAT(small(num_perturbed=0, batch_size=32, lr=3e-3, dropout=0.0), training, 10)
        for _ in range(4):
            baseline.run_epoch()
    return baseline.network.eval()


def spied_on(baseline: Baseline) -> list[np.ndarray]:
    """Wrap the attack of a baseline: the list gets the images (k, C, H, W) that each call perturbs."""
    seen: list[np.ndarray] = []

    def spy(*arguments, **options):
        images = arguments[0 if isinstance(baseline, ARTTrainer) else 1]
        seen.append(torch.as_tensor(images).numpy().copy())
        return attack(*arguments, **options)

    if isinstance(baseline, ARTTrainer):
        attack, baseline.attack.generate = baseline.attack.generate, spy
    else:
        attack, baseline.attack = baseline.attack, spy
    return seen


def loss_of(network: torch.nn.Module, training: ImageSet) -> float:
    network.eval()
    with torch.no_grad():
        return float(F.cross_entropy(network(training.images.float() / 255), training.labels))


# --- the same start, the same images -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["textbook", "art"])
@pytest.mark.parametrize("fields", [{}, {"normalize": False, "seed": 1}], ids=str)
def test_a_baseline_starts_from_our_trainers_network(training, name, fields):
    config = small(**fields)
    ours = weights_of(Trainer(config, training, training, 10, None).network)
    theirs = weights_of(made(name, config, training).network)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("channels", [1, 3])
def test_pil_images_are_the_images(channels):
    images = torch.randint(0, 256, (20, channels, 28, 28), dtype=torch.uint8)
    labels = torch.arange(20) % 10
    clean = TextbookAAT(small(num_perturbed=0), ImageSet(images, labels), 10).clean
    for index in range(20):
        pixels, label, row = clean[index]
        assert torch.equal(pixels, images[index].float() / 255)
        assert (label, row) == (int(labels[index]), index)


def test_augmentation_moves_training_images_but_not_scored_ones(training):
    baseline = TextbookAAT(small(augment=True), training, 10)
    scored = torch.cat([images for images, _, _ in baseline.scoring_loader])
    assert torch.equal(scored, training.images.float() / 255)
    moved = 0
    for images, _, indices in baseline.training_loader:
        assert images.shape[1:] == (1, 28, 28)
        moved += int((images != training.images[indices].float() / 255).flatten(1).any(1).sum())
    assert moved > 0.9 * T


# --- scoring and drawing -------------------------------------------------------------------------------------------


def test_textbook_scores_are_the_gradient_norms(training, network):
    """Up to its float32 loss: softmax_y − 1 cancels as samples get fitted."""
    baseline = TextbookAAT(small(), training, 10)
    baseline.network.load_state_dict(network.state_dict())
    expected = gradient_norms(network, training.images, training.labels)
    np.testing.assert_allclose(baseline.score(), expected.numpy(), rtol=1e-3)


@pytest.mark.parametrize("norm_power", [0.0, 1.0, 2.0])
def test_the_textbook_draw_follows_the_norms_power(training, norm_power):
    """4,000 draws of one sample from three, of norms 1, 2 and 4, against their exact shares."""
    baseline = TextbookAAT(small(norm_power=norm_power), training, 10)
    scores = np.array([1.0, 2.0, 4.0])
    counts = Counter(baseline.draw(scores, 1)[0] for _ in range(4000))
    shares = scores**norm_power / (scores**norm_power).sum()
    for index, share in enumerate(shares):
        assert counts[index] / 4000 == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 4000))
    assert sorted(baseline.draw(scores, 3)) == [0, 1, 2]  # without replacement


# --- the attacks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ATTACKS)
def test_fgsm_is_ours_up_to_signs_that_float32_flips(training, network, library):
    skip_without(library)
    images, labels = training.images[:64].float() / 255, training.labels[:64]
    theirs = ATTACKS[library](small().resolved_attack)(network, images, labels)
    ours = fgsm(network, images, labels, epsilon=0.3)
    assert float(((theirs - ours).abs() < 1e-6).double().mean()) > 0.999


@pytest.mark.parametrize("library", ATTACKS)
def test_pgd_without_a_random_start_is_ours(training, network, library):
    skip_without(library)
    config = small(attack=PGD | {"random_start": False}, epsilon=0.1)
    images, labels = training.images[:64].float() / 255, training.labels[:64]
    theirs = ATTACKS[library](config.resolved_attack)(network, images, labels)
    ours = pgd(network, images, labels, epsilon=0.1, steps=3, random_start=False)
    assert float(((theirs - ours).abs() < 1e-6).double().mean()) > 0.99  # a flipped sign lives on in later steps


@pytest.mark.parametrize("library", ATTACKS)
@pytest.mark.parametrize("attack", [{}, PGD, RANDOM_FGSM], ids=str)
def test_every_attack_stays_in_the_ball_and_in_the_box_and_raises_the_loss(training, network, library, attack):
    skip_without(library)
    config = small(attack=attack, epsilon=0.1)
    images, labels = training.images[:64].float() / 255, training.labels[:64]
    x_adv = ATTACKS[library](config.resolved_attack)(network, images, labels)
    distance = (x_adv - images).abs()
    assert float(distance.max()) <= 0.1 + 1e-6
    assert float(distance.flatten(1).amax(1).min()) > 0.05  # every image moved
    assert float(x_adv.min()) >= 0
    assert float(x_adv.max()) <= 1
    assert not x_adv.requires_grad
    assert not network.training
    with torch.no_grad():
        assert F.cross_entropy(network(x_adv), labels) > F.cross_entropy(network(images), labels) + 0.1


@pytest.mark.parametrize("library", ATTACKS)
def test_a_random_start_differs_from_call_to_call(training, network, library):
    skip_without(library)
    config = small(attack=RANDOM_FGSM, epsilon=0.1)
    attack = ATTACKS[library](config.resolved_attack)
    images, labels = training.images[:64].float() / 255, training.labels[:64]
    assert not torch.equal(attack(network, images, labels), attack(network, images, labels))


# --- whole epochs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_textbook_with_n_zero_is_standard_training(training, optimizer):
    """Bit for bit the loop over tensors, given torch's global generator in the same state, dropout included."""
    config = small(
        num_perturbed=0, optimizer=optimizer, lr=0.01, weight_decay=1e-4, epochs=2, lr_milestones=(0.5,)
    )  # fmt: skip
    baseline = TextbookAAT(config, training, 10)
    torch.manual_seed(1)
    for _ in range(2):
        assert baseline.run_epoch().keys() == {"train"}

    network = textbook_network(config, training, 10).train()
    if optimizer == "adam":
        step = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=1e-4)
    else:
        step = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images, labels = training.images.float() / 255, training.labels
    torch.manual_seed(1)
    for lr in (0.01, 0.001):
        step.param_groups[0]["lr"] = lr
        for rows in DataLoader(range(T), batch_size=128, shuffle=True):
            step.zero_grad()
            F.cross_entropy(network(images[rows]), labels[rows]).backward()
            step.step()
    for theirs, ours in zip(baseline.network.parameters(), network.parameters(), strict=True):
        assert torch.equal(theirs, ours)


def test_textbook_trains_on_x_adv_in_place_of_x(training):
    """One batch of all samples, no dropout: the step is SGD on the loss written out, perturbed by our own FGSM."""
    config = small(batch_size=2 * T, optimizer="sgd", lr=0.1, momentum=0.0, dropout=0.0)
    baseline = TextbookAAT(config, training, 10)
    phases = baseline.run_epoch()
    assert phases.keys() == {"scoring", "draw", "perturb", "train"}
    network = textbook_network(config, training, 10)
    K = torch.tensor(sorted(baseline.x_adv))
    assert len(K) == 40
    images = training.images.float() / 255
    images[K] = fgsm(network, images[K], training.labels[K], epsilon=0.3)
    loss = F.cross_entropy(network(images), training.labels)
    loss.backward()
    assert baseline.loss == pytest.approx(loss.item(), rel=1e-3)
    for theirs, ours in zip(baseline.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(theirs, ours - 0.1 * ours.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("textbook", {"num_perturbed": 0}),
        ("textbook", {}),
        ("textbook", {"num_perturbed": "all"}),
        ("textbook", {"augment": True}),
        ("foolbox", {}),
        ("torchattacks", {}),
        ("art", {"num_perturbed": 0}),
        ("art", {}),
        ("art", {"num_perturbed": "all"}),
        ("art", {"augment": True}),
        ("art", {"augment": True, "num_perturbed": 0}),
    ],
    ids=str,
)
def test_a_baseline_learns_and_perturbs_as_many_samples_as_asked_each_epoch(training, name, fields):
    """Here ART's ⌈n/T·B⌉ a batch is n an epoch: 8 in each of the 8 batches of 32."""
    config = small(**{"num_perturbed": 64, "batch_size": 32, "epsilon": 0.05, "lr": 3e-3, "dropout": 0.0} | fields)
    baseline = made(name, config, training)
    perturbed = spied_on(baseline)
    before = loss_of(baseline.network, training)
    epochs = 4
    for _ in range(epochs):
        assert all(seconds >= 0 for seconds in baseline.run_epoch().values())
    assert baseline.name == name
    assert loss_of(baseline.network, training) < before - 0.1
    n = {"all": T}.get(config.num_perturbed, config.num_perturbed)
    assert sum(map(len, perturbed)) == epochs * n


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("n", [40, "all"])
def test_a_baseline_scores_and_perturbs_in_eval_mode_and_trains_in_training_mode(training, name, n):
    baseline = made(name, small(num_perturbed=n), training)
    modes = Counter()
    dropout = baseline.network[-2]
    dropout.register_forward_hook(lambda module, *_: modes.update([module.training]))
    baseline.run_epoch()
    assert modes[True] == 2  # batches
    assert modes[False] >= 2


@pytest.mark.parametrize("name", ["textbook", "art"])
def test_a_baselines_learning_rate_falls_with_our_trainers(training, name):
    config = small(num_perturbed=0, epochs=5, lr_milestones=(0.3, 0.6, 0.6))
    few = training.first(32)
    ours = Trainer(config, few, few, 10, None)
    baseline = made(name, config, few)
    for epoch in range(1, 6):
        assert baseline.schedule.get_last_lr() == pytest.approx([ours.learning_rate(epoch)])
        baseline.run_epoch()


# --- ART -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", [{}, PGD, RANDOM_FGSM], ids=str)
def test_art_attacks_within_the_ball_and_the_box(training, attack):
    baseline = made("art", small(attack=attack, epsilon=0.1), training.first(64))
    x_adv = baseline.attack.generate(baseline.x, y=baseline.y)
    distance = np.abs(x_adv - baseline.x)
    assert distance.max() <= 0.1 + 1e-6
    assert distance.max(axis=(1, 2, 3)).min() > 0.05
    assert x_adv.min() >= -1e-6
    assert x_adv.max() <= 1 + 1e-6


def test_arts_fgsm_is_ours(training):
    baseline = made("art", small(), training.first(64))
    theirs = torch.from_numpy(baseline.attack.generate(baseline.x, y=baseline.y))
    ours = fgsm(baseline.network, training.images[:64].float() / 255, training.labels[:64], epsilon=0.3)
    assert float(((theirs - ours).abs() < 1e-6).double().mean()) > 0.999


def test_arts_pgd_is_ours_but_for_its_random_start(training):
    attack = AttackConfig(kind="pgd", steps=3, step_size=0.04, random_start=False)
    baseline = made("art", small(attack=attack, epsilon=0.1), training.first(64))
    theirs = torch.from_numpy(baseline.attack.generate(baseline.x, y=baseline.y))
    images = training.images[:64].float() / 255
    ours = pgd(
        baseline.network, images, training.labels[:64], epsilon=0.1, steps=3, step_size=0.04, random_start=False
    )  # fmt: skip
    assert float(((theirs - ours).abs() < 1e-6).double().mean()) > 0.99
    baseline = made("art", small(attack=PGD, epsilon=0.1), training.first(64))
    once, again = (baseline.attack.generate(baseline.x, y=baseline.y) for _ in range(2))
    assert not np.array_equal(once, again)


@pytest.mark.parametrize(("n", "batch_size", "expected"), [(1, 100, 3), (40, 128, 40), (40, 100, 41), (255, 100, 256)])
def test_art_says_how_many_samples_it_perturbs(training, n, batch_size, expected):
    """⌈n/T·B⌉ of each batch: at least one, however small n."""
    baseline = made("art", small(num_perturbed=n, batch_size=batch_size), training)
    perturbed = spied_on(baseline)
    baseline.run_epoch()
    assert sum(map(len, perturbed)) == baseline.num_perturbed == expected


def test_arts_draw_does_not_look_at_the_gradients(training):
    """What it does otherwise than Algorithm 1: the same samples, whatever the network's norms say."""
    drawn = []
    for seed in (1, 2):
        baseline = made("art", small(seed=seed), training)
        perturbed = spied_on(baseline)
        np.random.seed(3)
        baseline.run_epoch()
        drawn.append(np.concatenate(perturbed))
    assert np.array_equal(*drawn)


def test_art_perturbs_augmented_images_when_asked_to(training):
    images = {image.tobytes() for image in training.images.float().numpy() / 255}
    for augment in (False, True):
        baseline = made("art", small(augment=augment), training)
        perturbed = spied_on(baseline)
        baseline.run_epoch()
        known = [image.tobytes() in images for image in np.concatenate(perturbed)]
        assert np.mean(known) < 0.1 if augment else all(known)


def test_art_prints_no_progress_bars(training, capfd):
    made("art", small(), training).run_epoch()
    assert capfd.readouterr() == ("", "")


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("foolbox", r"pip install 'aat-explore\[eval\]'"),
        ("torchattacks", "pip install --no-deps torchattacks"),
        ("art", r"pip install 'aat-explore\[eval\]'"),
    ],
)
def test_a_missing_library_is_one_line_that_says_how_to_get_it(training, monkeypatch, name, remedy):
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(AATError, match=remedy) as raised:
        BASELINES[name](small(), training, 10)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("baseline", [TextbookAAT, ARTTrainer])
@pytest.mark.parametrize(
    "fields",
    [
        {"perturbing_network": "on-the-fly"},
        {"drawn_samples": "half"},
        {"replacement": True},
        {"score_every": 2},
        {"warmup_epochs": 1},
        {"attack": AttackConfig(label="predicted")},
        {"num_perturbed": T + 1},
    ],
    ids=str,
)
def test_what_no_baseline_does_is_an_error_that_names_the_field(training, baseline, fields):
    (field,) = fields
    with pytest.raises(AATError, match=field):
        baseline(small(**fields), training, 10)
