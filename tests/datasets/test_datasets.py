"""The images: found where they are, verified, split once and for ever."""

import dataclasses
import gzip
import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from full_disk import disk_full_at
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aat_explore import datasets
from aat_explore.dataset_specs import SPECS, STEMS
from aat_explore.datasets import DatasetDamaged, DatasetNotFound, sources
from aat_explore.errors import AATError

SMALL = {"num_train": 120, "num_validation": 20, "num_test": 40, "sha256": {}}
PAPER_SIZES = {"mnist": (55_000, 5_000), "fashion-mnist": (55_000, 5_000), "cifar10": (40_000, 10_000)}


@pytest.fixture(autouse=True)
def only_the_folders_of_the_test(monkeypatch, tmp_path):
    monkeypatch.delenv("AAT_DATA", raising=False)
    for name, spec in SPECS.items():
        elsewhere = (str(tmp_path / "debian"),) if spec.other_folders else ()
        # a new object: nothing is cached for it
        monkeypatch.setitem(SPECS, name, dataclasses.replace(spec, other_folders=elsewhere))


@pytest.fixture
def small(monkeypatch):
    """Every full set shrunk to 160 images without published digests."""
    for name, spec in SPECS.items():
        monkeypatch.setitem(SPECS, name, dataclasses.replace(spec, **SMALL))


def make_arrays(name, seed=0):
    spec, rng = SPECS[name], np.random.default_rng(seed)
    arrays = {stem: rng.integers(0, 256, spec.shape(stem), dtype=np.uint8) for stem in STEMS}
    for part in ("train", "test"):
        arrays[f"{part}_labels"] = (np.arange(spec.shape(f"{part}_labels")[0]) % 10).astype(np.uint8)
    return arrays


def write_prepared(root, name, seed=0):
    arrays = make_arrays(name, seed)
    (root / name).mkdir(parents=True)
    for stem, array in arrays.items():
        np.save(root / name / f"{stem}.npy", array)
    return arrays


def write_idx(folder, arrays, compress=False):
    folder.mkdir(parents=True)
    for stem, array in arrays.items():
        part, what = stem.replace("test", "t10k").split("_")
        array = array[:, 0] if what == "images" else array
        content = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
        name = f"{part}-{what}-idx{array.ndim}-ubyte"
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def write_cifar_batches(folder, arrays, monkeypatch):
    from torchvision.datasets import CIFAR10

    folder.mkdir(parents=True)
    parts = {f"data_batch_{k + 1}": ("train", slice(24 * k, 24 * (k + 1))) for k in range(5)}
    md5s = {}
    for file, (part, rows) in {**parts, "test_batch": ("test", slice(None))}.items():
        images, labels = arrays[f"{part}_images"][rows], arrays[f"{part}_labels"][rows]
        content = pickle.dumps({"data": images.reshape(len(images), -1), "labels": labels.tolist()})
        (folder / file).write_bytes(content)
        md5s[file] = hashlib.md5(content).hexdigest()
    meta = pickle.dumps({"label_names": list(SPECS["cifar10"].class_names)})
    (folder / "batches.meta").write_bytes(meta)
    monkeypatch.setattr(CIFAR10, "train_list", [[file, md5s[file]] for file in parts])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5s["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": hashlib.md5(meta).hexdigest()})


def assert_same_pixels(dataset, arrays):
    for split, part in ((dataset.train, "train"), (dataset.validation, "train"), (dataset.test, "test")):
        np.testing.assert_array_equal(split.images(), arrays[f"{part}_images"][split.rows])
        np.testing.assert_array_equal(split.labels, arrays[f"{part}_labels"][split.rows])


# Splits


@given(hnp.arrays(np.uint8, st.integers(1, 300), elements=st.integers(0, 9)), st.data())
def test_a_stratified_sample_has_each_class_in_proportion_to_within_one(labels, data):
    size = data.draw(st.integers(0, len(labels)))
    sample = datasets.stratified_sample(labels, size)
    assert len(sample) == size
    assert (np.diff(sample) > 0).all()
    exact = np.bincount(labels, minlength=10) * size / len(labels)
    assert (np.abs(np.bincount(labels[sample], minlength=10) - exact) < 1).all()


