"""A captured step is the step: on CUDA within rounding, everywhere else because it just runs."""

import numpy as np
import pytest
import torch
from networks import mini

from aat_explore.engine import capture
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.capture import Captured
from aat_explore.engine.trainer import train
from aat_explore.presets import preset

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device")


def test_without_cuda_a_captured_function_just_runs():
    total = torch.zeros(3)
    add = Captured(lambda values: total.add_(values))
    for k in range(6):
        add(torch.full((3,), float(k)))
    assert total.tolist() == [15.0] * 3


@needs_cuda
def test_a_replayed_function_does_what_it_did():
    total = torch.zeros(3, device="cuda")
    add = Captured(lambda values: total.add_(values * values))
    for k in range(10):
        add(torch.full((3,), float(k), device="cuda"))
    assert total.tolist() == [285.0] * 3


@needs_cuda
def test_a_failed_capture_says_so_once_and_runs_on():
    seen = []
    synchronising = Captured(lambda values: seen.append(values.sum().item()))
    with pytest.warns(UserWarning, match="not captured"):
        [synchronising(torch.full((3,), float(k), device="cuda")) for k in range(6)]
    assert seen[-1] == 15.0


@needs_cuda
@pytest.mark.parametrize("fields", [{}, {"scoring": "carry-over"}, {"optimizer": "sgd"}, {"augment": True}], ids=str)
def test_a_captured_epoch_is_the_eager_epoch(fields):
    """Within 1e-4 of the weights after two epochs: the same kernels in the same order, dropout from the same stream."""
    images, labels = mini()
    data = ImageSet((images * 255).round().byte().cuda(), labels.cuda())
    config = preset("mini", num_perturbed=100, epochs=2, val_attack_steps=1, val_attack_images=10, **fields)
    captured = list(train(config, data, data.first(100), num_classes=10))[-1]
    with capture.eager():
        eager = list(train(config, data, data.first(100), num_classes=10))[-1]
    for name in captured.weights:
        np.testing.assert_allclose(captured.weights[name], eager.weights[name], rtol=0, atol=1e-4)
