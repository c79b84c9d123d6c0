"""Preparing uint8 images for display: checks, enlargement, signed differences as colours."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from aat_explore.errors import AATError
from aat_explore.views.protocols import UInt8

MORE, LESS = (230, 97, 1), (1, 97, 230)  # at +ε and at −ε: orange and blue, which the colour-blind can tell apart
NEUTRAL = 128  # of colour images at 0: their channels change each by itself, which white at 0 could not show


def common_shape(images: Mapping[str, UInt8]) -> tuple[int, int, int, int]:
    """The common shape (k, C, H, W) of a sheet's columns, k > 0, C = 1 or 3; AATError if they differ or do not fit."""
    shapes = {array.shape for array in images.values()}
    if len(shapes) != 1 or len(shape := next(iter(shapes))) != 4 or shape[0] == 0 or shape[1] not in (1, 3):
        raise AATError(
            f"images of shapes {sorted(shapes)} do not form a sheet; all need one shape (k, C, H, W), k > 0, C 1 or 3"
        )
    return shape


def alike(images: Mapping[str, UInt8]) -> dict[str, UInt8]:
    """The columns of a sheet, (k, C, H, W) each, grey ones (C = 1) in RGB if another column is in colour."""
    if not any(array.ndim == 4 and array.shape[1] == 3 for array in images.values()):
        return dict(images)
    return {
        heading: array.repeat(3, axis=1) if array.ndim == 4 and array.shape[1] == 1 else array
        for heading, array in images.items()
    }


def enlarged(image: UInt8, scale: int) -> UInt8:
    """An image (C, H, W) in RGB, each pixel enlarged to `scale` × `scale`: uint8 (H·scale, W·scale, 3)."""
    large = image.repeat(scale, axis=1).repeat(scale, axis=2).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(large, (*large.shape[:2], 3)))


def signed(change: NDArray[np.floating], epsilon: float) -> UInt8:
    """Changes of pixels (…, C, H, W), in units of [0, 1], as colours, uint8 (…, 3, H, W).

    Grey images (C = 1): white at 0, orange towards +ε, blue towards −ε. Colour images (C = 3): each channel mid-grey at
    0, bright at +ε, dark at −ε. Changes beyond ε look like ε; with ε = 0 any change does.
    """
    part = np.clip(change / epsilon, -1, 1) if epsilon > 0 else np.sign(change)
    if change.shape[-3] == 3:
        coloured: UInt8 = np.rint(NEUTRAL + 127 * part).astype(np.uint8)
        return coloured
    ends = np.where(part >= 0, *(np.array(end, float).reshape(3, 1, 1) for end in (MORE, LESS)))
    shaded: UInt8 = np.rint(255 + np.abs(part) * (ends - 255)).astype(np.uint8)
    return shaded


def meaning(channels: int) -> str:
    """What the colours of `signed` say, for images of 1 or 3 channels."""
    if channels == 3:
        return "(x′ − x) / ε, each channel: grey did not change, brighter rose, darker fell"
    return "(x′ − x) / ε: orange pixels became brighter, blue ones darker, white ones did not change"
