"""The images in the paper's splits: uint8 memory maps in, three splits with permanent row numbers out.

`specs.py` says what was published, `sources.py` finds and verifies it, this module splits it. Importing it, and loading
prepared arrays, never imports torch.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aat_explore.datasets.sources import (
    SIDECAR,
    DatasetDamaged,
    DatasetNotFound,
    UInt8Array,
    digest,
    find_arrays,
    map_arrays,
    named_if_damaged,
)
from aat_explore.datasets.specs import FASHION_CLASSES, SPECS, STEMS, DatasetSpec
from aat_explore.errors import AATError

__all__ = ["Dataset", "DatasetDamaged", "DatasetNotFound", "Split", "load", "names"]

RowArray = NDArray[np.int64]
Array = TypeVar("Array", bound=NDArray[np.generic])

SPLIT_SEED = 2019  # of the split, not of any run: image i stays image i in every experiment
MINI_FILE = Path(__file__).parents[1] / "data" / "fashion_mini.npz"
MINI_SIZES = {"train": 5_000, "validation": 1_000, "test": 2_000}
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


def names() -> tuple[str, ...]:
    """Every name that `load` knows."""
    return ("fashion-mini", *SPECS)


def load(name: str, *, cache_dir: Path | str = "cache", prepare: bool = True, download: bool = True) -> Dataset:
    """The data set `name` in the paper's splits, from the first place that has it.

    In order: prepared arrays in $AAT_DATA/<name>, then <cache_dir>/data/<name>; torchvision's folders under the same
    two roots; Debian's Fashion-MNIST; torchvision's download. Raw files are converted once, into the second folder.
    Without `prepare` only prepared arrays are read: nothing is written and torch is not imported.
    Each file is verified once a process. Raises DatasetNotFound, DatasetDamaged, and AATError for an unknown name.
    """
    if name == "fashion-mini":
        return _open_mini(MINI_FILE)
    if name not in SPECS:
        raise AATError(f"dataset={name!r} is unknown; choose one of {', '.join(names())}")
    spec = SPECS[name]
    folder = find_arrays(spec, Path(cache_dir).resolve() / "data", prepare=prepare, download=download)
    # A rerun of the dashboard asks again: the stamps spare it the hashing while the files stay as they were.
    files = [folder / f"{stem}.npy" for stem in STEMS] + [folder / SIDECAR]
    stamps = tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.exists())
    return _open_prepared(spec, folder, stamps)


def stratified_sample(labels: UInt8Array, size: int) -> RowArray:
    """Ascending int64 (size,) indices into `labels`, each class in its proportion to within one (largest remainder).

    The draw is the same on every machine for ever: numpy freezes the stream of RandomState, not of Generator.
    """
    counts = np.bincount(labels).astype(np.int64)
    quotas, remainders = np.divmod(counts * size, len(labels))
    quotas[np.argsort(-remainders, kind="stable")[: size - quotas.sum()]] += 1
    random = np.random.RandomState(SPLIT_SEED)
    drawn = [random.permutation(np.flatnonzero(labels == c))[:quota] for c, quota in enumerate(quotas)]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def split_rows(spec: DatasetSpec, train_labels: UInt8Array) -> tuple[RowArray, RowArray]:
    """Rows of the published train file that make the train and the validation split, both int64 and ascending."""
    validation = stratified_sample(train_labels, spec.num_validation)
    return np.setdiff1d(np.arange(spec.num_train, dtype=np.int64), validation), validation


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
    """Fashion-MNIST's embedded subset; see data/README.md for how it was made."""
    keys = [f"{part}_{what}" for part in MINI_SIZES for what in ("images", "labels", "rows")]
    with named_if_damaged(path, "reinstall aat-explore"):
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: _frozen(archive[key]) for key in keys}
        if digest(*arrays.values()) != MINI_SHA256:
            raise ValueError("its sha256 is not the published one")
    splits = {
        part: Split(arrays[f"{part}_labels"], arrays[f"{part}_rows"], arrays[f"{part}_images"]) for part in MINI_SIZES
    }
    return Dataset(name="fashion-mini", class_names=FASHION_CLASSES, **splits)


def _frozen(array: Array) -> Array:
    """The same array, read-only: `load` hands one object to all its callers."""
    array.setflags(write=False)
    return array
