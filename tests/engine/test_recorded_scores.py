"""The scores that an epoch records of all samples: what they are, when there are any, and that they change nothing."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import fresh, mini_set

from aat_explore import examples
from aat_explore.algorithm import scores
from aat_explore.algorithm.models import StdCNN
from aat_explore.algorithm.scores import BUILT_IN, entropy_of_logits, score_all, scores_of_logits
from aat_explore.config import RunConfig
from aat_explore.engine import scoring
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.networks import load_weights, placed, starting_network
from aat_explore.engine.trainer import Resume, train
from aat_explore.presets import preset
from aat_explore.records import EpochRecord

T = 500  # three batches of scoring, the last of them shorter
ALL = {"loss", "margin", "entropy", "gradient-norm"}
CUSTOM = "aat_explore.examples:entropy"


@pytest.fixture(scope="module")
def training() -> ImageSet:
    return mini_set(0, T)


@pytest.fixture(scope="module")
def validation() -> ImageSet:
    return mini_set(1000, 1020)


def small(**fields) -> RunConfig:
    usual = {"epochs": 2, "num_perturbed": 40, "val_attack_steps": 1, "val_attack_images": 10, "num_recorded": 4}
    return preset("mini", **usual | fields)


def run(config: RunConfig, training: ImageSet, validation: ImageSet, resume: Resume | None = None) -> list[EpochRecord]:
    return list(train(config, training, validation, num_classes=10, resume=resume))


def oracle(network: torch.nn.Module, image: torch.Tensor, label: int) -> dict[str, float]:
    """One image alone, all in float64."""
    x = image[None].requires_grad_()
    (logits,) = network(x)
    loss = F.cross_entropy(logits[None], torch.tensor([label]))
    (gradient,) = torch.autograd.grad(loss, x)
    z = logits.tolist()
    gap = max(value for k, value in enumerate(z) if k != label) - z[label]
    q = [math.exp(value - max(z)) for value in z]
    q = [value / sum(q) for value in q]
    return {
        "loss": loss.item(),
        "margin": 1 / (1 + math.exp(-gap)),
        "entropy": -sum(value * math.log(value) for value in q),
        "gradient-norm": gradient.flatten().norm().item(),
    }


# --- What they are ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["gradient-norm", "loss", "margin"])
def test_they_are_those_of_each_sample_alone_by_the_network_at_the_epochs_start(training, validation, score):
    config = small(score=score, lr=0.01)
    first, second = run(config, training, validation)
    network = starting_network(config, training, 10)
    for record in (first, second):
        alone = network.double().eval()
        one_by_one = [
            oracle(alone, image.double() / 255, int(label))
            for image, label in zip(training.images, training.labels, strict=True)
        ]
        assert record.scores.keys() == (ALL if score == "gradient-norm" else ALL - {"gradient-norm"})
        for name, values in record.scores.items():
            assert values.dtype == np.float32
            errors = np.sort(np.abs(values / [sample[name] for sample in one_by_one] - 1))
            assert errors[: int(0.99 * T)].max() < 1e-4, name
            assert errors.max() < (0.05 if name == "gradient-norm" else 1e-4), name  # a ReLU at 0 may open in float32
        network = starting_network(config, training, 10)
        load_weights(network, first.weights)


def test_p_is_made_of_them(training, validation):
    cases = {"gradient-norm": {}, "loss": {"score": "loss", "norm_power": 2.0}, "score": {"score": CUSTOM}}
    for name, fields in cases.items():
        record = run(small(epochs=1, **fields), training, validation)[0]
        powers = record.scores[name].astype(float) ** fields.get("norm_power", 1)
        np.testing.assert_allclose(record.probabilities, powers / powers.sum(), rtol=1e-5)
        assert record.metrics.sum_scores == pytest.approx(record.scores[name].sum(dtype=float), rel=1e-6)


def test_a_custom_score_is_recorded_as_itself(training, validation):
    (record,) = run(small(epochs=1, score=CUSTOM), training, validation)
    network = placed(starting_network(small(), training, 10), training.images.device)
    expected = score_all(examples.entropy, network, training.images, training.labels, batch_size=200)
    assert record.scores.keys() == {"score"}
    np.testing.assert_array_equal(record.scores["score"], expected.float())


@pytest.mark.parametrize("name", ["loss", "margin"])
def test_loss_and_margin_are_the_built_in_scores_to_the_bit(name):
    network, few = fresh("StdCNN").eval(), mini_set(0, 100)
    logits = network(few.images.float() / 255).detach()
    assert torch.equal(scores_of_logits(logits, few.labels)[name], BUILT_IN[name](network, few.images, few.labels))


@pytest.mark.parametrize("at_once", [1, 69, 70, 71, 140, 10_000])
def test_those_of_all_samples_are_those_of_their_parts_in_order(monkeypatch, at_once):
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(25, 7, generator=generator), torch.randint(7, (25,), generator=generator)
    monkeypatch.setattr(scores, "AT_ONCE", at_once)
    by_part = scores_of_logits(logits, labels)
    for name, score in scores.OF_LOGITS.items():
        torch.testing.assert_close(by_part[name], score(logits.double(), labels), rtol=1e-13, atol=0)


def test_entropy_is_that_of_the_softmax_and_of_no_label():
    logits = 5 * torch.randn(400, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.distributions.Categorical(logits=logits).entropy()
    for labels in (torch.zeros(400, dtype=torch.int64), torch.arange(400) % 7):
        torch.testing.assert_close(entropy_of_logits(logits, labels), expected, rtol=1e-10, atol=0)
    alike = entropy_of_logits(torch.full((1, 7), 3.0, dtype=torch.float64), torch.tensor([2]))
    assert alike.item() == pytest.approx(math.log(7), rel=1e-15)


@pytest.mark.parametrize("gap", [1.0, 30.0, 37.0, 100.0, 700.0])
def test_entropy_is_accurate_where_the_largest_probability_rounds_to_one(gap):
    """Two classes at −gap: −q log q − 2r log r with r = e⁻ᵍᵃᵖ/(1 + 2e⁻ᵍᵃᵖ), by series, without cancellation."""
    logits, rest = torch.tensor([[-gap, 0.0, -gap]], dtype=torch.float64), 2 * math.exp(-gap)
    expected = math.log1p(rest) + rest / (1 + rest) * gap
    assert entropy_of_logits(logits, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-14)


def test_they_are_computed_without_reading_a_value_on_the_host():
    """On the meta device there are no values, so whatever would wait for a GPU fails."""
    logits, labels = torch.empty(30, 10, device="meta"), torch.empty(30, dtype=torch.int64, device="meta")
    scores = scores_of_logits(logits, labels)
    assert {name: (values.shape, values.dtype) for name, values in scores.items()} == dict.fromkeys(
        ALL - {"gradient-norm"}, (torch.Size([30]), torch.float64)
    )
    with pytest.raises(NotImplementedError):
        logits[labels > 0]


# --- When there are any ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "with_scores"),
    [
        ({}, [1, 2, 3, 4]),
        ({"norm_power": 0.0}, [1, 2, 3, 4]),
        ({"num_perturbed": 0}, []),
        ({"num_perturbed": "all"}, []),
        ({"warmup_epochs": 2}, [3, 4]),
        ({"score_every": 3}, [1, 4]),
        ({"score_every": 2, "warmup_epochs": 1, "score": "margin"}, [2, 4]),
        ({"scoring": "carry-over"}, [1]),
        ({"scoring": "carry-over", "warmup_epochs": 1}, []),
        ({"perturbing_network": "on-the-fly", "score": "loss"}, [1, 2, 3, 4]),
    ],
)
def test_an_epoch_records_scores_exactly_if_it_passes_over_all_samples(training, validation, fields, with_scores):
    records = run(small(epochs=4, **fields), training.first(100), validation)
    assert [record.metrics.epoch for record in records if record.scores] == with_scores


# --- They change nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["gradient-norm", "loss", "margin", CUSTOM])
def test_no_sample_goes_through_the_network_more_than_once_to_record_them(training, score, monkeypatch):
    seen, forward = [], StdCNN.forward
    monkeypatch.setattr(StdCNN, "forward", lambda self, x: (seen.append(len(x)), forward(self, x))[1])
    scored = scoring.Scorer(small(score=score), fresh("StdCNN"), training).pass_over_all()
    assert scored.by_name
    assert seen == [200, 200, 100]


@pytest.mark.parametrize("fields", [{}, {"norm_power": 2.0}, {"perturbing_network": "on-the-fly"}])
def test_recording_changes_no_bit_of_p_picks_and_weights(training, validation, fields, monkeypatch):
    recorded = run(small(**fields), training, validation)
    monkeypatch.setattr(scoring, "scores_of_logits", lambda logits, labels: {})
    plain = run(small(**fields), training, validation)
    for one, other in zip(recorded, plain, strict=True):
        assert (one.scores.keys(), other.scores.keys()) == (ALL, {"gradient-norm"})
        assert np.array_equal(one.probabilities, other.probabilities)
        assert np.array_equal(one.drawn, other.drawn)
        assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)
        assert all(np.array_equal(one.training_state[name], other.training_state[name]) for name in one.training_state)


@pytest.mark.parametrize("fields", [{}, {"score_every": 2}, {"scoring": "carry-over"}, {"score": CUSTOM}])
def test_a_resumed_run_records_what_it_would_have_recorded(training, validation, fields):
    config = small(epochs=3, **fields)
    whole = run(config, training, validation)
    resumed = run(config, training, validation, Resume(1, whole[0].weights, whole[0].training_state))
    for one, other in zip(whole[1:], resumed, strict=True):
        assert one.scores.keys() == other.scores.keys()
        assert all(np.array_equal(one.scores[name], other.scores[name]) for name in one.scores)


def test_a_score_that_is_not_finite_in_float32_is_not_recorded_and_stops_no_training(training, validation, monkeypatch):
    def overflowing(logits, labels):
        return scores_of_logits(logits, labels) | {"entropy": torch.full(labels.shape, 1e39, dtype=torch.float64)}

    monkeypatch.setattr(scoring, "scores_of_logits", overflowing)
    assert [record.scores.keys() for record in run(small(), training, validation)] == [ALL - {"entropy"}] * 2
