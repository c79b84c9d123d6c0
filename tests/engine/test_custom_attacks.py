"""Custom attacks, named as package.module:name: admitted, trained and tested with, or refused in one line."""

import sys

import pytest

from aat_explore import datasets
from aat_explore.config import EvaluationConfig, checked_config
from aat_explore.errors import AATError
from aat_explore.experiments.run import evaluate, train
from aat_explore.presets import preset
from aat_explore.store import open_run

MODULE = """
import torch

def noise(network, images, labels, *, epsilon, generator, share=1.0):
    signs = torch.randint(0, 2, images.shape, generator=generator) * 2 - 1
    return (images + share * epsilon * signs).clamp(0, 1)

def my_fgsm(network, images, labels, *, epsilon):
    images = images.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(network(images).double(), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images)
    return (images + epsilon * gradient.sign()).clamp(0, 1).detach()

def outside_the_ball(network, images, labels, *, epsilon):
    return (images + 2 * epsilon).clamp(0, 1)

def outside_the_box(network, images, labels, *, epsilon):
    return images - epsilon

def of_another_shape(network, images, labels, *, epsilon):
    return images[:, 0]

def no_tensor(network, images, labels, *, epsilon):
    return images.numpy()

def by_chance(network, images, labels, *, epsilon):
    return (images + epsilon * torch.randn_like(images).sign()).clamp(0, 1)

def in_training_mode(network, images, labels, *, epsilon):
    network.train()
    return images

def with_gradients(network, images, labels, *, epsilon):
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    with torch.enable_grad():
        network(images).sum().backward()
    return images

def with_other_weights(network, images, labels, *, epsilon):
    with torch.no_grad():
        next(network.parameters()).add_(1)
    return images

def in_place(network, images, labels, *, epsilon):
    return images.add_(epsilon).clamp_(0, 1)

def that_fails(network, images, labels, *, epsilon):
    raise RuntimeError("no\\nluck")

number = 3
"""
SMALL = {"epochs": 1, "num_perturbed": 50, "num_recorded": 10, "val_attack_images": 20}


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    """`my_attacks` in the current folder, as a user has it."""
    (tmp_path / "my_attacks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "my_attacks.py"
    sys.modules.pop("my_attacks", None)


def trained(tmp_path, kind: str, **fields):
    attack = {"kind": f"my_attacks:{kind}", "options": fields.pop("options", ())}
    config = preset("mini", **SMALL | fields | {"attack": attack})
    return train(config, cache_dir=tmp_path / "cache", threads=1, device="cpu", evaluate_with=None)


def test_ones_own_fgsm_trains_the_weights_that_fgsm_trains(tmp_path):
    """The same equation by another hand: bit for bit, through the same streams."""
    ours = train(
        preset("mini", **SMALL, attack={"label": "true"}, perturbing_network="on-the-fly"),
        cache_dir=tmp_path / "cache", threads=1, device="cpu", evaluate_with=None,
    )  # fmt: skip
    theirs = trained(tmp_path, "my_fgsm", perturbing_network="on-the-fly")
    assert ours.id != theirs.id
    for name, weights in ours.weights(1).items():
        assert (weights == theirs.weights(1)[name]).all(), name


@pytest.mark.parametrize("when", ["epoch-start", "on-the-fly"])
def test_options_reach_a_custom_attack_by_name(tmp_path, when):
    run = trained(tmp_path, "noise", options={"share": 0.5}, perturbing_network=when)
    images = datasets.load("fashion-mini").train.images(run.drawn(1)[:10]).astype(float)
    moved = abs(run.x_adv(1) - images).max() / 255
    assert moved == pytest.approx(0.15, abs=1 / 255)
    assert run.config.resolved_attack.name == "noise (share 0.5)"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("outside_the_ball", r"moved a pixel by 0\.6, more than epsilon=0\.3; project x′ to the ball"),
        ("outside_the_box", r"returned pixels that are not in \[0, 1\]; clip x′"),
        ("of_another_shape", r"returned \(8, 28, 28\) for images \(8, 1, 28, 28\); return x′ of the same shape"),
        ("no_tensor", r"returned ndarray for images"),
        ("by_chance", r"gives another x′ when called again with the same generator"),
        ("in_training_mode", r"changes the network's modes"),
        ("with_gradients", r"leaves gradients on its parameters"),
        ("with_other_weights", r"changes the network's weights or buffers; work on a copy"),
        ("in_place", r"changes the images passed to it; work on a clone"),
        ("that_fails", r"fails on training images \(RuntimeError: no luck\)"),
        ("number", r"is a int; name a function of network, images and labels"),
        ("nothing", r"does not exist: .*my_attacks\.py has no 'nothing'; correct the name"),
    ],
)
def test_an_attack_that_is_none_is_refused_before_the_run_has_a_folder(tmp_path, kind, said):
    with pytest.raises(AATError, match=rf"^attack\.kind=my_attacks:{kind} .*{said}") as caught:
        trained(tmp_path, kind)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache" / "runs").exists()


