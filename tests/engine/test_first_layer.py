"""A trained StdCNN is the paper's network with a faster first layer, and nothing else about it is different."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from aat_explore.algorithm import StdCNN
from aat_explore.engine.first_layer import FirstConv2d, with_fast_first_layer
from aat_explore.engine.networks import build_network
from aat_explore.presets import preset


def test_a_network_built_for_training_is_the_papers_with_the_faster_layer():
    network = build_network(preset("mini"), (1, 28, 28), 10)
    assert [type(layer) for layer in network] == [
        FirstConv2d if position == 1 else type(layer) for position, layer in enumerate(StdCNN())
    ]


def test_the_faster_layer_keeps_names_and_values_of_all_weights_and_draws_no_random_numbers():
    torch.manual_seed(0)
    plain = StdCNN(in_channels=3, image_size=32)
    before, state = deepcopy(plain.state_dict()), torch.get_rng_state()
    after = with_fast_first_layer(plain).state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (2, 18), (1, 17)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_first_convolution_is_a_convolution(channels, size, layout):
    """Output and parameter gradients to the bit, the gradient of the images to rounding."""
    torch.manual_seed(0)
    plain = nn.Conv2d(channels, 10, 3).to(memory_format=layout)
    first = deepcopy(FirstConv2d(plain))  # with parameters, and so gradients, of its own
    found = []
    for layer in (first, plain):
        images = torch.rand(7, channels, size, size, generator=torch.Generator().manual_seed(1)).requires_grad_()
        output = layer(images)
        output.backward(torch.sin(output.detach() * 100))
        found.append((output.detach(), layer.weight.grad, layer.bias.grad, images.grad))
    for one, other in zip(found[0][:3], found[1][:3], strict=True):
        assert torch.equal(one, other)
    torch.testing.assert_close(found[0][3], found[1][3], rtol=1e-5, atol=1e-5)


def test_the_first_convolution_can_be_differentiated_twice():
    layer = FirstConv2d(nn.Conv2d(1, 3, 3)).double()
    images = torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (images,))
    assert torch.autograd.gradgradcheck(layer, (images,))