def test_split_is_pinned():
    labels = (np.arange(1000) ** 2 % 7).astype(np.uint8)
    sample = datasets.stratified_sample(labels, 100)
    assert datasets.digest(sample) == "e6490f612d0a30e4696d46029b75199a49bb11c020171ff7e2c2c7aaf8e047fe"


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "train", "validation"),
    [
        ("mnist", "4a18cb1da168dde0", "466dad1d68a56325"),
        ("fashion-mnist", "4abc375847cd90b4", "8013c937a8abd52f"),
        ("cifar10", "2d0fe1ff495e4875", "c5d2c0d2f4771d87"),
    ],
)
def test_the_full_sets_are_split_as_ever(real_data, monkeypatch, name, train, validation):
    monkeypatch.setenv("AAT_DATA", str(real_data))
    full = datasets.load(name, download=False)
    assert datasets.digest(full.train.rows)[:16] == train
    assert datasets.digest(full.validation.rows)[:16] == validation
    np.testing.assert_array_equal(full.test.rows, np.arange(10_000))


@pytest.mark.realdata
@pytest.mark.parametrize("name", PAPER_SIZES)
def test_splits_are_disjoint_and_stratified(real_data, monkeypatch, name):
    monkeypatch.setenv("AAT_DATA", str(real_data))
    full = datasets.load(name, download=False)
    assert (len(full.train), len(full.validation), len(full.test)) == (*PAPER_SIZES[name], 10_000)
    rows = np.concatenate([full.train.rows, full.validation.rows])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(rows)))
    train, validation = (np.bincount(split.labels, minlength=10) for split in (full.train, full.validation))
    exact = (train + validation) * len(full.validation) / len(rows)
    assert (np.abs(validation - exact) < 1).all()


@pytest.mark.realdata
@pytest.mark.parametrize("name", PAPER_SIZES)
def test_images_are_those_rows_of_the_memory_map(real_data, monkeypatch, name):
    monkeypatch.setenv("AAT_DATA", str(real_data))
    full = datasets.load(name, download=False)
    assert isinstance(full.train.stored, np.memmap)
    chosen = np.array([7, 3, 3, 39_999])
    images = full.train.images(chosen)
    assert type(images) is np.ndarray
    published = np.load(real_data / name / "train_images.npy")
    np.testing.assert_array_equal(images, published[full.train.rows[chosen]])
    np.testing.assert_array_equal(full.validation.images(slice(2, 9)), published[full.validation.rows[2:9]])
    labels = np.load(real_data / name / "train_labels.npy")
    np.testing.assert_array_equal(full.train.labels, labels[full.train.rows])
    assert full.image_shape == published.shape[1:]


def test_no_caller_can_change_what_the_next_one_gets():
    mini = datasets.load("fashion-mini")
    before = mini.train.images(slice(0, 1))
    mini.train.images(slice(0, 1))[:] = 0
    np.testing.assert_array_equal(mini.train.images(slice(0, 1)), before)
    with pytest.raises(ValueError, match="read-only"):
        mini.train.labels[0] = 1


# fashion-mini


def test_mini_is_small_and_quick():
    mini = datasets.load("fashion-mini")
    assert datasets.MINI_FILE.stat().st_size <= 4_000_000
    assert (len(mini.train), len(mini.validation), len(mini.test)) == (5_000, 1_000, 2_000)
    assert datasets.load("fashion-mini") is mini  # read once a process
    assert (mini.num_classes, mini.image_shape) == (10, (1, 28, 28))


