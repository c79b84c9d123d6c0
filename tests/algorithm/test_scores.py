"""Scores in the place of the gradient's norm: what each is, what p and x′ become with it, and what no score may be."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import Linear, confident, fresh, mini, mini_set
from torch import nn

from aat_explore import examples
from aat_explore.algorithm import fgsm, gradient_norms
from aat_explore.algorithm.scores import BUILT_IN, ScoreError, gradient_norm, loss, margin, score_all
from aat_explore.config import RunConfig
from aat_explore.engine.admission import admit
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.device import Stopwatch
from aat_explore.engine.streams import stream
from aat_explore.engine.trainer import Resume, Trainer, train
from aat_explore.errors import AATError
from aat_explore.jobs import cost
from aat_explore.presets import preset
from aat_explore.scores import SCORES
from aat_explore.views.recipes import norm_name, recipe

T = 300
OWN = "aat_explore.examples:entropy"


@pytest.fixture(scope="module")
def training() -> ImageSet:
    return mini_set(0, T)


@pytest.fixture(scope="module")
def validation() -> ImageSet:
    return mini_set(1000, 1040)


def small(**fields) -> RunConfig:
    usual = {"epochs": 2, "num_perturbed": 40, "val_attack_steps": 1, "val_attack_images": 10, "num_recorded": 40}
    return preset("mini", **usual | fields)


class Constant(nn.Module):
    """The same logits whatever the images."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(x), -1)


def blank(*labels: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(len(labels), 1, 3, 3), torch.tensor(labels)


# --- What each score is ----------------------------------------------------------------------------------------------


def test_every_built_in_score_has_its_facts_and_stands_in_the_help():
    assert tuple(BUILT_IN) == tuple(SCORES)
    for name, spec in SCORES.items():
        assert f"{name}, {spec.equation}" in RunConfig.model_fields["score"].description


def test_loss_is_the_cross_entropy():
    network, (images, labels) = confident("StdCNN"), mini(1000)
    with torch.no_grad():
        expected = F.cross_entropy(network(images).double(), labels, reduction="none")
    torch.testing.assert_close(loss(network, images, labels), expected, rtol=1e-9, atol=1e-14)


def test_loss_is_not_zero_where_the_cross_entropy_rounds_to_zero():
    """log(1 + 2e⁻¹⁰⁰) = 2e⁻¹⁰⁰, and −log softmax is 0 even in float64."""
    network, (images, labels) = Constant(100.0, 0.0, 0.0), blank(0)
    assert F.cross_entropy(network(images).double(), labels) == 0
    assert loss(network, images, labels).item() == pytest.approx(2 * math.exp(-100), rel=1e-12)


def test_margin_is_a_half_on_a_border_and_above_it_exactly_where_the_network_errs():
    assert margin(Constant(1.0, 1.0, -9.0), *blank(0, 1)).tolist() == [0.5, 0.5]
    network, (images, labels) = confident("StdCNN"), mini(1000)
    found = margin(network, images, labels)
    wrong = network(images).argmax(1) != labels
    assert 0 < int(wrong.sum()) < 1000
    assert torch.equal(found > 0.5, wrong)
    assert bool((found > 0).all())


def test_margin_of_two_classes_is_the_probability_of_the_wrong_one():
    network, (images, labels) = Linear(num_classes=2), (torch.rand(50, 1, 3, 3), torch.arange(50) % 2)
    wrong = network(images).double().softmax(1).gather(1, 1 - labels[:, None])[:, 0]
    torch.testing.assert_close(margin(network, images, labels), wrong, rtol=1e-6, atol=0)


def test_gradient_norm_as_a_score_is_the_papers_to_the_bit():
    network, (images, labels) = confident("StdCNN"), mini(500)
    found = score_all(gradient_norm, network, images, labels, batch_size=128)
    assert torch.equal(found, gradient_norms(network, images, labels, batch_size=128))


def test_the_examples_entropy_is_the_entropy_of_the_prediction():
    network, (images, labels) = fresh("StdCNN").eval(), mini(100)
    found = score_all(examples.entropy, network, images, labels, batch_size=30)
    expected = torch.distributions.Categorical(logits=network(images).double()).entropy()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert examples.entropy(Constant(5.0, 5.0), *blank(0)).item() == pytest.approx(math.log(2))


# --- What no score may be --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (lambda network, x, y: network(x), r"^it returned \(8, 10\) for 8 images; return a tensor \(8,\)"),
        (lambda network, x, y: network(x).sum(), r"^it returned \(\) for 8 images"),
        (lambda network, x, y: [1.0] * len(x), r"^it returned list for 8 images"),
        (
            lambda network, x, y: torch.where(y == y[0], -1.0, 1.0),
            r"^it of sample 0 is -1, and \d+ of 20 are not finite",
        ),
        (lambda network, x, y: torch.full(y.shape, math.nan), r"^it of sample 0 is nan, and 20 of 20"),
        (lambda network, x, y: torch.full(y.shape, math.inf), r"^it of sample 0 is inf"),
    ],
)
def test_what_is_no_number_a_sample_is_refused(score, said):
    images, labels = mini(20)
    with pytest.raises(ScoreError, match=said):
        score_all(score, fresh("StdCNN"), images, labels, batch_size=8, name="it")


