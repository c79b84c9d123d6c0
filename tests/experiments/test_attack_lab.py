"""The attack lab's numbers: they are those of `algorithm.attacks`, in the ball, and masked gradients show."""

import io

import networks
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from synthetic import make_run
from torch import Tensor, nn

from aat_explore import datasets
from aat_explore.algorithm import attacks
from aat_explore.config import EvaluationConfig
from aat_explore.engine import networks as engine_networks
from aat_explore.errors import AATError
from aat_explore.experiments import lab as attack_lab
from aat_explore.presets import preset
from aat_explore.robustness import evaluation
from aat_explore.store import Store
from aat_explore.views import frames, pixels
from aat_explore.views.frames.attack import Attempt

LINEAR_IMAGE = np.array([[[0, 128, 255], [10, 100, 200], [3, 250, 77]]], dtype=np.uint8)
SIGNS = {
    "weaker": "PGD is weaker than FGSM",
    "falls": "The loss falls again as ε grows",
    "flat": "The input gradient is zero or near zero",
    "start": "PGD needs a random start",
}


def floats(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image)[None].float() / 255


def loss(network: nn.Module, x: Tensor, label: int) -> float:
    return float(F.cross_entropy(network(x).double(), torch.tensor([label])).detach())


def seen(network: nn.Module, image: np.ndarray, attempt: Attempt, label: int = 0) -> set[str]:
    return {s.name for s in frames.attack.masking_signs(attack_lab.attack(network, image, label, attempt)) if s.seen}


# --- The attack is the algorithm's -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fgsm", "pgd"])
@pytest.mark.parametrize("random_start", [True, False])
@pytest.mark.parametrize("epsilon", [0.0, 0.004, 0.3, 1.0])
def test_x_adv_is_in_the_ball_and_in_the_range_of_a_pixel(kind, random_start, epsilon):
    network, image = networks.fresh("StdCNN").eval(), datasets.load("fashion-mini").test.images(slice(3, 4))[0]
    found = attack_lab.attack(network, image, 2, Attempt(kind, epsilon, 3, 10.0, random_start))
    assert np.array_equal(found.clean, image.astype(np.float32) / 255)
    assert found.largest_change <= epsilon + 1e-6
    assert found.x_adv.min() >= 0
    assert found.x_adv.max() <= 1
    assert (found.largest_change > 0) == (epsilon > 0)


def test_fgsm_of_the_lab_is_fgsm_of_the_algorithm():
    network, image = networks.fresh("StdCNN").eval(), datasets.load("fashion-mini").test.images(slice(0, 1))[0]
    found = attack_lab.attack(network, image, 7, Attempt("fgsm", 0.1, 1))
    expected = attacks.fgsm(network, floats(image), torch.tensor([7]), epsilon=0.1)
    assert np.array_equal(found.x_adv, expected[0].numpy())
    assert found.fgsm_losses[found.at_epsilon] == pytest.approx(loss(network, expected, 7), rel=1e-6)
    assert found.before == pytest.approx(network(floats(image)).double().softmax(1)[0].detach().numpy(), rel=1e-6)
    assert found.after == pytest.approx(network(expected).double().softmax(1)[0].detach().numpy(), rel=1e-5)


@pytest.mark.parametrize("random_start", [True, False])
def test_each_epsilon_of_the_batch_is_pgd_of_the_algorithm_on_its_own(random_start):
    network, attempt = networks.Linear(), Attempt("pgd", 0.2, 5, 1.5, random_start, seed=3)
    found = attack_lab.attack(network, LINEAR_IMAGE, 1, attempt)
    assert found.epsilons == pytest.approx(np.linspace(0, 0.4, 17))
    for epsilon, got in zip(found.epsilons, found.pgd_losses, strict=True):
        x_adv = attacks.pgd(
            network, floats(LINEAR_IMAGE), torch.tensor([1]), epsilon=float(epsilon), steps=5,
            step_size=1.5 * float(epsilon) / 5, random_start=random_start, generator=torch.Generator().manual_seed(3),
        )  # fmt: skip
        assert got == pytest.approx(loss(network, x_adv, 1), rel=1e-5)
        if epsilon == 0.2:
            assert found.x_adv == pytest.approx(x_adv[0].numpy(), abs=1e-6)


def test_the_curves_along_epsilon_agree_where_pgd_is_fgsm():
    network, image = networks.fresh("StdCNN").eval(), datasets.load("fashion-mini").test.images(slice(0, 1))[0]
    found = attack_lab.attack(network, image, 7, Attempt("pgd", 0.1, 1, factor=1.0, random_start=False))
    assert found.pgd_losses == pytest.approx(found.fgsm_losses, rel=1e-4)


