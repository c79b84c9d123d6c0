"""The images in the paper's splits: uint8 memory maps in, three splits with permanent row numbers out.

    sources.py      finds the images, verifies, converts and downloads them
    splits.py       assigns rows to splits, for ever
    layouts.py      reads and checks a user's images: image files, `.npy` files, arrays
    image_files.py  image files in class folders: splits, classes, and all that is wrong at once
    decoding.py     one image file to pixels, honouring what it says of them or refusing it
    custom.py       keeps a user's images in the cache, named by their content

`aat_explore.dataset_specs` describes each published set.
This module opens the splits. Importing it, and loading prepared arrays, never imports torch.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aat_explore.dataset_specs import FASHION_MINI, SPECS, STEMS, DatasetSpec, spec_of
from aat_explore.datasets import custom
from aat_explore.datasets.custom import add
from aat_explore.datasets.sources import (
    SIDECAR,
    DatasetDamaged,
    DatasetNotFound,
    UInt8Array,
    digest,
    find_arrays,
    map_arrays,
    named_if_damaged,
    roots,
)
from aat_explore.datasets.splits import RowArray, split_rows, stratified_sample
from aat_explore.errors import AATError
from aat_explore.places import cache_folder

__all__ = [
    "Dataset", "DatasetDamaged", "DatasetNotFound", "Split", "add", "digest", "load", "names", "num_test", "num_train",
    "stratified_sample",
]  # fmt: skip

Array = TypeVar("Array", bound=NDArray[np.generic])

MINI_FILE = Path(__file__).parents[1] / "data" / "fashion_mini.npz"
MINI_SIZES = {
    "train": FASHION_MINI.num_train - FASHION_MINI.num_validation,
    "validation": FASHION_MINI.num_validation,
    "test": FASHION_MINI.num_test,
}
MINI_SHA256 = "ee442d861799e209fea788beb50c8f334c54d158a69cdc34ed43d787233d03ef"  # all arrays, in order


@dataclass(frozen=True, eq=False)
class Split:
    """One split; row i of this split is image i for ever.

    `labels` uint8 (N,); `rows` int64 (N,), ascending row numbers in the published train file (train and validation) or
    test file (test); `stored` uint8 (M, C, H, W) holds the pixels, image i at `slots[i]` (at i where `slots` is None).
    """

    labels: UInt8Array
    rows: RowArray
    stored: UInt8Array
    slots: RowArray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, indices: NDArray[np.integer] | slice | None = None) -> UInt8Array:
        """Pixels 0…255 of the given rows of this split, uint8 (k, C, H, W), a copy; None means all N of them."""
        slots = np.arange(len(self)) if self.slots is None else self.slots
        # Indexing a memory map by an array reads only the pages of those rows, and copies.
        return np.asarray(self.stored[slots if indices is None else slots[indices]])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three disjoint splits of one data set; label c is `class_names[c]`."""

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """How many classes there are; labels are 0 … num_classes - 1."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one image, in pixels."""
        channels, height, width = self.train.stored.shape[1:]
        return channels, height, width


def names(cache_dir: Path | str | None = None) -> tuple[str, ...]:
    """Every name that `load` knows: the embedded and the published sets, and custom ones."""
    return (FASHION_MINI.name, *SPECS, *custom.custom_names(_data_dir(cache_dir)))


def num_train(name: str, *, cache_dir: Path | str | None = None) -> int:
    """T, the samples of a data set's training split, without opening it; raises as `load` does for an unknown name."""
    spec = _spec(name, cache_dir)
    return spec.num_train - spec.num_validation


def num_test(name: str, *, cache_dir: Path | str | None = None) -> int:
    """The samples of a data set's test split, without opening it; raises as `load` does."""
    return _spec(name, cache_dir).num_test


def load(name: str, *, cache_dir: Path | str | None = None, prepare: bool = True, download: bool = True) -> Dataset:
    """The data set `name` in the paper's splits, from the first folder that has it.

    In order: prepared arrays in $AAT_DATA/<name>, then <cache_dir>/data/<name>; torchvision's folders under the same
    two roots; Debian's Fashion-MNIST; torchvision's download. Raw files are converted once, into the second folder.
    Custom images are only looked for in the first two. Without `prepare` only prepared arrays are read:
    nothing is written and torch is not imported. Each file is verified once per process. Raises DatasetNotFound,
    DatasetDamaged, and AATError for an unknown name.
    """
    if name == FASHION_MINI.name:
        return _open_mini(MINI_FILE)
    if name in SPECS:
        spec = SPECS[name]
        folder = find_arrays(spec, _data_dir(cache_dir), prepare=prepare, download=download)
    else:
        spec, folder = _custom(name, cache_dir)
    # The dashboard loads at each rerun; while the stamps are unchanged, files are not hashed again.
    files = [folder / f"{stem}.npy" for stem in STEMS] + [folder / SIDECAR]
    stamps = tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.exists())
    return _open_prepared(spec, folder, stamps)


def _spec(name: str, cache_dir: Path | str | None) -> DatasetSpec:
    return spec_of(name) or _custom(name, cache_dir)[0]


def _custom(name: str, cache_dir: Path | str | None) -> tuple[DatasetSpec, Path]:
    if (location := custom.find(name, _data_dir(cache_dir))) is not None:
        return location
    if custom.NAME.fullmatch(name):
        raise DatasetNotFound(
            f"{name} is not in {', '.join(str(root) for root in roots(_data_dir(cache_dir)))}; copy its folder there, "
            "or add its images again, which gives the same name"
        )
    raise AATError(
        f"dataset={name!r} is unknown; choose one of {', '.join(names(cache_dir))}, or add a folder of images"
    )


def _data_dir(cache_dir: Path | str | None) -> Path:
    return cache_folder(cache_dir).resolve() / "data"


@lru_cache(maxsize=8)
def _open_prepared(spec: DatasetSpec, folder: Path, stamps: tuple[tuple[int, int], ...]) -> Dataset:
    """Verify and memory-map the prepared arrays in `folder`; `stamps` is only the cache's key."""
    arrays = map_arrays(spec, folder)
    train_rows, validation_rows = split_rows(spec, arrays["train_labels"])

    def split(part: str, rows: RowArray) -> Split:
        labels = np.array(arrays[f"{part}_labels"])[rows]
        return Split(_frozen(labels), _frozen(rows), arrays[f"{part}_images"], slots=_frozen(rows))

    return Dataset(
        name=spec.name,
        train=split("train", train_rows),
        validation=split("train", validation_rows),
        test=split("test", np.arange(spec.num_test, dtype=np.int64)),
        class_names=spec.class_names,
    )


@lru_cache(maxsize=1)
def _open_mini(path: Path) -> Dataset:
    """Open the embedded subset of Fashion-MNIST; data/README.md says how it was made."""
    keys = [f"{part}_{what}" for part in MINI_SIZES for what in ("images", "labels", "rows")]
    with named_if_damaged(path, "reinstall aat-explore"):
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: _frozen(archive[key]) for key in keys}
        if digest(*arrays.values()) != MINI_SHA256:
            raise ValueError("its sha256 is not the published one")
    splits = {
        part: Split(arrays[f"{part}_labels"], arrays[f"{part}_rows"], arrays[f"{part}_images"]) for part in MINI_SIZES
    }
    return Dataset(name=FASHION_MINI.name, class_names=FASHION_MINI.class_names, **splits)


def _frozen(array: Array) -> Array:
    """Make the array read-only, because `load` returns one object to all its callers."""
    array.setflags(write=False)
    return array