def test_mini_is_balanced_and_disjoint():
    mini = datasets.load("fashion-mini")
    for split in (mini.train, mini.validation, mini.test):
        assert set(np.bincount(split.labels)) == {len(split) // 10}
        assert (np.diff(split.rows) > 0).all()
        assert split.images().shape == (len(split), 1, 28, 28)
    assert not np.intersect1d(mini.train.rows, mini.validation.rows).size


@pytest.mark.realdata
def test_mini_rows_point_at_the_same_pixels_in_the_full_set(real_data, monkeypatch):
    mini = datasets.load("fashion-mini")
    published = {stem: np.load(real_data / "fashion-mnist" / f"{stem}.npy", mmap_mode="r") for stem in STEMS}
    assert_same_pixels(mini, published)


@pytest.mark.realdata
def test_no_mini_image_changes_sides_in_the_full_set(real_data, monkeypatch):
    monkeypatch.setenv("AAT_DATA", str(real_data))
    mini, full = datasets.load("fashion-mini"), datasets.load("fashion-mnist", download=False)
    assert np.isin(mini.train.rows, full.train.rows).all()
    assert np.isin(mini.validation.rows, full.validation.rows).all()


# Sources


@pytest.mark.usefixtures("small")
def test_sources_are_tried_in_order(tmp_path, monkeypatch):
    given, cache, name = tmp_path / "given", tmp_path / "cache", "fashion-mnist"
    monkeypatch.setenv("AAT_DATA", str(given))
    places = [  # best first
        lambda seed: write_prepared(given, name, seed),
        lambda seed: write_prepared(cache / "data", name, seed),
        lambda seed: write_idx(given / "FashionMNIST" / "raw", make_arrays(name, seed)),
        lambda seed: write_idx(cache / "data" / "FashionMNIST" / "raw", make_arrays(name, seed), compress=True),
        lambda seed: write_idx(tmp_path / "debian", make_arrays(name, seed), compress=True),
    ]
    for seed in reversed(range(len(places))):
        if seed > 0:
            shutil.rmtree(cache / "data" / name, ignore_errors=True)  # what worse raw files were converted to
        places[seed](seed)
        assert_same_pixels(datasets.load(name, cache_dir=cache, download=False), make_arrays(name, seed))


WRITERS = {
    "idx": lambda folder, arrays, monkeypatch: write_idx(folder, arrays),
    "cifar-batches": write_cifar_batches,
}


def test_raw_files_of_every_format_can_be_made_here():
    assert WRITERS.keys() == sources.READERS.keys()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", SPECS)
def test_torchvision_layout_is_converted_once(tmp_path, monkeypatch, name):
    arrays, raw = make_arrays(name), tmp_path / "given" / SPECS[name].raw_folder
    WRITERS[SPECS[name].file_format](raw, arrays, monkeypatch)
    monkeypatch.setenv("AAT_DATA", str(tmp_path / "given"))
    assert_same_pixels(datasets.load(name, cache_dir=tmp_path, download=False), arrays)
    converted = tmp_path / "data" / name
    assert {path.name for path in converted.iterdir()} == {"sha256.json", *(f"{stem}.npy" for stem in STEMS)}
    recorded = json.loads((converted / "sha256.json").read_text())
    assert recorded == {stem: hashlib.sha256(array.tobytes()).hexdigest() for stem, array in arrays.items()}

    shutil.rmtree(tmp_path / "given")
    again = datasets.load(name, cache_dir=tmp_path, download=False)
    assert isinstance(again.train.stored, np.memmap)
    assert_same_pixels(again, arrays)


@pytest.mark.usefixtures("small")
def test_an_interrupted_conversion_is_done_again(tmp_path):
    arrays = make_arrays("mnist")
    write_idx(tmp_path / "data" / "MNIST" / "raw", arrays)
    (tmp_path / "data" / "mnist").mkdir()
    (tmp_path / "data" / "mnist" / "sha256.json").write_text("the record of arrays that are gone")
    said = r"cannot write .*No space left.*; free some space or give another cache_dir"
    with disk_full_at("test_images"), pytest.raises(AATError, match=said):
        datasets.load("mnist", cache_dir=tmp_path, download=False)
    assert {path.name for path in (tmp_path / "data" / "mnist").iterdir()} == {"train_images.npy", "train_labels.npy"}

    assert_same_pixels(datasets.load("mnist", cache_dir=tmp_path, download=False), arrays)


@pytest.mark.usefixtures("small")
def test_a_download_is_converted_and_leaves_no_raw_files(tmp_path, monkeypatch):
    import torchvision

    arrays = make_arrays("mnist")
    monkeypatch.setattr(
        torchvision.datasets, "MNIST", lambda root, download: write_idx(Path(root) / "MNIST" / "raw", arrays)
    )
    assert_same_pixels(datasets.load("mnist", cache_dir=tmp_path), arrays)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mnist"]


@pytest.mark.usefixtures("small")
def test_a_set_that_is_not_published_is_read_like_any_other_and_says_why_it_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setitem(SPECS, "mnist", dataclasses.replace(SPECS["mnist"], torchvision_class=None))
    with pytest.raises(DatasetNotFound, match="torchvision_class=None, so there is nothing to download it by; set AAT"):
        datasets.load("mnist", cache_dir=tmp_path)
    arrays = make_arrays("mnist")
    write_idx(tmp_path / "data" / "MNIST" / "raw", arrays)
    assert_same_pixels(datasets.load("mnist", cache_dir=tmp_path), arrays)


@pytest.mark.parametrize("name", SPECS)
def test_no_data_and_no_network_names_the_folders_and_the_remedy(tmp_path, monkeypatch, name):
    import torchvision

    def offline(*args, **kwargs):
        raise URLError("Temporary failure in name resolution\n")

    monkeypatch.setattr(torchvision.datasets, SPECS[name].torchvision_class, offline)
    monkeypatch.setenv("AAT_DATA", str(tmp_path / "given"))
    with pytest.raises(DatasetNotFound) as error:
        datasets.load(name, cache_dir=tmp_path / "cache")
    message = str(error.value)
    raw = SPECS[name].raw_folder
    for root in (tmp_path / "given", tmp_path / "cache" / "data"):
        assert str(root / name) in message
        assert str(root / raw) in message
    assert (str(tmp_path / "debian") in message) == bool(SPECS[name].other_folders)
    assert "Temporary failure in name resolution" in message
    assert "set AAT_DATA" in message
    assert "or connect and run again, or use --dataset fashion-mini" in message
    assert "\n" not in message
    assert not list((tmp_path / "cache" / "data").iterdir())


@pytest.mark.usefixtures("small")
def test_without_prepare_raw_files_are_not_converted(tmp_path):
    """What the dashboard asks for: opening a page must not write, nor read CIFAR10's pickles."""
    arrays = make_arrays("mnist", 0)
    write_idx(tmp_path / "data" / "MNIST" / "raw", arrays)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DatasetNotFound, match=r"no prepared arrays.*which prepares them"):
        datasets.load("mnist", cache_dir=tmp_path, prepare=False)
    assert sorted(tmp_path.rglob("*")) == before
    datasets.load("mnist", cache_dir=tmp_path, download=False)
    assert_same_pixels(datasets.load("mnist", cache_dir=tmp_path, prepare=False), arrays)


