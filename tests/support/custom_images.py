"""Small images of three classes that a user might bring, as arrays and as files."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("disc", "red bar", "_square_")  # not in the order of their names, one of them Markdown


def make_images(count: int = 36, size: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a stripe at a height that tells the class: uint8 (count, 3, size, size), int64 (count,)."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    labels = np.arange(count) % len(CLASSES)
    for image, label in zip(images, labels, strict=True):
        image[label, 5 * label : 5 * label + 5] = 255
    return images, labels


def write_files(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """One PNG an image, grey or RGB, in a folder of its class."""
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(place / f"{row:03d}.png")


def write_image_folder(folder: Path, **options: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of one part in class folders; returns them in the order in which they are read."""
    images, labels = make_images(**options)
    write_files(folder, images, labels)
    return in_reading_order(images, labels)


def in_reading_order(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes by name, numbered anew, each one's images by their number."""
    number = np.argsort(np.argsort(CLASSES))[labels]
    rows = np.argsort(number, kind="stable")
    return images[rows], number[rows]
