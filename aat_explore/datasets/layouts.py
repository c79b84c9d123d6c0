"""Custom images from a folder or from arrays: read, checked, and converted to prepared arrays.

    photos/<class>/*.png                       as torchvision's ImageFolder: classes in the order of their names
    photos/train/<class>/*.png, photos/test/…  the same in two parts (val/ in place of test/)
    photos/train_images.npy, train_labels.npy  and test_images.npy, test_labels.npy; class_names.txt, one a line

Only training images are required: `custom` splits off a test part if none is given. Bad input raises an AATError that
names the file or the array.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from aat_explore.dataset_specs import STEMS
from aat_explore.errors import AATError, cause_of

UInt8Array = NDArray[np.uint8]

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
TEST_PARTS = ("test", "val", "valid", "validation")
CLASS_NAMES = "class_names"
MOST_CLASSES = 256  # labels are stored as bytes
FEWEST_IMAGES = 3  # of a class: one for each split
ROWS_AT_ONCE = 1024  # floats are converted in parts, to save a second copy


@dataclass(frozen=True, eq=False)
class CustomImages:
    """Checked images uint8 (N, C, H, W) and labels uint8 (N,) by stem, without test arrays if none were given."""

    arrays: dict[str, UInt8Array]
    class_names: tuple[str, ...]


def read_folder(folder: Path, resize: int | None) -> CustomImages:
    """Read a folder in any of the layouts above; image files are cropped and resized to `resize` pixels a side.

    Raises AATError for no such folder, no images, an unreadable one, several sizes or modes, one class, other
    classes in the test part, and what `from_arrays` refuses.
    """
    if not folder.is_dir():
        raise AATError(f"dataset={folder} is not a folder; give one that holds <class>/*.png, or train_images.npy")
    if any((folder / f"{stem}.npy").exists() for stem in STEMS):
        if resize is not None:
            raise AATError(f"resize={resize} has no meaning for {folder}, which holds arrays; resize them yourself")
        return _from_npy(folder)
    return _from_image_files(folder, resize)


def from_arrays(given: Mapping[str, Any], folder: Path | None = None) -> CustomImages:
    """Check arrays by stem, and `class_names` if given; CPU tensors are accepted. `folder` names their files in errors.

    Images are (N, C, H, W) or (N, H, W, C) with C = 1 or 3, or (N, H, W), in uint8, or as floats in [0, 1], which are
    rounded to 1/255. Labels are integers 0 … C - 1. Raises AATError for anything else, for fewer than two classes, and
    for a class of fewer than three training images.
    """
    titles = {stem: stem if folder is None else str(folder / f"{stem}.npy") for stem in STEMS}
    for name in given:
        if name not in (*STEMS, CLASS_NAMES):
            raise AATError(f"{name} is not an array of a data set; use {', '.join(STEMS)} and {CLASS_NAMES}")
    required = [stem for stem in STEMS if stem.startswith("train") or any(name.startswith("test") for name in given)]
    for stem in required:
        if stem not in given:
            raise AATError(
                f"{titles[stem]} is missing; give train_images and train_labels, and both or none of the test arrays"
            )
    arrays: dict[str, UInt8Array] = {}
    for part in dict.fromkeys(stem.split("_")[0] for stem in required):
        images, labels = f"{part}_images", f"{part}_labels"
        arrays[images] = _images(titles[images], given[images])
        arrays[labels] = _labels(titles[labels], given[labels], len(arrays[images]))
    numbers = map(str, range(int(arrays["train_labels"].max()) + 1))
    return _checked(CustomImages(arrays, tuple(map(str, given.get(CLASS_NAMES, numbers)))), titles)


# --- Image files -----------------------------------------------------------------------------------------------------


def _from_image_files(folder: Path, resize: int | None) -> CustomImages:
    if resize is not None and resize < 1:
        raise AATError(f"resize={resize} is less than 1; use e.g. 32, the side of an image in pixels")
    train, test = _parts(folder)
    classes = _classes(train)
    if test is not None and (others := _classes(test)) != classes:
        name = min(set(classes) ^ set(others))
        place = train if name in classes else test
        raise AATError(f"class={name} is only in {place}; give {train} and {test} the same class folders")
    parts = [part for part in (train, test) if part is not None]
    files = {
        part: [(path, label) for label, name in enumerate(classes) for path in _files(part / name)] for part in parts
    }
    pixels = _decoded([path for part in parts for path, _ in files[part]], resize)
    arrays: dict[str, UInt8Array] = {}
    for name, part, images in zip(("train", "test"), parts, np.split(pixels, [len(files[train])]), strict=False):
        arrays[f"{name}_images"] = images
        arrays[f"{name}_labels"] = np.array([label for _, label in files[part]], dtype=np.uint8)
    return _checked(CustomImages(arrays, tuple(classes)), {stem: str(folder) for stem in STEMS})


def _parts(folder: Path) -> tuple[Path, Path | None]:
    """The folder of the training classes, and that of the test classes if there is one."""
    train = folder / "train"
    if not train.is_dir() or not _subfolders(train):
        return folder, None
    beside = [name for name in _subfolders(folder) if name != "train"]
    if len(beside) > 1 or not set(beside) <= set(TEST_PARTS):
        raise AATError(
            f"dataset={folder} has {', '.join(beside)} beside train; keep one of test and val (the validation split is "
            "drawn from train)"
        )
    return train, folder / beside[0] if beside else None


def _classes(folder: Path) -> list[str]:
    """Names of the class folders, sorted."""
    names = _subfolders(folder)
    if not any(True for name in names for _ in _files(folder / name)):
        raise AATError(
            f"dataset={folder} holds no images; put them into {folder}/<class>/*.png, or give train_images.npy and "
            "train_labels.npy"
        )
    for name in names:
        if not any(True for _ in _files(folder / name)):
            raise AATError(f"class={name} has no images in {folder}; add some or remove its folder")
    if len(names) > MOST_CLASSES:
        raise AATError(f"dataset={folder} has {len(names)} classes; use at most {MOST_CLASSES}")
    return names


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """Image files in and below a class folder, in torchvision's order."""
    for place, _, names in sorted(os.walk(folder, followlinks=True)):
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(place, name)