def test_without_download_nothing_is_fetched_or_written(tmp_path):
    with pytest.raises(DatasetNotFound, match="downloading is off"):
        datasets.load("mnist", cache_dir=tmp_path / "cache", download=False)
    assert not (tmp_path / "cache").exists()


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(AATError, match="'svhn' is unknown; choose one of fashion-mini, mnist, fashion-mnist, cifar10"):
        datasets.load("svhn")


@pytest.mark.usefixtures("small")
def test_loading_never_imports_torch(tmp_path):
    write_prepared(tmp_path, "mnist")
    program = f"""
import dataclasses, sys
from aat_explore import datasets
from aat_explore.dataset_specs import SPECS
SPECS["mnist"] = dataclasses.replace(SPECS["mnist"], **{SMALL})
for name in ("mnist", "fashion-mini"):
    datasets.load(name).train.images(slice(3))
assert not {{"torch", "torchvision", "streamlit"}} & set(sys.modules)
"""
    repository = Path(__file__).parents[2]
    environment = {"AAT_DATA": str(tmp_path), "PYTHONPATH": str(repository)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=tmp_path)


# Damage


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def break_header(path):
    path.write_bytes(b"\x93NUMPY\x01\x00\x76\x00{((((" + path.read_bytes()[14:])


def change_dtype(path):
    np.save(path, np.load(path).astype(np.float32))


def drop_a_row(path):
    np.save(path, np.load(path)[1:])


def reorder_memory(path):
    np.save(path, np.asfortranarray(np.load(path)))


def pickle_it(path):
    np.save(path, np.load(path).astype(object), allow_pickle=True)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("damage", [truncate, empty, break_header, change_dtype, drop_a_row, reorder_memory, pickle_it])
def test_damaged_file_is_named(tmp_path, monkeypatch, damage):
    write_prepared(tmp_path, "cifar10")
    monkeypatch.setenv("AAT_DATA", str(tmp_path))
    path = tmp_path / "cifar10" / "test_images.npy"
    damage(path)
    with pytest.raises(DatasetDamaged) as error:
        datasets.load("cifar10", cache_dir=tmp_path / "cache")
    assert str(error.value).startswith(f"{path} is damaged: ")
    assert str(error.value).endswith("delete it and prepare or download cifar10 again, or use --dataset fashion-mini")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("small")
