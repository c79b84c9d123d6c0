"""Image files in class folders: which split and class each is of, and their pixels; all that is wrong is said at once.

    photos/<class>/*.png                       as torchvision's ImageFolder: classes in the order of their names
    photos/train/<class>/*.png, photos/test/…  the same in two parts, or in three with val/, in any of `SPLITS`' names

A folder or file that a link shows twice is refused: its images would count twice.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aat_explore.datasets.decoding import UInt8Array, UnfitError, UnreadableError, decode, described
from aat_explore.errors import AATError, cause_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
TRAIN, TEST, VALIDATION = "train", "test", "validation"
SPLITS = {  # what folders of splits are called, in small or capital letters
    "train": TRAIN,
    "training": TRAIN,
    "test": TEST,
    "testing": TEST,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
}
MOST_CLASSES = 256  # labels are stored as bytes
NAMED_PROBLEMS = 20  # of a folder; the others are counted


@dataclass
class ImageFiles:
    """What a folder of image files holds, by split: pixels uint8 (N, C, H, W) and labels uint8 (N,).

    `notes` say what was done to images because their files say so, and which folder was taken for which split;
    `skipped` are the unreadable files that were left out.
    """

    images: dict[str, UInt8Array]
    labels: dict[str, UInt8Array]
    class_names: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def read_image_files(folder: Path, resize: int | None = None, *, skip_unreadable: bool = False) -> ImageFiles:
    """Read all images below a folder, cropped to squares of `resize` pixels a side if that is given.

    Raises AATError for no images, one that cannot be kept (see `decoding`), several sizes or kinds, splits with other
    classes, and folders or files that a link shows twice; for unreadable images, too, unless they are to be left out.
    """
    if resize is not None and resize < 1:
        raise AATError(f"resize={resize} is less than 1; use e.g. 32, the side of an image in pixels")
    parts = _parts(folder)
    walk = _Walk()
    walk.once(folder)
    files = {split: walk.by_class(part) for split, part in parts.items()}
    classes = list(files[TRAIN])
    for split, part in parts.items():
        if list(files[split]) != classes:
            name = min(set(classes) ^ set(files[split]))
            place = parts[TRAIN] if name in classes else part
            raise AATError(f"class={name} is only in {place}; give {parts[TRAIN]} and {part} the same class folders")
    found = ImageFiles({}, {}, tuple(classes))
    rows = [
        (split, label, path) for split in parts for label, name in enumerate(classes) for path in files[split][name]
    ]
    pixels, kept = _decoded([path for _, _, path in rows], resize, skip_unreadable, found)
    split_of, labels = zip(*((rows[at][0], rows[at][1]) for at in kept), strict=True)
    ends = np.cumsum([split_of.count(split) for split in parts])[:-1]
    found.images.update(zip(parts, np.split(pixels, ends), strict=True))
    found.labels.update(zip(parts, np.split(np.array(labels, dtype=np.uint8), ends), strict=True))
    if len(parts) > 1:
        found.notes.insert(0, ", ".join(f"{part.name}/ is the {split} part" for split, part in parts.items()))
    return found


# --- Folders ---------------------------------------------------------------------------------------------------------


def _parts(folder: Path) -> dict[str, Path]:
    """The folder of each split; a validation part without a test part is the test part."""
    named: dict[str, list[str]] = {}
    names = _subfolders(folder)
    for name in names:
        if name.casefold() in SPLITS and _subfolders(folder / name):
            named.setdefault(SPLITS[name.casefold()], []).append(name)
    if not named:
        return {TRAIN: folder}
    for split, of_split in named.items():
        if len(of_split) > 1:
            raise AATError(f"dataset={folder} has {' and '.join(of_split)} for its {split} part; keep one of them")
    if TRAIN not in named:
        (first, *_), *_ = named.values()
        raise AATError(
            f"dataset={folder} has {first}/ with folders in it, but no train/; put the training classes into train/, "
            f"or rename {first}/ if it is a class"
        )
    if beside := [name for name in names if [name] not in named.values()]:
        raise AATError(
            f"dataset={folder} has {', '.join(beside)} beside train; keep train/, test/ and val/ alone, each with a "
            "folder for each class"
        )
    parts = {split: folder / named[split][0] for split in (TRAIN, VALIDATION, TEST) if split in named}
    if TEST not in parts and VALIDATION in parts:
        parts[TEST] = parts.pop(VALIDATION)
    return parts


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


class _Walk:
    """Finds image files, and every folder and file once: a link to a folder above would multiply its images."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], Path] = {}

    def by_class(self, part: Path) -> dict[str, list[Path]]:
        """Image files by class, both in order; AATError if there are none, or too many classes."""
        names = _subfolders(part)
        for name in names:
            try:
                name.encode()
            except UnicodeEncodeError:
                raise AATError(
                    f"the class folder {os.fsencode(name)!r} in {part} has a name that is not UTF-8; rename it"
                ) from None
        if len(names) > MOST_CLASSES:
            raise AATError(f"dataset={part} has {len(names)} classes; use at most {MOST_CLASSES}")
        found = {name: self.files(part / name) for name in names}
        if not any(found.values()):
            raise AATError(
                f"dataset={part} holds no images; put them into {part}/<class>/*.png, or give train_images.npy and "
                "train_labels.npy"
            )
        for name, files in found.items():
            if not files:
                raise AATError(f"class={name} has no images in {part}; add some or remove its folder")
        return found

    def files(self, folder: Path) -> list[Path]:
        """Image files in and below a class folder, in torchvision's order."""
        return [
            place / name for place, name in sorted(self._below(folder), key=lambda found: (str(found[0]), found[1]))
        ]

    def _below(self, folder: Path) -> Iterator[tuple[Path, str]]:
        self.once(folder)
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise AATError(f"{folder} cannot be read ({cause_of(error)})") from None
        for entry in listed:
            if entry.is_dir():
                yield from self._below(folder / entry.name)
            elif entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith("."):
                self.once(folder / entry.name)
                yield folder, entry.name

    def once(self, path: Path) -> None:
        """Note a folder or a file; AATError if it was noted under another path."""
        try:
            stat = path.stat()
        except OSError:  # a link that leads nowhere: decoding says so
            return
        before = self.seen.setdefault((stat.st_dev, stat.st_ino), path)
        if before != path:
            raise AATError(f"{path} is {before} again, by a link; remove one of them")


