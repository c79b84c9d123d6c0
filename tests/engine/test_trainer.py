"""Algorithm 1 as trained: against a plain loop, one step by hand, and the recorded distribution recomputed."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import mini_set

from aat_explore.algorithm import draw, fgsm, gradient_norms, probabilities
from aat_explore.config import RunConfig
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.device import Stopwatch, chunk_size
from aat_explore.engine.networks import load_weights, placed, starting_network, weights_of
from aat_explore.engine.scoring import Scored, Scorer
from aat_explore.engine.streams import global_stream, stream
from aat_explore.engine.trainer import Trainer, train
from aat_explore.errors import AATError
from aat_explore.presets import preset
from aat_explore.records import EpochRecord

T = 256


@pytest.fixture(scope="module")
def training() -> ImageSet:
    return mini_set(0, T)


@pytest.fixture(scope="module")
def validation() -> ImageSet:
    return mini_set(1000, 1100)


def small(**fields) -> RunConfig:
    return preset("mini", **{"epochs": 2, "num_perturbed": 40, "val_attack_steps": 2, "val_attack_images": 20} | fields)


def run(config: RunConfig, training: ImageSet, validation: ImageSet) -> list[EpochRecord]:
    return list(train(config, training, validation, num_classes=10))


def network_of(config: RunConfig, training: ImageSet, weights=None) -> torch.nn.Module:
    network = starting_network(config, training, 10)
    if weights is not None:
        load_weights(network, weights)
    return placed(network, training.images.device)


def differ(one: dict, two: dict) -> bool:
    return any(not np.array_equal(one[name], two[name]) for name in one)


# --- n = 0 and n = T -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_n_zero_is_standard_training(training, validation, optimizer):
    """Bit for bit the loop that everybody writes, given the same shuffle and dropout streams."""
    config = small(num_perturbed=0, optimizer=optimizer, lr=0.01, weight_decay=1e-4)
    network = network_of(config, training)
    parameters = network.parameters()
    if optimizer == "adam":
        step = torch.optim.Adam(parameters, lr=0.01, weight_decay=1e-4, fused=True)
    else:
        step = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True)
    images, labels = training.images.float() / 255, training.labels
    for epoch in (1, 2):
        network.train()
        order = torch.randperm(T, generator=stream(0, "shuffle", epoch))
        with global_stream(0, "dropout", epoch):
            for rows in order.split(128):
                step.zero_grad()
                F.cross_entropy(network(images[rows]), labels[rows]).backward()
                step.step()
    assert not differ(run(config, training, validation)[-1].weights, weights_of(network))


def test_n_all_perturbs_every_sample(training, validation):
    record = run(small(num_perturbed="all", epochs=1, num_recorded=T), training, validation)[0]
    assert record.drawn.tolist() == list(range(T))
    assert record.probabilities is None
    assert record.metrics.loss_rest is None
    start = network_of(small(), training)
    expected = fgsm(start, training.images.float() / 255, training.labels, epsilon=0.3)
    assert np.abs(record.x_adv - (expected * 255).round().numpy()).max() <= 1  # the rounding of a half


def test_n_equal_to_t_as_a_number_perturbs_every_sample_too(training, validation):
    record = run(small(num_perturbed=T, epochs=1), training, validation)[0]
    assert sorted(record.drawn.tolist()) == list(range(T))


def test_n_beyond_t_is_an_error_that_says_what_to_use(training, validation):
    with pytest.raises(AATError, match='num_perturbed=257 exceeds num_train=256; use "all"'):
        run(small(num_perturbed=T + 1), training, validation)


# --- scoring, drawing, recording -----------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_power", [0.0, 1.0, 2.0])
def test_recorded_p_and_k_are_those_of_the_epoch_start_network(training, validation, norm_power):
    config = small(norm_power=norm_power)
    first, second = run(config, training, validation)
    network = network_of(config, training, first.weights)
    norms = gradient_norms(network, training.images, training.labels, batch_size=chunk_size(training.images.device))
    p = probabilities(norms, norm_power=norm_power)
    assert np.array_equal(second.probabilities, p.float().numpy())
    assert np.array_equal(second.drawn, draw(p, 40, generator=stream(0, "draw", 2)).numpy())
    assert second.metrics.sum_scores == pytest.approx(float(norms.sum()), rel=1e-12)
    assert (second.metrics.num_drawn, second.metrics.shortfall) == (40, 0)


def test_fgsm_by_the_gradient_of_scoring_is_fgsm_computed_anew(training, validation):
    trainer = Trainer(small(num_perturbed=100), training, validation, 10, None)
    picks = trainer.pick(1, Stopwatch(torch.device("cpu")))
    assert picks.signs is not None
    reused = trainer.perturb_drawn(picks, stream(0, "attack", 1))
    images = training.images[picks.drawn].float() / 255
    anew = fgsm(trainer.network, images, training.labels[picks.drawn], epsilon=0.3)
    assert float((reused == anew).double().mean()) > 0.9999  # a batch of another size may round another way


def test_recorded_images_are_in_the_ball_around_the_drawn_samples(training, validation):
    for fields in (
        {},
        {"perturbing_network": "on-the-fly"},
        {"attack": {"kind": "pgd", "steps": 2}},
        {"attack": {"random_start": True}},
        {"drawn_samples": "add", "perturbing_network": "on-the-fly"},
        {"augment": True},
        {"augment": True, "perturbing_network": "on-the-fly"},
    ):
        record = run(small(epochs=1, epsilon=0.1, num_recorded=25, **fields), training, validation)[0]
        assert record.x_adv.shape == (25, 1, 28, 28)
        distance = np.abs(record.x_adv / 255 - training.images[record.drawn[:25]].numpy() / 255)
        assert distance.max() <= 0.1 + 0.5 / 255 + 1e-6
        assert (distance.max(axis=(1, 2, 3)) > 0.05).all()  # and each of them was moved


@pytest.mark.parametrize(
    "fields", [{}, {"attack": {"kind": "pgd", "steps": 3}}, {"num_perturbed": "all"}, {"augment": True}], ids=str
)
def test_losses_and_classes_recorded_are_those_of_the_epoch_start_network_on_x_and_x_adv(training, validation, fields):
    first, second = run(small(num_recorded=30, **fields), training, validation)
    trainer = Trainer(small(num_recorded=30, **fields), training, validation, 10, None)
    load_weights(trainer.network, first.weights)
    picks = trainer.pick(2, Stopwatch(torch.device("cpu")))
    x_adv = trainer.perturb_drawn(picks, stream(0, "attack", 2))[:30]
    rows = picks.drawn[:30]
    network = trainer.network.eval().double()
    for column, images in enumerate((training.images[rows] / 255, x_adv)):
        logits = network(images.double())
        losses = F.cross_entropy(logits, training.labels[rows], reduction="none").detach().numpy()
        assert second.recorded_losses[:, column] == pytest.approx(losses, rel=1e-3, abs=1e-5)
        assert second.recorded_classes[:, column].tolist() == logits.argmax(1).tolist()
    assert second.recorded_losses[:, 1].mean() > second.recorded_losses[:, 0].mean()


def test_on_the_fly_the_network_is_asked_in_the_batch_as_it_is_then(training, validation):
    """With one batch an epoch, the network of the batch is that of the epoch's start."""
    fields = {"num_recorded": 30, "batch_size": T, "perturbing_network": "on-the-fly", "lr": 0.02}
    for augment in (False, True):
        first, second = run(small(augment=augment, **fields), training, validation)
        network = network_of(small(), training, first.weights).eval()
        rows = torch.from_numpy(second.drawn[:30]).long()
        clean, x_adv = training.images[rows] / 255, torch.from_numpy(second.x_adv) / 255
        losses = [
            F.cross_entropy(network(images), training.labels[rows], reduction="none").detach().numpy()
            for images in (clean, x_adv)
        ]
        same = np.allclose(second.recorded_losses[:, 0], losses[0], rtol=1e-4)
        assert same != augment  # of augmented images it is asked as they are augmented
        if not augment:
            assert np.allclose(second.recorded_losses[:, 1], losses[1], rtol=0.05)  # x′ is kept rounded to 1/255
            assert not np.allclose(losses[1], losses[0], rtol=0.05)


