"""Custom images in the cache, named by their content, so that other images never get the same name.

    <cache_dir>/data/photos-1a2b3c4d/
        {train,test}_{images,labels}.npy    prepared arrays, as those of published sets
        dataset.json                        their `DatasetSpec`, digests included; written last
        skipped.txt                         unreadable files that were left out, if there were any

The source folder is not needed again. Adding the same images again gives the same name and writes nothing; a changed
folder gets another name, and runs on the old images keep theirs.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from aat_explore.dataset_specs import STEMS, DatasetSpec
from aat_explore.datasets.decoding import UInt8Array, kind_of
from aat_explore.datasets.layouts import CustomImages, from_arrays, read_folder
from aat_explore.datasets.sources import DatasetDamaged, digest, map_arrays, named_if_damaged, roots, write_prepared
from aat_explore.datasets.splits import stratified_sample
from aat_explore.errors import AATError
from aat_explore.places import cache_folder

DESCRIPTION = "dataset.json"
SKIPPED = "skipped.txt"
NAMED_CLASSES = 20  # in the summary of an import; the others are counted
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,23}-[0-9a-f]{8}")  # short enough to fit into a run's name
TEST_SHARE = 6  # one image in so many is a test image if no test part is given
VALIDATION_SHARE = 10  # and one in so many of the others a validation image
# Fields that make a data set's name; a new field of `DatasetSpec` leaves older names unchanged.
NAMED_AFTER = (
    *("num_train", "num_validation", "num_test", "image_shape", "class_names", "sha256"),
    *("torchvision_class", "raw_folder"),
)
SPECS_AS_JSON = TypeAdapter(DatasetSpec)


def add(
    source: Path | str | Mapping[str, Any],
    *,
    name: str | None = None,
    resize: int | None = None,
    skip_unreadable: bool = False,
    cache_dir: Path | str | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> str:
    """Keep custom images in the cache and return the data set's name: `name` (default: the folder's) and a digest.

    `source` is a folder of images (see `layouts`), or arrays by the names `train_images`, `train_labels`,
    `test_images`, `test_labels` and `class_names`, of which only the first two are required. Image files are cropped
    and resized to squares of `resize` pixels a side; with `skip_unreadable`, damaged ones are left out and listed in
    `skipped.txt` beside the arrays. Without a test part, a sixth of each class is used for testing; without a
    validation part beside it, a tenth of the rest is for validation. `say` is told how the images were understood, a
    line at a time. Raises AATError where images, labels and classes do not fit together.
    """
    if isinstance(source, Mapping):
        if resize is not None:
            raise AATError(f"resize={resize} has no meaning for arrays; resize them yourself")
        images, title = from_arrays(source), name or "arrays"
    else:
        folder = Path(source).expanduser().resolve()
        images, title = read_folder(folder, resize, skip_unreadable=skip_unreadable), name or folder.name
    arrays = _with_test_part(images)
    spec = _describe(title, arrays, images)
    data_dir = cache_folder(cache_dir).resolve() / "data"
    if not _is_kept(spec, data_dir):
        content = SPECS_AS_JSON.dump_json(spec, indent=2, exclude_defaults=True).decode()
        write_prepared(data_dir / spec.name, arrays, DESCRIPTION, content)
    if images.skipped:
        (data_dir / spec.name / SKIPPED).write_text(
            "\n".join(images.skipped) + "\n", encoding="utf-8", errors="replace"
        )
    for line in _understood(spec, arrays, images):
        say(line)
    return spec.name


def _understood(spec: DatasetSpec, arrays: Mapping[str, UInt8Array], images: CustomImages) -> Iterator[str]:
    """What the images are taken for: splits and size, classes in order with their counts, and what was done to them."""
    channels, height, width = spec.image_shape
    sizes = (spec.num_train - spec.num_validation, spec.num_validation, spec.num_test)
    yield (
        f"data set {spec.name}: {' / '.join(f'{size:,}' for size in sizes)} images to train / validate / test, "
        f"{len(spec.class_names)} classes, {channels}×{height}×{width} ({kind_of(channels)})"
    )
    labels = np.concatenate([arrays["train_labels"], arrays["test_labels"]])
    counts = np.bincount(labels, minlength=len(spec.class_names))
    named = [
        f"{label} {name} ({count:,})" for label, (name, count) in enumerate(zip(spec.class_names, counts, strict=True))
    ]
    more = f" and {len(named) - NAMED_CLASSES} more" if len(named) > NAMED_CLASSES else ""
    yield f"classes: {', '.join(named[:NAMED_CLASSES])}{more}"
    yield from images.notes
    if images.skipped:
        yield f"{len(images.skipped):,} unreadable images were left out; {SKIPPED} beside the arrays names them"


def custom_names(data_dir: Path) -> tuple[str, ...]:
    """Every custom data set in $AAT_DATA and `data_dir`, sorted."""
    folders = {path.parent.name for root in roots(data_dir) for path in root.glob(f"*/{DESCRIPTION}")}
    return tuple(sorted(name for name in folders if NAME.fullmatch(name)))


def find(name: str, data_dir: Path) -> tuple[DatasetSpec, Path] | None:
    """Return the spec of a name and the folder of its arrays; None if there are none. Raises DatasetDamaged."""
    if not NAME.fullmatch(name):
        return None
    for root in roots(data_dir):
        path = root / name / DESCRIPTION
        if path.is_file():
            stat = path.stat()
            return _read(path, (stat.st_mtime_ns, stat.st_size)), path.parent
    return None


@lru_cache(maxsize=64)
def _read(path: Path, stamp: tuple[int, int]) -> DatasetSpec:
    """The spec in a file, read once until the file changes; `stamp` is only the cache's key."""
    with named_if_damaged(path, f"delete {path.parent} and add the images again, which gives the same name"):
        spec = SPECS_AS_JSON.validate_json(path.read_bytes())
        if spec.name != path.parent.name or not spec.name.endswith(_content(spec)):
            raise ValueError("it describes other images than its folder is named after")
    return spec