def test_a_label_beyond_the_last_class_is_damage(tmp_path, monkeypatch):
    labels = write_prepared(tmp_path, "mnist")["train_labels"]
    monkeypatch.setenv("AAT_DATA", str(tmp_path))
    labels[5] = 10
    np.save(tmp_path / "mnist" / "train_labels.npy", labels)
    with pytest.raises(DatasetDamaged, match=r"train_labels\.npy is damaged: label 10 exceeds the last class, 9"):
        datasets.load("mnist")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("stem", STEMS)
def test_one_changed_pixel_differs_from_the_recorded_digest(tmp_path, stem):
    write_idx(tmp_path / "data" / "MNIST" / "raw", make_arrays("mnist"))
    datasets.load("mnist", cache_dir=tmp_path, download=False)
    path = tmp_path / "data" / "mnist" / f"{stem}.npy"
    array = np.load(path)
    array.flat[-1] ^= 1
    np.save(path, array)
    with pytest.raises(DatasetDamaged, match=rf"{stem}\.npy is damaged: its sha256 is not the recorded one"):
        datasets.load("mnist", cache_dir=tmp_path, download=False)


@pytest.mark.usefixtures("small")
def test_a_broken_record_of_digests_is_damage(tmp_path):
    write_prepared(tmp_path / "data", "mnist")
    (tmp_path / "data" / "mnist" / "sha256.json").write_text("{")
    with pytest.raises(DatasetDamaged, match=r"sha256\.json is damaged"):
        datasets.load("mnist", cache_dir=tmp_path, download=False)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_one_changed_pixel_differs_from_the_published_digest(real_data, tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    for stem in STEMS:
        (tmp_path / name / f"{stem}.npy").symlink_to((real_data / name / f"{stem}.npy").resolve())
    damaged = tmp_path / name / "test_images.npy"
    content = bytearray(damaged.read_bytes())
    content[-1000] ^= 1
    damaged.unlink()
    damaged.write_bytes(content)
    monkeypatch.setenv("AAT_DATA", str(tmp_path))
    with pytest.raises(DatasetDamaged, match=r"test_images\.npy is damaged: its sha256 is not the published one"):
        datasets.load(name, download=False)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("damage", [truncate, empty])
@pytest.mark.parametrize("compress", [False, True])
def test_a_damaged_raw_file_is_named_and_nothing_is_written(tmp_path, damage, compress):
    raw = tmp_path / "data" / "MNIST" / "raw"
    write_idx(raw, make_arrays("mnist"), compress)
    path = raw / ("t10k-labels-idx1-ubyte" + (".gz" if compress else ""))
    damage(path)
    with pytest.raises(DatasetDamaged) as error:
        datasets.load("mnist", cache_dir=tmp_path)
    assert str(error.value).startswith(f"{path} is damaged: ")
    assert not (tmp_path / "data" / "mnist").exists()


@pytest.mark.usefixtures("small")
def test_a_damaged_cifar_batch_is_named_and_never_unpickled(tmp_path, monkeypatch):
    raw = tmp_path / "data" / "cifar-10-batches-py"
    write_cifar_batches(raw, make_arrays("cifar10"), monkeypatch)
    (raw / "data_batch_3").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    monkeypatch.setattr(pickle, "load", lambda *args, **kwargs: pytest.fail("unpickled"))
    with pytest.raises(DatasetDamaged, match=r"data_batch_3 is damaged: its md5 is not the published one"):
        datasets.load("cifar10", cache_dir=tmp_path)


def test_a_damaged_mini_is_named(tmp_path, monkeypatch):
    content = bytearray(datasets.MINI_FILE.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "fashion_mini.npz"
    damaged.write_bytes(content)
    monkeypatch.setattr(datasets, "MINI_FILE", damaged)
    with pytest.raises(DatasetDamaged, match=r"fashion_mini\.npz is damaged: .*; reinstall aat-explore"):
        datasets.load("fashion-mini")


@pytest.mark.usefixtures("small")
def test_files_are_hashed_once_until_they_change(tmp_path, monkeypatch):
    write_idx(tmp_path / "data" / "MNIST" / "raw", make_arrays("mnist"))
    first = datasets.load("mnist", cache_dir=tmp_path, download=False)
    monkeypatch.setattr(sources, "digest", lambda *arrays: "hashed")
    assert datasets.load("mnist", cache_dir=tmp_path, download=False) is first
    path = tmp_path / "data" / "mnist" / "train_labels.npy"
    np.save(path, np.load(path))
    with pytest.raises(DatasetDamaged, match="sha256"):
        datasets.load("mnist", cache_dir=tmp_path, download=False)