# --- Pixels ----------------------------------------------------------------------------------------------------------


def _decoded(
    paths: Sequence[Path], resize: int | None, skip_unreadable: bool, found: ImageFiles
) -> tuple[UInt8Array, list[int]]:
    """The pixels of all images, and which paths they are of; AATError names those that do not fit."""
    images: UInt8Array | None = None
    problems: list[UnfitError] = []
    kept: list[int] = []
    done = Counter[str]()
    for at, path in enumerate(paths):
        try:
            image = decode(path, resize)
            if images is None:
                images = np.empty((len(paths), *image.array.shape), dtype=np.uint8)
            if image.array.shape != images.shape[1:]:
                what = f"is {described(image.array)} and {paths[kept[0]]} {described(images[0])}"
                raise UnfitError(path, what, "bring all to one size and kind (--resize 32 crops and resizes)")
        except UnfitError as error:
            if skip_unreadable and isinstance(error, UnreadableError):
                found.skipped.append(error.problem)
            else:
                problems.append(error)
            continue
        images[len(kept)] = image.array
        kept.append(at)
        done.update(image.done)
    if problems:
        raise AATError(_together(problems, len(paths)))
    if images is None:
        raise AATError(f"none of {len(paths):,} images can be read; the first: {found.skipped[0]}")
    found.notes += [f"{count:,} {'image was' if count == 1 else 'images were'} {what}" for what, count in done.items()]
    return images[: len(kept)], kept


def _together(problems: Sequence[UnfitError], number: int) -> str:
    """The first `NAMED_PROBLEMS` of the problems in one line, how many more there are, and the remedies."""
    if len(problems) == 1:
        return str(problems[0])
    named = "; ".join(error.problem for error in problems[:NAMED_PROBLEMS])
    more = f"; and {len(problems) - NAMED_PROBLEMS:,} more" if len(problems) > NAMED_PROBLEMS else ""
    remedies = "; ".join(dict.fromkeys(error.remedy for error in problems))
    return f"{len(problems):,} of {number:,} images cannot be used: {named}{more}; {remedies}"