def _with_test_part(custom: CustomImages) -> dict[str, UInt8Array]:
    """All four arrays; test images are drawn from the training images of each class where none were given."""
    if "test_images" in custom.arrays:
        return custom.arrays
    images, labels = custom.arrays["train_images"], custom.arrays["train_labels"]
    test = np.zeros(len(labels), dtype=bool)
    test[stratified_sample(labels, max(1, len(labels) // TEST_SHARE))] = True
    return {
        "train_images": images[~test],
        "train_labels": labels[~test],
        "test_images": images[test],
        "test_labels": labels[test],
    }


def _describe(title: str, arrays: Mapping[str, UInt8Array], images: CustomImages) -> DatasetSpec:
    channels, height, width = arrays["train_images"].shape[1:]
    num_train = len(arrays["train_labels"])
    spec = DatasetSpec(
        name="",
        num_train=num_train,
        num_validation=images.num_validation or max(1, num_train // VALIDATION_SHARE),
        validation_last=images.num_validation is not None,
        num_test=len(arrays["test_labels"]),
        image_shape=(channels, height, width),
        class_names=images.class_names,
        sha256={stem: digest(arrays[stem]) for stem in STEMS},
    )
    readable = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:24].rstrip("-") or "images"
    return replace(spec, name=f"{readable}-{_content(spec)}")


def _content(spec: DatasetSpec) -> str:
    """Eight hex digits of the fields that describe the images."""
    content: dict[str, Any] = {"name": "", **{field: getattr(spec, field) for field in NAMED_AFTER}}
    if spec.validation_last:  # else left out, as when the first were named
        content["validation_last"] = True
    content["torchvision_class"] = spec.torchvision_class or ""  # "" was written for None when the first were named
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _is_kept(spec: DatasetSpec, data_dir: Path) -> bool:
    """Whether these images are in the cache, undamaged."""
    try:
        location = find(spec.name, data_dir)
        return location is not None and bool(map_arrays(*location))
    except DatasetDamaged:
        return False