def test_recording_more_or_fewer_images_changes_nothing_else(training, validation):
    for fields in ({}, {"perturbing_network": "on-the-fly"}):
        none, many = (run(small(num_recorded=m, **fields), training, validation)[-1] for m in (0, 40))
        assert not differ(none.weights, many.weights)
        assert len(none.x_adv) == len(none.recorded_losses) == len(none.recorded_classes) == 0
        assert len(many.x_adv) == len(many.recorded_losses) == len(many.recorded_classes) == 40


def test_score_every_reuses_the_norms_in_between(training, validation):
    records = run(small(epochs=4, score_every=2), training, validation)
    p = [record.probabilities for record in records]
    assert np.array_equal(p[0], p[1])
    assert not np.array_equal(p[1], p[2])
    assert np.array_equal(p[2], p[3])
    assert set(records[0].drawn) != set(records[1].drawn)


def test_warm_up_epochs_are_standard_training(training, validation):
    warm = run(small(epochs=3, warmup_epochs=2), training, validation)
    standard = run(small(epochs=3, num_perturbed=0), training, validation)
    assert [record.metrics.num_drawn for record in warm] == [0, 0, 40]
    assert not differ(warm[1].weights, standard[1].weights)
    assert differ(warm[2].weights, standard[2].weights)


