"""Find the images, verify them, and convert raw files once; all that can fail is here.

    prepared arrays?  →  raw files (torchvision's folders, others)?  →  torchvision's download
    memory-mapped        converted once to prepared arrays in <cache_dir>/data/<name>/

Prepared arrays are four plain files, {train,test}_{images,labels}.npy: images uint8 (N, C, H, W), labels uint8 (N,),
in the published order. Only a download and CIFAR10's pickled batches import torchvision.
"""

import gzip
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aat_explore.dataset_specs import STEMS, DatasetSpec
from aat_explore.errors import AATError, cause_of

UInt8Array = NDArray[np.uint8]

SIDECAR = "sha256.json"  # beside converted arrays: {stem: digest of the array's bytes}; written last


class DatasetNotFound(AATError):  # noqa: N818 (the name says it)
    """No copy of the data set in any known folder, and none could be downloaded."""


class DatasetDamaged(AATError):  # noqa: N818
    """A file of the data set is not what was published; the message names it."""


def find_arrays(spec: DatasetSpec, data_dir: Path, *, prepare: bool, download: bool) -> Path:
    """Return the folder of prepared arrays, converting or downloading if necessary; DatasetNotFound if all fails."""
    places = roots(data_dir)
    prepared = [root / spec.name for root in places]
    for folder in prepared:
        if all((folder / f"{stem}.npy").is_file() for stem in STEMS):
            return folder

    if not prepare:
        raise DatasetNotFound(
            f"{spec.name} has no prepared arrays in {', '.join(map(str, prepared))}; set AAT_DATA, or train on "
            f"{spec.name} once, which prepares them"
        )
    raw = [*(root / spec.raw_folder for root in places), *map(Path, spec.other_folders)]
    target = data_dir / spec.name
    for folder in raw:
        if (arrays := _read_raw(spec, folder)) is not None:
            return _converted(target, arrays)

    if not download:
        failure = "downloading is off"
    elif spec.torchvision_class is None:
        failure = "torchvision_class=None, so there is nothing to download it by"
    else:
        try:
            return _converted(target, _download(spec, spec.torchvision_class, data_dir))
        except _DownloadFailed as error:
            failure = str(error)
    tried = ", ".join(str(folder) for folder in [*prepared, *raw])
    raise DatasetNotFound(
        f"{spec.name} not found in {tried}; {failure}; set AAT_DATA to a folder that holds "
        f"{spec.name}/{{train,test}}_{{images,labels}}.npy, or connect and run again, or use --dataset fashion-mini"
    )


def roots(data_dir: Path) -> list[Path]:
    """Folders of data sets, best first: $AAT_DATA, and `data_dir`."""
    folder = os.environ.get("AAT_DATA")
    return [*([Path(folder).expanduser().resolve()] if folder else []), data_dir]


def _read_raw(spec: DatasetSpec, folder: Path) -> dict[str, UInt8Array] | None:
    """The four arrays from the published raw files in `folder`, verified; None if a file is missing."""
    return READERS[spec.file_format](spec, folder)


def _read_idx_files(spec: DatasetSpec, folder: Path) -> dict[str, UInt8Array] | None:
    """MNIST's format, plain or gzipped: two zero bytes, type 8 (uint8), D, then D big-endian sizes, then the bytes."""
    paths = {}
    for stem in STEMS:
        part, what = stem.replace("test", "t10k").split("_")
        plain = folder / f"{part}-{what}-idx{3 if what == 'images' else 1}-ubyte"
        paths[stem] = plain if plain.is_file() else plain.with_name(f"{plain.name}.gz")
    if not all(path.is_file() for path in paths.values()):
        return None
    arrays = {}
    for stem, path in paths.items():
        with named_if_damaged(path, _remedy(spec)):
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            if content[:3] != b"\0\0\x08":
                raise ValueError("it is not an idx file of bytes")
            sizes = np.frombuffer(content, ">u4", count=content[3], offset=4)
            array = np.frombuffer(content, np.uint8, offset=4 + sizes.nbytes).reshape(sizes)
            arrays[stem] = array[:, None] if array.ndim == 3 else array
            _verify(spec, stem, arrays[stem])
    return arrays


def _read_cifar_batches(spec: DatasetSpec, folder: Path) -> dict[str, UInt8Array] | None:
    """The python version of CIFAR10, through torchvision, which unpickles only what has the published md5."""
    if not (folder / "test_batch").is_file():
        return None
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    for file, md5 in [*CIFAR10.train_list, *CIFAR10.test_list]:
        if not (folder / file).is_file():
            return None
        with named_if_damaged(folder / file, _remedy(spec)):
            if not check_integrity(folder / file, md5):
                raise ValueError("its md5 is not the published one")
    arrays = {}
    for part in ("train", "test"):
        with named_if_damaged(folder, _remedy(spec)):
            batches = CIFAR10(folder.parent, train=part == "train")
            arrays[f"{part}_images"] = np.ascontiguousarray(batches.data.transpose(0, 3, 1, 2))  # from (N, H, W, C)
            arrays[f"{part}_labels"] = np.array(batches.targets, dtype=np.uint8)
            for what in ("images", "labels"):
                _verify(spec, f"{part}_{what}", arrays[f"{part}_{what}"])
    return arrays


