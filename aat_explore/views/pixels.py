"""Preparing uint8 images for display: checks, enlargement, amplified differences."""

from collections.abc import Mapping

import numpy as np

from aat_explore.errors import AATError
from aat_explore.views.protocols import UInt8


def common_shape(images: Mapping[str, UInt8]) -> tuple[int, int, int, int]:
    """The common shape (k, C, H, W) of a sheet's columns, k > 0, C = 1 or 3; AATError if they differ or do not fit."""
    shapes = {array.shape for array in images.values()}
    if len(shapes) != 1 or len(shape := next(iter(shapes))) != 4 or shape[0] == 0 or shape[1] not in (1, 3):
        raise AATError(
            f"images of shapes {sorted(shapes)} do not form a sheet; all need one shape (k, C, H, W), k > 0, C 1 or 3"
        )
    return shape


def enlarged(image: UInt8, scale: int) -> UInt8:
    """An image (C, H, W) in RGB, each pixel enlarged to `scale` × `scale`: uint8 (H·scale, W·scale, 3)."""
    large = image.repeat(scale, axis=1).repeat(scale, axis=2).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(large, (*large.shape[:2], 3)))


def amplification(epsilon: float) -> int:
    """The largest whole factor that keeps differences of at most ε within [0, 1]: ⌊1/ε⌋, at least 1."""
    return max(1, int(1 / epsilon + 1e-9)) if epsilon > 0 else 1
