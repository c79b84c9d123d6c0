"""Three ways to the norms: by the letter, by reusing what scoring computed, and carried over from training steps."""

import numpy as np
import pytest
import torch
from networks import mini_set
from scipy.stats import spearmanr

from aat_explore.algorithm import fgsm, gradient_norms
from aat_explore.config import RunConfig
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.device import Stopwatch, chunk_size
from aat_explore.engine.scoring import Scorer
from aat_explore.engine.streams import stream
from aat_explore.engine.trainer import Resume, Trainer, train
from aat_explore.errors import AATError
from aat_explore.presets import preset

T = 600
CPU = torch.device("cpu")
STILL = {"optimizer": "sgd", "lr": 1e-30, "dropout": 0.0}  # a network that does not move, with no noise in it


@pytest.fixture(scope="module")
def training() -> ImageSet:
    return mini_set(0, T)


@pytest.fixture(scope="module")
def validation() -> ImageSet:
    return mini_set(1000, 1050)


def carrying(**fields) -> RunConfig:
    usual = {"epochs": 3, "num_perturbed": 60, "scoring": "carry-over", "val_attack_steps": 1, "val_attack_images": 10}
    return preset("mini", **usual | fields)


def trainer_of(config: RunConfig, training: ImageSet, validation: ImageSet) -> Trainer:
    return Trainer(config, training, validation, 10, None)


def collected(config: RunConfig, training: ImageSet, validation: ImageSet, drawn: torch.Tensor):
    """The norms that one epoch's steps collect with K = drawn, and those of the epoch-start network."""
    trainer = trainer_of(config, training, validation)
    exact = gradient_norms(trainer.network, training.images, training.labels)
    images = training.images[drawn].float() / 255
    x_adv = None
    if config.perturbing_network == "epoch-start":
        x_adv = fgsm(trainer.network, images, training.labels[drawn], epsilon=0.3)
    trained = trainer.training_pass.run(1, drawn, x_adv, collect=True)
    return trained.norms, exact, trainer


# --- reuse ---------------------------------------------------------------------------------------------------------


def test_fgsm_by_the_signs_of_scoring_is_fgsm_recomputed_bit_for_bit(training, validation):
    """With the batches of scoring; another batch size may round another way."""
    trainer = trainer_of(carrying(scoring="epoch-start", num_perturbed=T), training, validation)
    scored = trainer.scorer.pass_over_all()
    norms, signs = scored.scores, scored.signs
    picks = trainer.pick(1, Stopwatch(CPU))
    reused = trainer.perturb_drawn(picks, stream(0, "attack", 1))
    recomputed = torch.empty_like(reused)
    for rows, chunk in training.chunks():
        recomputed[rows] = fgsm(trainer.network, chunk.images.float() / 255, chunk.labels, epsilon=0.3)
    assert torch.equal(reused, recomputed[picks.drawn])
    assert set(signs.unique().tolist()) == {-1, 0, 1}
    assert torch.equal(norms, gradient_norms(trainer.network, training.images, training.labels, batch_size=200))
    assert chunk_size(CPU) == 200


# --- carry-over: what is collected -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["epoch-start", "on-the-fly"])
@pytest.mark.parametrize("treatment", ["replace", "add", "half"])
def test_collected_norms_are_the_gradient_norms_of_a_network_that_stands_still(training, validation, treatment, where):
    """Sum against mean loss, a shorter last batch, the shares of "half": all is undone, to float32's rounding."""
    config = carrying(**STILL, drawn_samples=treatment, perturbing_network=where, batch_size=128)
    drawn = torch.arange(0, T, 7)
    norms, exact, _ = collected(config, training, validation, drawn)
    clean = torch.ones(T, dtype=torch.bool)
    if treatment == "replace":
        clean[drawn] = False
    torch.testing.assert_close(norms[clean], exact[clean], rtol=1e-3, atol=1e-9)
    assert norms.dtype == torch.float64


def test_what_was_seen_perturbed_is_scored_again(training, validation):
    drawn = torch.arange(0, T, 7)
    norms, exact, trainer = collected(carrying(**STILL), training, validation, drawn)
    norms[drawn] = 1e9  # whatever stands there
    trainer.scorer.carry(norms, drawn, 1)
    torch.testing.assert_close(trainer.scorer.norms, exact, rtol=1e-3, atol=1e-9)