def test_the_loss_along_the_steps_goes_from_the_start_to_the_end():
    network = networks.Linear()
    for steps in (1, 2, 7):
        found = attack_lab.attack(network, LINEAR_IMAGE, 1, Attempt("pgd", 0.2, steps, random_start=False))
        shorter = [
            attacks.pgd(
                network, floats(LINEAR_IMAGE), torch.tensor([1]), epsilon=0.2, steps=k, step_size=0.5 / steps,
                random_start=False,
            )
            for k in range(1, steps + 1)
        ]  # fmt: skip
        expected = [loss(network, x, 1) for x in (floats(LINEAR_IMAGE), *shorter)]
        assert found.step_losses == pytest.approx(expected, rel=1e-5)


def test_the_other_start_is_the_attempt_with_the_other_start():
    at_random, at_image = (
        attack_lab.attack(networks.Linear(), LINEAR_IMAGE, 1, Attempt("pgd", 0.2, 2, 0.5, random_start=start))
        for start in (True, False)
    )
    assert at_random.loss_other_start == pytest.approx(at_image.pgd_losses[8], rel=1e-4)
    assert at_image.loss_other_start == pytest.approx(at_random.pgd_losses[8], rel=1e-4)
    assert at_image.loss_other_start != pytest.approx(at_random.loss_other_start, rel=1e-4)


def test_without_a_label_the_predicted_one_is_attacked():
    network = networks.Linear()
    found = attack_lab.attack(network, LINEAR_IMAGE, None, Attempt("fgsm", 0.1, 1))
    assert found.label == int(network(floats(LINEAR_IMAGE)).argmax())
    assert found.after[found.label] < found.before[found.label]


def test_the_network_is_left_as_it_was_found():
    network = networks.fresh("StdCNN").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    attack_lab.attack(network, np.zeros((1, 28, 28), np.uint8), 0, Attempt("pgd", 0.1, 2))
    assert network.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("attempt", [Attempt("pgd", 0.1, 0), Attempt("fgsm", 1.5, 1), Attempt("pgd", -0.1, 3)])
def test_an_impossible_attempt_is_a_message(attempt):
    with pytest.raises(AATError, match=r"steps=|epsilon="):
        attack_lab.attack(networks.Linear(), LINEAR_IMAGE, 0, attempt)