def test_with_replacement_a_sample_drawn_twice_counts_once(training, validation):
    record = run(small(epochs=1, num_perturbed=200, norm_power=2, replacement=True), training, validation)[0]
    assert len(set(record.drawn.tolist())) == len(record.drawn) == record.metrics.num_drawn < 200
    assert record.metrics.shortfall == 0


def test_a_shortfall_is_recorded(training, validation, monkeypatch):
    """Only ten samples have a gradient: n = 40 gives ten, and says that thirty are missing."""
    norms = torch.zeros(T, dtype=torch.float64)
    norms[:10] = 1
    monkeypatch.setattr(Scorer, "scores", lambda self, epoch: Scored(norms))
    record = run(small(epochs=1), training, validation)[0]
    assert sorted(record.drawn.tolist()) == list(range(10))
    assert (record.metrics.num_drawn, record.metrics.shortfall) == (10, 30)


# --- one step by hand ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("treatment", ["replace", "add", "half"])
@pytest.mark.parametrize("where", ["epoch-start", "on-the-fly"])
def test_one_step_minimises_the_loss_that_the_treatment_means(training, validation, treatment, where):
    """One batch of all samples, no dropout: the step is SGD on the loss written out."""
    config = small(
        epochs=1, batch_size=2 * T, drawn_samples=treatment, perturbing_network=where, optimizer="sgd", lr=0.1,
        momentum=0.0, dropout=0.0,
    )  # fmt: skip
    record = run(config, training, validation)[0]
    network = network_of(config, training)
    x, y, K = training.images.float() / 255, training.labels, torch.from_numpy(record.drawn.astype(np.int64))
    x_adv = fgsm(network, x[K], y[K], epsilon=0.3)
    rest = torch.tensor([i for i in range(T) if i not in set(K.tolist())])
    clean = F.cross_entropy(network(x), y, reduction="none")
    adversarial = F.cross_entropy(network(x_adv), y[K], reduction="none")
    loss = {
        "replace": (clean[rest].sum() + adversarial.sum()) / T,
        "add": (clean.sum() + adversarial.sum()) / (T + len(K)),
        "half": (clean[rest].sum() + ((clean[K] + adversarial) / 2).sum()) / T,
    }[treatment]
    loss.backward()
    assert record.metrics.loss == pytest.approx(float(loss.detach()), rel=1e-4)
    for name, parameter in network.named_parameters():
        stepped = parameter.detach() - 0.1 * parameter.grad
        torch.testing.assert_close(torch.from_numpy(record.weights[name]), stepped, rtol=1e-3, atol=1e-6)


def test_the_losses_of_drawn_and_rest_make_up_the_loss(training, validation):
    metrics = run(small(epochs=1), training, validation)[0].metrics
    whole = (40 * metrics.loss_drawn + (T - 40) * metrics.loss_rest) / T
    assert metrics.loss == pytest.approx(whole, rel=1e-6)
    assert metrics.loss_drawn > metrics.loss_rest


@pytest.mark.parametrize(
    "fields",
    [
        {"attack": {"label": "predicted"}},
        {"attack": {"random_start": True}},
        {"attack": {"kind": "pgd", "steps": 2}},
        {"perturbing_network": "on-the-fly"},
        {"drawn_samples": "add"},
        {"drawn_samples": "half"},
        {"replacement": True},
        {"norm_power": 0.0},
        {"augment": True},
        {"normalize": False},
        {"dropout": 0.0},
        {"epsilon": 0.1},
        {"optimizer": "sgd"},
        {"seed": 1},
    ],
    ids=str,
)
def test_every_option_changes_what_is_trained(training, validation, fields):
    """Adversarial options act from the first epoch, so one epoch tells them from the default."""
    plain = run(small(epochs=1), training, validation)[0]
    other = run(small(epochs=1, **fields), training, validation)[0]
    assert differ(plain.weights, other.weights)


def test_a_run_repeats_bit_for_bit_and_leaves_torchs_random_state_alone(training, validation):
    config = small(attack={"kind": "pgd", "steps": 2}, augment=True)
    torch.manual_seed(1)
    once = run(config, training, validation)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again = run(config, training, validation)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert not differ(once[-1].weights, again[-1].weights)


def test_the_learning_rate_falls_at_its_milestones(training, validation):
    records = run(small(epochs=4, num_perturbed=0, lr=0.1, lr_milestones=(0.5, 0.75)), training, validation)
    assert [record.metrics.lr for record in records] == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_a_diverged_training_is_an_error_that_names_the_epoch(training, validation):
    broken = copy.deepcopy(training.images)
    config = small(num_perturbed=0, optimizer="sgd", lr=1e30)
    with pytest.raises(AATError, match=r"epoch 1.*lower lr"):
        run(config, ImageSet(broken, training.labels), validation)