def _decoded(paths: Sequence[Path], resize: int | None) -> UInt8Array:
    """All images, uint8 (N, C, H, W); AATError unless all have one size and are all grey or all RGB."""
    first = _pixels(paths[0], resize)
    images = np.empty((len(paths), *first.shape), dtype=np.uint8)
    for row, path in enumerate(paths):
        image = _pixels(path, resize)
        if image.shape != first.shape:
            raise AATError(
                f"{path} is {_described(image)} and {paths[0]} {_described(first)}; bring all to one size and kind "
                "(--resize 32 crops and resizes)"
            )
        images[row] = image
    return images


def _pixels(path: Path, resize: int | None) -> UInt8Array:
    try:
        with Image.open(path) as file:
            file.load()
            image: Image.Image = file
    except Exception as error:  # Pillow raises a dozen types, all meaning this
        raise AATError(f"{path} cannot be read as an image ({cause_of(error)[:200]}); mend it or remove it") from None
    if image.mode not in ("L", "RGB"):
        raise AATError(f"{path} has mode={image.mode}; convert all images to RGB, or all to greyscale (L)")
    if resize is not None:
        image = ImageOps.fit(image, (resize, resize), Image.Resampling.BICUBIC)
    array = np.asarray(image, dtype=np.uint8)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _described(image: UInt8Array) -> str:
    channels, height, width = image.shape
    return f"{width}×{height} {'grey' if channels == 1 else 'RGB'}"


# --- Arrays ----------------------------------------------------------------------------------------------------------


def _from_npy(folder: Path) -> CustomImages:
    given: dict[str, Any] = {}
    for stem in STEMS:
        path = folder / f"{stem}.npy"
        if path.exists():
            try:
                given[stem] = np.lib.format.open_memmap(path, mode="r")  # never unpickles
            except Exception as error:
                cause = cause_of(error)[:200]
                raise AATError(f"{path} cannot be read as an array ({cause}); write it by numpy.save") from None
    names = folder / f"{CLASS_NAMES}.txt"
    if names.is_file():
        given[CLASS_NAMES] = names.read_text(encoding="utf-8").splitlines()
    return from_arrays(given, folder)