def test_a_loaded_network_can_be_shared_and_gives_the_stored_weights(tmp_path):
    data, config = datasets.load("fashion-mini"), preset("mini", epochs=1)
    run = make_run(Store(tmp_path), epochs=1)
    with pytest.raises(AATError, match="epoch=1 do not fit the network"):  # made-up weights
        attack_lab.frozen_network(run, data, 1)
    with pytest.raises(AATError, match="no kept checkpoint"):
        attack_lab.frozen_network(run, data, 7)
    network = engine_networks.build_network(config, data.image_shape, 10)
    run.weights = lambda epoch: engine_networks.weights_of(network)
    loaded = attack_lab.frozen_network(run, data, 1)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    for mine, theirs in zip(loaded.parameters(), network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


# --- Gradient masking ------------------------------------------------------------------------------------------------


class Profile(nn.Module):
    """Loss of class 0 that grows with h(t), t how far the mean pixel is from the middle: logits (−h, 0)."""

    def __init__(self, h) -> None:
        super().__init__()
        self.h = h

    def forward(self, x: Tensor) -> Tensor:
        height = self.h(x.flatten(1).mean(1) - 128 / 255)
        return torch.stack([-height, torch.zeros_like(height)], dim=1)


MIDDLE = np.full((1, 4, 4), 128, dtype=np.uint8)
BUMP_THEN_CLIFF = Profile(lambda t: 2 * torch.exp(-(((t - 0.02) / 0.01) ** 2)) + 100 * F.relu(t - 0.05))
TENT = Profile(lambda t: 20 * t.clamp(max=0.05) - 20 * F.relu(t - 0.05))
FROM_BOTH_SIDES = Profile(lambda t: 200 * t**2)
STAIRS = Profile(lambda t: (20 * t).round())


def test_a_linear_network_shows_no_sign():
    assert seen(networks.Linear(), LINEAR_IMAGE, Attempt("pgd", 0.2, 10)) == set()


def test_small_steps_caught_by_a_bump_show_that_pgd_is_weaker():
    attempt = Attempt("pgd", 0.2, 40, 1.0, random_start=False)
    assert SIGNS["weaker"] in seen(BUMP_THEN_CLIFF, MIDDLE, attempt)


def test_a_tent_in_the_loss_falls_again_within_epsilon_and_not_before_its_top():
    assert SIGNS["falls"] in seen(TENT, MIDDLE, Attempt("fgsm", 0.1, 10))
    assert SIGNS["falls"] not in seen(TENT, MIDDLE, Attempt("fgsm", 0.04, 10))


def test_a_staircase_has_no_gradient():
    found = attack_lab.attack(STAIRS, MIDDLE, 0, Attempt("pgd", 0.1, 5))
    assert (found.gradient_l1, found.gradient_zeros) == (0, 1)
    assert SIGNS["flat"] in seen(STAIRS, MIDDLE, Attempt("pgd", 0.1, 5))


def test_a_minimum_of_the_loss_at_the_image_is_left_by_a_random_start_only():
    for random_start in (True, False):
        assert SIGNS["start"] in seen(
            FROM_BOTH_SIDES, MIDDLE, Attempt("pgd", 0.3, 10, random_start=random_start, seed=1)
        )


def test_signs_say_the_numbers_and_the_gradients_l1_norm_is_that_of_closed_form():
    network = networks.Linear()
    found = attack_lab.attack(network, LINEAR_IMAGE, 1, Attempt("pgd", 0.2, 10))
    p = network(floats(LINEAR_IMAGE)).double().softmax(1)[0]
    gradient = network.W.double().T @ (p - F.one_hot(torch.tensor(1), 4))
    assert found.gradient_l1 == pytest.approx(float(gradient.abs().sum().detach()), rel=1e-5)
    assert f"{0.2 * found.gradient_l1:.3g}" in frames.attack.masking_signs(found)[2].finding


# --- Frames ----------------------------------------------------------------------------------------------------------


def test_frames_hold_what_the_attack_found():
    found = attack_lab.attack(networks.Linear(), LINEAR_IMAGE, 1, Attempt("pgd", 0.25, 3))
    classes = frames.attack.attacked_classes(found, "abcd")
    assert classes.groupby("image")["probability"].sum().to_dict() == pytest.approx({"clean": 1, "adversarial": 1})
    name, confidence = frames.attack.predictions(found, "abcd")["adversarial"]
    assert (name, confidence) == ("abcd"[int(found.after.argmax())], found.after.max())
    along = frames.attack.loss_along_epsilon(found)
    assert along.groupby("attack")["loss"].apply(list).to_dict() == {
        "FGSM": list(found.fgsm_losses), "PGD": list(found.pgd_losses),
    }  # fmt: skip
    assert list(frames.attack.loss_along_steps(found)["loss"]) == list(found.step_losses)
    assert set(frames.attack.loss_along_steps(found)["fgsm"]) == {found.fgsm_losses[8]}
    shown = frames.attack.pictures(found)
    assert np.array_equal(shown["clean"][0], frames.attack.eight_bits(found.clean))
    assert np.array_equal(shown["adversarial"][0], frames.attack.eight_bits(found.x_adv))
    assert np.array_equal(shown["difference"][0], pixels.signed(found.x_adv - found.clean, 0.25))


def test_an_enlarged_image_has_the_pixels_of_the_small_one():
    image = np.arange(3 * 32 * 32, dtype=np.float32).reshape(3, 32, 32) % 256 / 255
    large = frames.attack.enlarged(image)
    scale = large.shape[0] // 32
    assert large.shape == (32 * scale, 32 * scale, 3)
    for corner in (0, scale - 1):
        assert np.array_equal(large[corner::scale, corner::scale], np.rint(image * 255).transpose(1, 2, 0))


@pytest.mark.parametrize("epsilon", [0.0, 0.02, 8 / 255, 0.3, 0.5, 0.8, 1.0])
def test_the_slider_reaches_the_training_epsilon(epsilon):
    low, high, usual, step = frames.attack.epsilon_range(preset("mini", epsilon=epsilon))
    assert 0 < low <= usual <= high <= 1
    assert usual == (epsilon or step)


# --- Uploads ---------------------------------------------------------------------------------------------------------


def file_of(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_an_image_twice_as_large_is_averaged_over_its_blocks():
    small = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    image, done = frames.attack.uploaded(file_of(Image.fromarray(small.repeat(2, 0).repeat(2, 1))), (1, 28, 28))
    assert np.array_equal(image, small[None])
    assert done == "56 × 56 pixels, resized to 28 × 28"


def test_the_middle_square_is_cut_out():
    wide = np.zeros((28, 48), dtype=np.uint8)
    wide[:, 10:38] = 200
    image, done = frames.attack.uploaded(file_of(Image.fromarray(wide)), (1, 28, 28))
    assert (image == 200).all()
    assert "cropped to the central 28 × 28" in done


def test_colours_are_kept_or_turned_to_grey_as_the_data_set_wants():
    red = file_of(Image.new("RGB", (32, 32), (255, 0, 0)))
    image, done = frames.attack.uploaded(red, (3, 32, 32))
    assert image.reshape(3, -1).T.tolist() == [[255, 0, 0]] * 1024
    assert "grey" not in done
    grey, done = frames.attack.uploaded(red, (1, 32, 32))
    assert set(grey.ravel()) == {76}  # 0.299 · 255
    assert "converted to grey" in done
    colours, _ = frames.attack.uploaded(file_of(Image.new("L", (32, 32), 9)), (3, 32, 32))
    assert colours.shape == (3, 32, 32)
    assert set(colours.ravel()) == {9}


def test_transparency_becomes_black_and_inverting_turns_it_white():
    clear = file_of(Image.new("RGBA", (28, 28), (255, 255, 255, 0)))
    image, done = frames.attack.uploaded(clear, (1, 28, 28))
    assert not image.any()
    assert "transparency filled with black" in done
    image, done = frames.attack.uploaded(clear, (1, 28, 28), invert=True)
    assert (image == 255).all()
    assert "inverted" in done


def test_sixteen_bits_are_scaled_and_not_cut_off():
    image, _ = frames.attack.uploaded(
        file_of(Image.fromarray(np.full((28, 28), 257 * 40, dtype=np.uint16))), (1, 28, 28)
    )
    assert set(image.ravel()) == {40}


def test_a_jpeg_is_read_near_to_what_it_was():
    image, _ = frames.attack.uploaded(file_of(Image.new("L", (40, 40), 120), "JPEG"), (1, 28, 28))
    assert np.abs(image.astype(int) - 120).max() <= 2


GOOD = file_of(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)))