def test_an_option_that_the_function_does_not_name_is_refused(tmp_path):
    with pytest.raises(AATError, match=r"^attack\.kind=my_attacks:noise takes no argument 'sharp'; correct"):
        trained(tmp_path, "noise", options={"sharp": 1})


def test_a_run_is_not_resumed_with_another_attack_of_the_same_name(tmp_path, module):
    first = trained(tmp_path, "noise", epochs=2)
    assert first.complete
    module.write_text(MODULE.replace("share * epsilon * signs", "share * epsilon * signs * 0.9"))
    sys.modules.pop("my_attacks", None)
    with pytest.raises(AATError, match=r"was trained with other code of attack\.kind=my_attacks:noise"):
        trained(tmp_path, "noise", epochs=2)


def test_standard_training_does_not_ask_for_the_attack(tmp_path):
    config = preset("mini", **SMALL | {"num_perturbed": 0, "attack": {"kind": "nowhere:attack"}})
    run = train(config, cache_dir=tmp_path / "cache", threads=1, device="cpu", evaluate_with=None)
    assert run.id == preset("mini", **SMALL | {"num_perturbed": 0}).run_id


def test_a_custom_attack_is_a_test_too_and_joins_the_worst_case(tmp_path):
    run = trained(tmp_path, "my_fgsm")
    place = {"cache_dir": tmp_path / "cache", "threads": 1, "device": "cpu"}
    common = {"images": 60, "epsilons": (0.0, 0.1)}
    by_fgsm = evaluate(run.id, EvaluationConfig(attack="fgsm", **common), **place)
    custom = evaluate(run.id, EvaluationConfig(attack="my_attacks:my_fgsm", **common), **place)
    evaluate(run.id, EvaluationConfig(steps=5, **common), **place)
    assert custom.attack == {"kind": "my_attacks:my_fgsm", "norm": "linf", "counts": "clean and perturbed image"}
    assert custom.num_correct[0] == by_fgsm.num_correct[0]
    assert custom.num_correct[1] <= by_fgsm.num_correct[1]  # an image must be right before as well
    from aat_explore.views.evaluations import counting, headline

    tests = counting(open_run(run.id, tmp_path / "cache"))
    assert "worst of PGD-5 (nested) and my_fgsm, 60 test images" in tests
    worst, pgd = (next(e for name, e in tests.items() if name.startswith(start)) for start in ("worst", "PGD-5"))
    assert worst.num_correct[-1] <= pgd.num_correct[-1]
    assert headline(open_run(run.id, tmp_path / "cache"), 0.1)[2].startswith(("worst", "PGD-5"))
    with pytest.raises(AATError, match="by_chance gives another x′"):
        evaluate(run.id, EvaluationConfig(attack="my_attacks:by_chance", **common), **place)


def test_the_place_of_an_attack_is_checked_like_that_of_a_network():
    with pytest.raises(AATError, match=r"^attack\.kind='\.\./x:y' is none of"):
        checked_config({"attack": {"kind": "../x:y"}})
