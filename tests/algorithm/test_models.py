"""The networks are the paper's: parameters counted, shapes, and normalisation inside."""

import pytest
import torch
from torch import nn

from aat_explore.algorithm import ResNet18, StdCNN
from aat_explore.bench.baselines import textbook_stdcnn


def test_stdcnn_has_the_papers_23010_parameters():
    assert sum(parameter.numel() for parameter in StdCNN().parameters()) == 23_010


def test_stdcnn_is_the_papers_stack_of_layers():
    """To the bit: logits, and the gradients of every parameter, in training mode with the same dropout."""
    network, images = StdCNN(), torch.rand(50, 1, 28, 28)
    plain = textbook_stdcnn(network, 0.5)
    convolutions = ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]
    kinds = [type(layer).__name__ for layer in plain][1:]
    assert kinds == [*convolutions, *convolutions, "Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    found = []
    for net in (network, plain):
        torch.manual_seed(0)
        logits = net(images)
        net.zero_grad()
        logits.square().sum().backward()
        found.append([logits.detach(), *(parameter.grad.clone() for parameter in net.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_resnet18_has_the_cifar_stem():
    """11,173,962 parameters is the known count of ResNet18 with a 3×3 stem and 10 classes."""
    network = ResNet18()
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_173_962
    stem = network[1].conv1
    assert (stem.kernel_size, stem.stride) == ((3, 3), (1, 1))
    assert isinstance(network[1].maxpool, nn.Identity)


@pytest.mark.parametrize(("network", "shape"), [(StdCNN(), (1, 28, 28)), (ResNet18(), (3, 32, 32))])
def test_logits_have_one_column_a_class(network, shape):
    assert network.eval()(torch.rand(5, *shape)).shape == (5, 10)


def test_stdcnn_fits_other_image_sizes():
    assert StdCNN(in_channels=3, image_size=32, num_classes=7, mean=[0] * 3, sd=[1] * 3)(
        torch.rand(2, 3, 32, 32)
    ).shape == (2, 7)


def test_normalisation_is_inside_so_that_epsilon_is_in_pixels():
    """A network with mean and sd on x is the plain one on (x − mean)/sd."""
    torch.manual_seed(0)
    plain = StdCNN(dropout=0)
    torch.manual_seed(0)
    normalising = StdCNN(dropout=0, mean=[0.3], sd=[0.2])
    x = torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(normalising(x), plain((x - 0.3) / 0.2))