@pytest.mark.parametrize(
    "content",
    [b"", b"junk", GOOD[:200], GOOD[:-40], GOOD[:40] + b"\0" * 60 + GOOD[100:], file_of(Image.new("L", (9, 9)), "GIF")],
)
def test_a_bad_file_is_a_message(content):
    with pytest.raises(AATError, match="the file is not a readable PNG or JPEG; choose another"):
        frames.attack.uploaded(content, (1, 28, 28))


def test_what_is_too_large_is_a_message():
    with pytest.raises(AATError, match="at most 25,000,000"):
        frames.attack.uploaded(file_of(Image.new("1", (6000, 5000))), (1, 28, 28))
    with pytest.raises(AATError, match="at most 5,000,000"):
        frames.attack.uploaded(b"x" * 5_000_001, (1, 28, 28))


# --- Several networks, several attacks -------------------------------------------------------------------------------


def test_compared_accuracies_are_those_of_evaluations_with_wilsons_interval():
    network, data = networks.confident("StdCNN"), networks.mini_set(400, 460)
    frame = attack_lab.compare({"one": network}, data.images, data.labels, ["fgsm", "pgd"], epsilon=0.05)
    assert list(frame["attack"]) == ["clean", "FGSM", "PGD-40"]
    assert list(frame["network"].unique()) == ["one"]
    for kind, name in (("fgsm", "FGSM"), ("pgd", "PGD-40")):
        made, _ = evaluation.evaluate(network, data, EvaluationConfig(attack=kind), (0.0, 0.05), epoch=1)
        rows = frame.set_index("attack").loc[["clean", name]]
        assert tuple(rows["accuracy"]) == made.accuracies
        assert tuple(zip(rows["least"], rows["most"], strict=True)) == made.intervals
    clean, fgsm, pgd = frame["accuracy"]
    assert clean > fgsm >= pgd


def test_larger_logits_hide_a_network_from_gradients_but_not_from_autoattack():
    pytest.importorskip("pyautoattack")
    network, data = networks.confident("StdCNN"), networks.mini_set(400, 410)
    louder = nn.Linear(10, 10, bias=False).requires_grad_(False)
    louder.weight.copy_(1e6 * torch.eye(10))
    both = {"as it is": network, "× 1,000,000": nn.Sequential(network, louder).eval()}
    frame = attack_lab.compare(both, data.images, data.labels, ["pgd", "autoattack"], epsilon=0.3)
    left = frame.pivot(index="network", columns="attack", values="accuracy")
    assert left.loc["as it is", "clean"] == left.loc["× 1,000,000", "clean"] > 0.5
    assert left.loc["as it is", "PGD-40"] == 0
    assert left.loc["× 1,000,000", "PGD-40"] > 0.5
    assert left.loc["× 1,000,000", "AutoAttack"] < 0.2


def test_an_impossible_epsilon_is_refused_for_many_networks_too():
    data = networks.mini_set(0, 1)
    with pytest.raises(AATError, match="epsilon=2"):
        attack_lab.compare({}, data.images, data.labels, ["pgd"], epsilon=2)