def test_a_score_sees_every_chunk_in_eval_mode_and_the_network_is_left_as_it_was_found():
    network, (images, labels), seen = fresh("StdCNN").train(), mini(20), []
    network[1].weight.requires_grad_(False)

    def careless(network, x, y):
        seen.append((network.training, any(p.requires_grad for p in network.parameters()), len(x)))
        network.train()
        return torch.ones(len(x))

    score_all(careless, network, images, labels, batch_size=8)
    assert seen == [(False, False, 8), (False, False, 8), (False, False, 4)]
    assert all(module.training for module in network.modules())
    assert [p.requires_grad for p in network.parameters()][:3] == [False, True, True]


@pytest.mark.parametrize("place", ["aat_explore.examples:torch", "aat_explore.examples:SmallCNN"])
def test_a_custom_score_that_is_none_is_not_admitted(training, place):
    with pytest.raises(AATError, match=f"^score={place} "):
        admit(small(score=place), training.first(8), 10, len(training))


# --- What a run makes of it ------------------------------------------------------------------------------------------


ORACLES = {
    "loss": lambda logits, labels: F.cross_entropy(logits, labels, reduction="none"),
    "margin": lambda logits, labels: torch.sigmoid(
        (logits - 1e9 * F.one_hot(labels, 10)).amax(1) - logits.gather(1, labels[:, None])[:, 0]
    ),
    OWN: lambda logits, labels: torch.distributions.Categorical(logits=logits).entropy(),
}


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("name", ORACLES)
def test_p_is_the_score_of_the_epoch_start_network_to_the_power(training, validation, name, power):
    trainer = Trainer(small(score=name, norm_power=power), training, validation, 10, None)
    with torch.no_grad():
        logits = trainer.network.eval()(training.images.float() / 255).double()
    expected = ORACLES[name](logits, training.labels) ** power
    record = trainer.run_epoch(1)
    np.testing.assert_allclose(record.probabilities, expected / expected.sum(), rtol=1e-4)
    assert record.metrics.sum_scores == pytest.approx(float((expected ** (1 / power)).sum()), rel=1e-4)


@pytest.mark.parametrize("name", [*ORACLES])
def test_without_gradient_norms_fgsm_takes_its_own_gradient(training, validation, name):
    trainer = Trainer(small(score=name), training, validation, 10, None)
    picks = trainer.pick(1, Stopwatch(torch.device("cpu")))
    assert picks.signs is None
    images, labels = training.images[picks.drawn].float() / 255, training.labels[picks.drawn]
    x_adv = trainer.perturb_drawn(picks, stream(0, "attack", 1))
    assert torch.equal(x_adv, fgsm(trainer.network, images, labels, epsilon=0.3))


def test_a_uniform_draw_is_the_same_run_to_the_bit_whatever_its_score(training, validation):
    one, other = (
        next(train(small(norm_power=0.0, score=score), training, validation, num_classes=10))
        for score in ("gradient-norm", "loss")
    )
    assert one.metrics.sum_scores == other.metrics.sum_scores
    assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_a_custom_score_that_takes_chances_is_resumed_as_if_it_had_not_been_cut_off(training, validation, monkeypatch):
    def chance(network, images, labels):
        return torch.rand(len(images))

    monkeypatch.setattr(examples, "chance", chance, raising=False)
    config = small(score="aat_explore.examples:chance", epochs=3)
    before = torch.get_rng_state()
    whole = list(train(config, training, validation, num_classes=10))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)  # elsewhere, chance goes on
    cut = Resume(1, whole[0].weights, whole[0].training_state)
    resumed = list(train(config, training, validation, num_classes=10, resume=cut))
    for one, other in zip(whole[1:], resumed, strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)
        assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)
    assert not np.array_equal(whole[0].probabilities, whole[1].probabilities)


# --- What is said of it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ({}, 3 + 2),
        ({"score": "loss"}, 3 + 1 + 2 * 0.2),
        ({"score": "margin", "score_every": 2}, 3 + 1 / 2 + 2 * 0.2),
        ({"score": OWN}, 3 + 2 + 2 * 0.2),
        ({"score": "loss", "attack": {"kind": "pgd", "steps": 10}}, 3 + 1 + 20 * 0.2),
        ({"score": "loss", "num_perturbed": "all"}, 3 + 2),
        ({"score": "loss", "num_perturbed": 0}, 3),
        ({"score": "loss", "norm_power": 0}, 3 + 2),
    ],
)
def test_scoring_without_a_gradient_costs_one_pass_and_spares_fgsm_none(fields, passes):
    assert cost.passes(preset("mini", **fields), 5000) == pytest.approx(passes)


def test_a_score_and_its_power_name_what_p_is_made_from():
    assert [norm_name(power) for power in (0, 1, 2, 3)] == ["Uniform", "Norm", "Squared Norm", "Norm^3"]
    assert [norm_name(power, "loss") for power in (0, 1, 2)] == ["Uniform", "loss", "loss^2"]
    assert norm_name(2, "gradient-norm") == "Squared Norm"


def test_runs_of_other_scores_have_other_recipes_and_share_their_baselines_and_the_uniform_control():
    norm, by_loss, uniform = (
        recipe(preset("mini", **fields)) for fields in ({}, {"score": "loss"}, {"norm_power": 0, "score": "margin"})
    )
    assert not norm.covers(by_loss)
    assert not by_loss.covers(norm)
    assert str(by_loss) == str(norm).replace("; StdCNN", "; score loss; StdCNN")
    baselines = [recipe(preset("mini", num_perturbed=n, score="loss")) for n in (0, "all")]
    for one in (norm, by_loss):
        assert all(one.covers(other) for other in (uniform, *baselines))
