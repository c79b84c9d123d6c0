"""Custom images from a folder or from arrays: read, checked, and converted to prepared arrays.

    image files                                in class folders, see `image_files`
    photos/train_images.npy, train_labels.npy  and test_images.npy, test_labels.npy; class_names.txt, one a line

Only training images are required: `custom` splits off a test part if none is given. Bad input raises an AATError that
names the file or the array.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aat_explore.dataset_specs import STEMS
from aat_explore.datasets.decoding import UInt8Array
from aat_explore.datasets.image_files import MOST_CLASSES, TEST, TRAIN, VALIDATION, ImageFiles, read_image_files
from aat_explore.errors import AATError, cause_of

CLASS_NAMES = "class_names"
FEWEST_IMAGES = 3  # of a class: one for each split
ROWS_AT_ONCE = 1024  # floats are converted in parts, to save a second copy
ROUNDING = 1e-6  # by which floats may leave [0, 1], as resizing and standardising back and forth make them


@dataclass(frozen=True, eq=False)
class CustomImages:
    """Checked images uint8 (N, C, H, W) and labels uint8 (N,) by stem, without test arrays if none were given.

    The last `num_validation` training images are the validation split; None: it is to be drawn from them. `notes` say
    how the images were understood, `skipped` which were left out.
    """

    arrays: dict[str, UInt8Array]
    class_names: tuple[str, ...]
    num_validation: int | None = None
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def read_folder(folder: Path, resize: int | None = None, *, skip_unreadable: bool = False) -> CustomImages:
    """Read a folder in any of the layouts above; image files are cropped and resized to `resize` pixels a side.

    Raises AATError for no such folder, one class, and what `read_image_files` or `from_arrays` refuses.
    """
    if not folder.is_dir():
        raise AATError(f"dataset={folder} is not a folder; give one that holds <class>/*.png, or train_images.npy")
    if any((folder / f"{stem}.npy").exists() for stem in STEMS):
        if resize is not None:
            raise AATError(f"resize={resize} has no meaning for {folder}, which holds arrays; resize them yourself")
        return _from_npy(folder)
    return _from_files(folder, read_image_files(folder, resize, skip_unreadable=skip_unreadable))


def from_arrays(given: Mapping[str, Any], folder: Path | None = None) -> CustomImages:
    """Check arrays by stem, and `class_names` if given; CPU tensors are accepted. `folder` names their files in errors.

    Images are (N, C, H, W) or (N, H, W, C) with C = 1 or 3, or (N, H, W), in uint8, or as floats in [0, 1] up to
    rounding errors, which are rounded to 1/255. Labels are integers 0 … C - 1. Raises AATError for anything else, for
    fewer than two classes, and for a class of fewer than three training images.
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


# --- Files -----------------------------------------------------------------------------------------------------------


def _from_files(folder: Path, files: ImageFiles) -> CustomImages:
    train = [split for split in (TRAIN, VALIDATION) if split in files.images]
    arrays = {
        "train_images": np.concatenate([files.images[split] for split in train]),
        "train_labels": np.concatenate([files.labels[split] for split in train]),
    }
    if TEST in files.images:
        arrays |= {"test_images": files.images[TEST], "test_labels": files.labels[TEST]}
    return _checked(
        CustomImages(
            arrays,
            files.class_names,
            len(files.labels[VALIDATION]) if VALIDATION in files.labels else None,
            tuple(files.notes),
            tuple(files.skipped),
        ),
        {stem: str(folder) for stem in STEMS},
    )


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
        given[CLASS_NAMES] = _class_names(names)
    return from_arrays(given, folder)


def _class_names(path: Path) -> list[str]:
    """The lines of a text file, without a byte-order mark and without blank lines at its end."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].count(b"\n")
        raise AATError(
            f"{path} is not UTF-8 (byte {error.object[error.start]:#x} in line {line}); save it as UTF-8"
        ) from None
    names = [line.strip() for line in text.splitlines()]
    while names and not names[-1]:
        names.pop()
    if "" in names:
        raise AATError(f"{path} has no name in line {1 + names.index('')}; write one for each class")
    return names


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
        outside = ~((rows >= -ROUNDING) & (rows <= 1 + ROUNDING))  # NaN, too
        if outside.any():
            value = f"{rows[outside][0]:.9g}"
            raise AATError(f"{name}={value} is outside [0, 1]; undo the normalisation, or use uint8 0…255")
        rounded[start : start + ROWS_AT_ONCE] = np.rint(255 * rows.clip(0, 1))
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