def test_what_is_scored_again_is_put_on_the_scale_of_the_others(training, validation):
    """Dropout makes collected norms larger; here they are three times as large."""
    trainer = trainer_of(carrying(**STILL), training, validation)
    exact = gradient_norms(trainer.network, training.images, training.labels)
    drawn = torch.arange(0, T, 7)
    trainer.scorer.carry(3 * exact, drawn, 1)
    torch.testing.assert_close(trainer.scorer.norms, 3 * exact, rtol=1e-6, atol=0)


def test_with_every_sample_perturbed_all_are_scored_again(training, validation):
    trainer = trainer_of(carrying(num_perturbed=T), training, validation)
    trainer.scorer.carry(torch.zeros(T, dtype=torch.float64), torch.arange(T), 1)
    exact = gradient_norms(trainer.network, training.images, training.labels)
    torch.testing.assert_close(trainer.scorer.norms, exact, rtol=1e-6, atol=0)


def test_collecting_changes_no_bit_of_the_training(training, validation):
    """The first epoch draws from the same exact scores, and its steps are the same steps."""
    one, other = (
        next(train(carrying(scoring=scoring), training, validation, num_classes=10))
        for scoring in ("carry-over", "epoch-start")
    )
    assert np.array_equal(one.probabilities, other.probabilities)
    assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)


# --- carry-over: which norms are drawn from --------------------------------------------------------------------------


def passes(config: RunConfig, training: ImageSet, validation: ImageSet, monkeypatch) -> list[int]:
    """In which epochs all samples are scored."""
    scored, real, epoch = [], Scorer.pass_over_all, [0]
    monkeypatch.setattr(Scorer, "pass_over_all", lambda self: (scored.append(epoch[0]), real(self))[1])
    trainer = trainer_of(config, training, validation)
    for epoch[0] in range(1, config.epochs + 1):
        trainer.run_epoch(epoch[0])
    return scored


def test_only_the_first_epoch_scores_every_sample(training, validation, monkeypatch):
    assert passes(carrying(epochs=4), training, validation, monkeypatch) == [1]


def test_warm_up_collects_for_the_first_draw(training, validation, monkeypatch):
    assert passes(carrying(epochs=4, warmup_epochs=2), training, validation, monkeypatch) == []


def test_score_every_k_scores_every_k_epochs(training, validation, monkeypatch):
    config = carrying(scoring="epoch-start", score_every=2, epochs=5)
    assert passes(config, training, validation, monkeypatch) == [1, 3, 5]


def test_carried_norms_rank_samples_much_as_exact_ones_do(training, validation):
    trainer = trainer_of(carrying(epochs=8), training, validation)
    for epoch in range(1, 9):
        trainer.run_epoch(epoch)
    exact = gradient_norms(trainer.network, training.images, training.labels)
    assert spearmanr(trainer.scorer.norms, exact)[0] > 0.6


def test_a_carrying_run_cut_off_goes_on_as_if_it_had_not_been(training, validation):
    config = carrying(num_perturbed=100)
    whole = list(train(config, training, validation, num_classes=10))
    cut = Resume(1, whole[0].weights, whole[0].training_state)
    resumed = list(train(config, training, validation, num_classes=10, resume=cut))
    for one, other in zip(whole[1:], resumed, strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)
        assert np.array_equal(one.drawn, other.drawn)
        assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)
        assert all(np.array_equal(one.training_state[k], other.training_state[k]) for k in one.training_state)


def test_carry_over_with_score_every_is_refused():
    with pytest.raises(AATError, match=r"score_every=2 has no meaning with scoring=carry-over.*drop one"):
        carrying(score_every=2)


def test_carried_norms_work_with_augmentation_and_batch_norm(validation):
    """They exist, are finite, and only samples of a wrong size would break: ResNet18 on 3-channel images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=generator)
    colour = ImageSet(images, torch.arange(40) % 10)
    config = carrying(dataset="cifar10", model="ResNet18", augment=True, num_perturbed=8, batch_size=16, epochs=2)
    second = list(train(config, colour, colour, num_classes=10))[1]
    assert second.probabilities.sum() == pytest.approx(1, rel=1e-5)
    assert (second.probabilities > 0).all()


def test_bfloat16_trains_another_network_from_the_same_scores(training, validation):
    config = carrying(epochs=1, scoring="epoch-start")
    plain, rounded = (
        next(train(config.model_copy(update={"precision": p}), training, validation, num_classes=10))
        for p in ("float32", "bfloat16")
    )
    assert np.array_equal(plain.probabilities, rounded.probabilities)
    name = "1.weight"
    assert not np.array_equal(plain.weights[name], rounded.weights[name])
    assert rounded.weights[name].dtype == np.float32
    np.testing.assert_allclose(plain.weights[name], rounded.weights[name], atol=0.02)
