"""Gradient norms against one sample at a time in float64, and against the closed form of a linear model."""

import copy

import pytest
import torch
import torch.nn.functional as F
from networks import Linear, confident, fresh, mini
from torch import Tensor, nn

from aat_explore.algorithm import gradient_norms
from aat_explore.algorithm.gradients import NonFiniteGradientError, attacked, input_gradient


def one_at_a_time(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The oracle: plain autograd on each sample alone, everything in float64."""
    network = copy.deepcopy(network).double().eval()
    norms = []
    for image, label in zip(images.double(), labels, strict=True):
        x = image[None].requires_grad_()
        F.cross_entropy(network(x), label[None]).backward()
        assert x.grad is not None
        norms.append(x.grad.norm())
    return torch.stack(norms)


def share_off(network: nn.Module, images: Tensor, labels: Tensor, exact: Tensor) -> float:
    """Share of the samples whose float32 norm is more than 0.1% wrong."""
    norms = gradient_norms(network, images, labels, batch_size=64)
    assert norms.dtype == torch.float64
    return float(((norms - exact).abs() > 1e-3 * exact).double().mean())


@pytest.mark.parametrize("make", [fresh, confident])
def test_norms_equal_float64_autograd_one_sample_at_a_time(make):
    images, labels = (part[:300] for part in mini())
    network = make("StdCNN")
    assert share_off(network, images, labels, one_at_a_time(network, images, labels)) <= 0.01


@pytest.mark.parametrize("name", ["StdCNN", "ResNet18"])
def test_batched_float64_norms_are_one_at_a_time_norms(name):
    """In float64 batching changes nothing, which makes it the oracle where one at a time would take minutes."""
    images, labels = (part[:6] for part in mini())
    network = fresh(name)
    batched = gradient_norms(copy.deepcopy(network).double(), images.double(), labels)
    torch.testing.assert_close(batched, one_at_a_time(network, images, labels), rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["StdCNN", pytest.param("ResNet18", marks=pytest.mark.slow)])
def test_the_confident_networks_are_confident(name):
    count = 400 if name == "StdCNN" else 100
    network = confident(name)
    with torch.no_grad():
        certainty = torch.softmax(network(mini()[0][:count]), 1).max(1).values
    assert certainty.median() > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("make", [fresh, confident])
def test_resnet18_norms_equal_float64_autograd(make):
    """Those that are off have a ReLU input within float32's rounding of zero: it takes the other branch."""
    images, labels = (part[:400] for part in mini())
    network = make("ResNet18")
    exact = gradient_norms(copy.deepcopy(network).double(), images.double(), labels, batch_size=50)
    assert share_off(network, images, labels, exact) <= 0.01


def test_the_float64_loss_is_what_keeps_confident_samples_right():
    """The trap itself: with a float32 loss far more of a confident network's norms are wrong."""
    images, labels = (part[:300] for part in mini())
    network = confident("StdCNN")
    exact = one_at_a_time(network, images, labels)
    x = images.clone().requires_grad_()
    with attacked(network):
        (gradient,) = torch.autograd.grad(F.cross_entropy(network(x), labels, reduction="sum"), x)
    naive = gradient.flatten(1).norm(dim=1)
    off = ((naive - exact).abs() > 1e-3 * exact).double().mean()
    assert off > 0.05


def test_a_linear_models_norms_have_a_closed_form():
    network = Linear()
    images, labels = torch.rand(20, 1, 3, 3), torch.arange(20) % 4
    W = network.W.detach().double()
    residual = torch.softmax(images.flatten(1).double() @ W.T, 1) - F.one_hot(labels, 4)
    torch.testing.assert_close(gradient_norms(network, images, labels), (residual @ W).norm(dim=1), rtol=1e-5, atol=0)


def test_norms_do_not_depend_on_how_samples_are_batched():
    images, labels = (part[:101] for part in mini())
    network = fresh("ResNet18")
    whole = gradient_norms(network, images, labels, batch_size=101)
    torch.testing.assert_close(gradient_norms(network, images, labels, batch_size=7), whole, rtol=1e-4, atol=0)


def test_uint8_images_are_read_as_pixels_between_0_and_1():
    images = (mini()[0][:50] * 255).round().byte()
    labels = mini()[1][:50]
    network = fresh("StdCNN")
    assert torch.equal(gradient_norms(network, images, labels), gradient_norms(network, images.float() / 255, labels))


def test_norms_far_below_float32s_square_root_of_tiny_do_not_underflow():
    """1e-30 squared is 0 in float32: the norm must be taken in float64."""
    network = Linear(scale=1e-30)
    norms = gradient_norms(network, torch.rand(5, 1, 3, 3), torch.zeros(5, dtype=torch.int64))
    assert (norms > 0).all()
    assert (norms < 1e-28).all()


@pytest.mark.parametrize("name", ["StdCNN", "ResNet18"])
def test_the_model_is_left_as_it_was_found(name):
    """A mixed state, to see each module's mode come back, after success and after failure."""
    network = fresh(name).train()
    list(network.modules())[3].eval()
    next(iter(network.parameters())).requires_grad_(False)
    modes = [module.training for module in network.modules()]
    wanted = [parameter.requires_grad for parameter in network.parameters()]
    before = copy.deepcopy(network.state_dict())
    images, labels = (part[:8] for part in mini())
    gradient_norms(network, images, labels)
    with pytest.raises(NonFiniteGradientError):
        gradient_norms(network, images * float("nan"), labels)
    assert [module.training for module in network.modules()] == modes
    assert [parameter.requires_grad for parameter in network.parameters()] == wanted
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_scoring_works_inside_no_grad():
    images, labels = (part[:4] for part in mini())
    with torch.no_grad():
        assert (gradient_norms(fresh("StdCNN"), images, labels) > 0).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_non_finite_gradient_names_its_sample(bad):
    images, labels = (part[:10].clone() for part in mini())
    images[7, 0, 3, 3] = bad
    with pytest.raises(NonFiniteGradientError, match="sample 7"):
        gradient_norms(fresh("StdCNN"), images, labels, batch_size=4)


def test_input_gradients_logits_are_those_of_a_forward_pass():
    images, labels = (part[:10] for part in mini())
    network = fresh("StdCNN").eval()
    with attacked(network):
        _, logits = input_gradient(network, images, labels)
    assert torch.equal(logits, network(images).detach())
    assert not logits.requires_grad
