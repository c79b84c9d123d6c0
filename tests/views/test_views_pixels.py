"""Signed differences as colours, and columns of grey and coloured images on one sheet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aat_explore.views import gallery, pixels


@pytest.mark.parametrize("epsilon", [0.3, 0.02, 8 / 255, 1.0, 0.1])
def test_a_signed_difference_is_white_at_0_and_orange_and_blue_at_plus_and_minus_epsilon(epsilon):
    change = np.array([0, epsilon, -epsilon, 2 * epsilon, -2 * epsilon]).reshape(1, 1, 5)
    colours = pixels.signed(change, epsilon)[:, 0].T.tolist()
    orange, blue = list(pixels.MORE), list(pixels.LESS)
    assert colours == [[255, 255, 255], orange, blue, orange, blue]


@pytest.mark.parametrize("epsilon", [0.3, 0.02, 8 / 255])
def test_a_signed_difference_of_colour_images_is_grey_at_0_and_has_its_ends_at_epsilon(epsilon):
    change = np.array([[[0, epsilon, -epsilon]], [[epsilon, 0, 0]], [[0, 0, -2 * epsilon]]])
    assert pixels.signed(change, epsilon)[:, 0].T.tolist() == [[128, 255, 128], [255, 128, 128], [1, 128, 1]]


@given(
    change=arrays(np.float64, (2, 1, 3, 4), elements=st.floats(-1, 1)),
    epsilon=st.floats(0.001, 1),
    channels=st.sampled_from([1, 3]),
)
def test_a_signed_difference_is_antisymmetric(change, epsilon, channels):
    """The opposite change has the mirrored colour: orange for blue, or as far on the other side of grey."""
    change = change.repeat(channels, axis=1)
    here, there = (pixels.signed(signed, epsilon).astype(int) for signed in (change, -change))
    mirrored = here[:, ::-1] if channels == 1 else 2 * pixels.NEUTRAL - here
    assert np.array_equal(there, mirrored)


def test_without_a_budget_any_change_is_shown():
    colours = pixels.signed(np.array([0, 0.5, -0.001]).reshape(1, 1, 3), 0.0)
    assert colours[:, 0].T.tolist() == [[255, 255, 255], list(pixels.MORE), list(pixels.LESS)]


def test_the_difference_of_images_does_not_wrap_around():
    clean = np.array([0, 255, 100, 7], dtype=np.uint8).reshape(1, 1, 1, 4)
    x_adv = np.array([255, 0, 110, 7], dtype=np.uint8).reshape(1, 1, 1, 4)
    colours = gallery.difference(clean, x_adv, 10 / 255)[0, :, 0].T.tolist()
    assert colours == [list(pixels.MORE), list(pixels.LESS), list(pixels.MORE), [255, 255, 255]]
    assert gallery.largest_difference(clean, x_adv) == 1


def test_grey_columns_beside_coloured_ones_stay_grey():
    rng = np.random.default_rng(0)
    grey, coloured = (rng.integers(0, 256, (5, channels, 4, 4), dtype=np.uint8) for channels in (1, 3))
    together = pixels.alike({"grey": grey, "coloured": coloured})
    assert np.array_equal(together["grey"], np.broadcast_to(grey, (5, 3, 4, 4)))
    assert together["coloured"] is coloured
    assert pixels.alike({"grey": grey})["grey"] is grey