# By `DatasetSpec.file_format`: the four arrays of a folder's raw files, each passed through `_verify`; None if one is
# missing.
READERS: dict[str, Callable[[DatasetSpec, Path], dict[str, UInt8Array] | None]] = {
    "idx": _read_idx_files,
    "cifar-batches": _read_cifar_batches,
}


class _DownloadFailed(Exception):  # noqa: N818
    """Why torchvision could not download, in one line."""


def _download(spec: DatasetSpec, torchvision_class: str, data_dir: Path) -> dict[str, UInt8Array]:
    """The four arrays by torchvision's download, which shows progress and checks md5; keeps no raw files."""
    # A scratch folder, because torchvision writes in place: an interrupted download must not look like raw files.
    with _writing(data_dir), tempfile.TemporaryDirectory(dir=data_dir, prefix=f".{spec.name}-") as scratch:
        try:
            import torchvision.datasets

            for arguments in spec.downloads:
                getattr(torchvision.datasets, torchvision_class)(scratch, download=True, **arguments)
        except Exception as error:  # URLError, RuntimeError, IncompleteRead, …: one line for all
            raise _DownloadFailed(f"download failed ({cause_of(error)[:200]})") from error
        arrays = _read_raw(spec, Path(scratch) / spec.raw_folder)
    if arrays is None:
        raise _DownloadFailed("download failed (torchvision left no files)")
    return arrays


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Make `folder`; AATError if it, or a file in it, cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise AATError(f"cannot write {folder}: {error}; free some space or give another cache_dir") from error


def _converted(folder: Path, arrays: Mapping[str, UInt8Array]) -> Path:
    """Write the four arrays of a published set, and the sidecar with their digests."""
    content = json.dumps({stem: digest(arrays[stem]) for stem in STEMS}, indent=2)
    with _writing(folder):
        (folder / SIDECAR).unlink(missing_ok=True)  # it may describe other arrays
    return write_prepared(folder, arrays, SIDECAR, content)


def write_prepared(folder: Path, arrays: Mapping[str, UInt8Array], description: str, content: str) -> Path:
    """Write the four arrays and, last, the file that describes them; each file appears whole or not at all."""
    with _writing(folder):
        for stem in STEMS:
            with _appearing_whole(folder / f"{stem}.npy") as partial:
                np.save(partial, arrays[stem], allow_pickle=False)
        with _appearing_whole(folder / description) as partial:
            partial.write_text(content + "\n")
    return folder


@contextmanager
def _appearing_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; on leaving, it is on the disk under the name `path`."""
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name itself
    finally:
        os.close(folder)


def digest(*arrays: NDArray[np.generic]) -> str:
    """sha256 of the arrays' bytes in C order, one after the other, without npy headers; hexadecimal."""
    sha256 = hashlib.sha256()
    for array in arrays:
        sha256.update(array.reshape(-1).data)
    return sha256.hexdigest()


@contextmanager
def named_if_damaged(path: Path, remedy: str) -> Iterator[None]:
    """Turn whatever goes wrong while reading `path` into DatasetDamaged."""
    try:
        yield
    except Exception as error:  # a broken zip, gzip or npy header raises a dozen types, all meaning this
        raise DatasetDamaged(f"{path} is damaged: {cause_of(error)}; {remedy}") from error


def _remedy(spec: DatasetSpec) -> str:
    if not spec.published:
        return "delete its folder and add the images again, which gives the same name"
    return f"delete it and prepare or download {spec.name} again, or use --dataset fashion-mini"


def _verify(spec: DatasetSpec, stem: str, array: NDArray[np.generic], recorded: str | None = None) -> None:
    """Raise ValueError unless `array` has the published dtype, shape, label range and (where known) bytes."""
    if array.dtype != np.uint8 or array.shape != spec.shape(stem) or not array.flags.c_contiguous:
        order = "" if array.flags.c_contiguous else " not in C order"
        raise ValueError(f"it holds {array.dtype} {array.shape}{order} where uint8 {spec.shape(stem)} is expected")
    if stem.endswith("labels") and (highest := int(array.max())) >= len(spec.class_names):
        raise ValueError(f"label {highest} exceeds the last class, {len(spec.class_names) - 1}")
    expected = spec.sha256.get(stem, recorded)
    if expected is not None and digest(array) != expected:
        raise ValueError(
            f"its sha256 is not the {'published' if spec.published and stem in spec.sha256 else 'recorded'} one"
        )


def map_arrays(spec: DatasetSpec, folder: Path) -> dict[str, UInt8Array]:
    """Memory-map the four prepared arrays in `folder`, read-only; DatasetDamaged if one differs from its spec."""
    recorded = _read_sidecar(spec, folder)
    arrays: dict[str, UInt8Array] = {}
    for stem in STEMS:
        path = folder / f"{stem}.npy"
        with named_if_damaged(path, _remedy(spec)):
            arrays[stem] = np.lib.format.open_memmap(path, mode="r")  # never unpickles, unlike np.load
            _verify(spec, stem, arrays[stem], recorded.get(stem))
    return arrays


def _read_sidecar(spec: DatasetSpec, folder: Path) -> dict[str, str]:
    """Digests recorded when the arrays in `folder` were converted; empty without a sidecar."""
    path = folder / SIDECAR
    if not path.is_file():
        return {}
    with named_if_damaged(path, _remedy(spec)):
        return {stem: str(json.loads(path.read_text())[stem]) for stem in STEMS}