def _array(name: str, given: Any) -> NDArray[Any]:
    try:
        return np.asarray(given)
    except Exception as error:  # ragged lists, tensors of a GPU or with gradients
        raise AATError(
            f"{name} cannot be read as an array ({cause_of(error)[:200]}); give a numpy array or a CPU tensor"
        ) from None


def _images(name: str, given: Any) -> UInt8Array:
    images = _array(name, given)
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise AATError(
            f"{name} has shape {np.shape(given)}; use (N, C, H, W) or (N, H, W, C) with C = 1 or 3, or (N, H, W)"
        )
    if images.size == 0:
        raise AATError(f"{name} holds no images (shape {np.shape(given)}); give at least {FEWEST_IMAGES} of each class")
    return np.ascontiguousarray(_as_bytes(name, images))


def _as_bytes(name: str, images: NDArray[Any]) -> UInt8Array:
    """Pixels 0…255: those given, or floats in [0, 1] rounded to 1/255."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise AATError(f"{name} is {images.dtype}; use uint8 0…255 (numpy's astype), or floats in [0, 1]")
    rounded = np.empty(images.shape, dtype=np.uint8)
    for start in range(0, len(images), ROWS_AT_ONCE):
        rows = np.asarray(images[start : start + ROWS_AT_ONCE], dtype=np.float64)
        outside = ~((rows >= 0) & (rows <= 1))  # NaN, too
        if outside.any():
            raise AATError(f"{name}={rows[outside][0]:g} is outside [0, 1]; undo the normalisation, or use uint8 0…255")
        rounded[start : start + ROWS_AT_ONCE] = np.rint(255 * rows)
    return rounded


def _labels(name: str, given: Any, num_images: int) -> UInt8Array:
    labels = _array(name, given)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise AATError(f"{name} is {labels.dtype} of shape {labels.shape}; use one integer an image, 0 … classes − 1")
    if len(labels) != num_images:
        raise AATError(f"{name} has {len(labels)} labels for {num_images} images; give one for each")
    for row in (int(labels.argmin()), int(labels.argmax())):
        if not 0 <= labels[row] < MOST_CLASSES:
            raise AATError(
                f"{name}={labels[row]} (row {row}) is not in 0…{MOST_CLASSES - 1}; number the classes 0, 1, 2, …"
            )
    return labels.astype(np.uint8)


# --- Both ------------------------------------------------------------------------------------------------------------


def _checked(images: CustomImages, titles: Mapping[str, str]) -> CustomImages:
    """Return the images if classes and shapes are consistent; `titles` name each array in errors."""
    arrays, class_names = images.arrays, images.class_names
    counts = np.bincount(arrays["train_labels"], minlength=len(class_names))
    if len(class_names) < len(counts) or len(set(class_names)) < len(class_names):
        raise AATError(
            f"class_names={','.join(class_names)} does not name {len(counts)} different classes; give a name for each"
        )
    if len(class_names) < 2:
        raise AATError(f"{titles['train_labels']} holds one class only, {class_names[0]}; give images of at least two")
    rare = int(counts.argmin())
    if counts[rare] < FEWEST_IMAGES:
        raise AATError(
            f"class={class_names[rare]} has {counts[rare]} training images in {titles['train_labels']}; give at least "
            f"{FEWEST_IMAGES}, one for each split"
        )
    if "test_images" in arrays:
        train, test = arrays["train_images"].shape[1:], arrays["test_images"].shape[1:]
        if train != test:
            raise AATError(
                f"{titles['test_images']} holds images of shape {test}, the training part of {train}; bring all to one "
                "size"
            )
        row = int(arrays["test_labels"].argmax())
        if (label := arrays["test_labels"][row]) >= len(class_names):
            raise AATError(
                f"{titles['test_labels']}={label} (row {row}) is no class of the training images; drop those images"
            )
    return images
