"""One's own images: read in any layout, split once and for ever, kept under a name made of their content."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from custom_images import CLASSES, make_images, write_files, write_image_folder
from full_disk import disk_full_at
from PIL import Image

from aat_explore import datasets
from aat_explore.dataset_specs import SPECS, STEMS
from aat_explore.datasets import DatasetDamaged, DatasetNotFound
from aat_explore.errors import AATError

NAMES = tuple(sorted(CLASSES))


pytestmark = pytest.mark.usefixtures("no_other_data")


def stored(name, cache):
    """The prepared arrays of a data set."""
    return {stem: np.load(cache / "data" / name / f"{stem}.npy") for stem in STEMS}


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


# Layouts


def test_an_image_folder_is_read_as_torchvisions(tmp_path):
    from torchvision.datasets import ImageFolder

    for part, seed in (("train", 0), ("test", 1)):
        write_image_folder(tmp_path / "photos" / part, seed=seed)
    odd = tmp_path / "photos" / "train" / "disc"
    (odd / "below").mkdir()
    (odd / "000.png").rename(odd / "below" / "Z.PNG")
    (odd / "notes.txt").write_text("no image")
    (tmp_path / "photos" / "train" / ".hidden").mkdir()
    shutil.copy(odd / "below" / "Z.PNG", odd / "a.bmp")
    name = datasets.add(tmp_path / "photos", cache_dir=tmp_path)
    shutil.rmtree(tmp_path / "photos" / "train" / ".hidden")  # which torchvision takes for a class
    arrays = stored(name, tmp_path)
    for part in ("train", "test"):
        theirs = ImageFolder(tmp_path / "photos" / part)
        assert theirs.classes == list(datasets.load(name, cache_dir=tmp_path).class_names)
        np.testing.assert_array_equal(arrays[f"{part}_labels"], theirs.targets)
        pixels = np.stack([np.asarray(image).transpose(2, 0, 1) for image, _ in theirs])
        np.testing.assert_array_equal(arrays[f"{part}_images"], pixels)


def test_the_same_images_have_the_same_name_in_every_layout(tmp_path):
    images, labels = write_image_folder(tmp_path / "files")
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "train_images.npy", np.asfortranarray(images.transpose(0, 2, 3, 1)))
    np.save(tmp_path / "npy" / "train_labels.npy", labels.astype(np.int16))
    (tmp_path / "npy" / "class_names.txt").write_text("\n".join(NAMES) + "\n")
    given = {"train_images": images, "train_labels": labels, "class_names": NAMES}
    sources = [
        tmp_path / "files",
        str(tmp_path / "npy"),
        given,
        given | {"train_images": (images / 255).astype(np.float32)},
        given | {"train_images": torch.from_numpy(images).float() / 255, "train_labels": torch.from_numpy(labels)},
        given | {"train_images": images.transpose(0, 2, 3, 1)},
    ]
    found = {datasets.add(source, name="same", cache_dir=tmp_path / str(at)) for at, source in enumerate(sources)}
    assert len(found) == 1
    for at in range(len(sources)):
        data = datasets.load(next(iter(found)), cache_dir=tmp_path / str(at))
        assert data.class_names == NAMES
        every = np.concatenate([split.images() for split in (data.train, data.validation, data.test)])
        assert sorted(image.tobytes() for image in every) == sorted(image.tobytes() for image in images)


@pytest.mark.parametrize("axis", [None, 1, 3])
def test_grey_images_have_one_channel_wherever_it_stands(tmp_path, axis):
    images, labels = make_images()
    grey = images[:, 0] if axis is None else np.expand_dims(images[:, 0], axis)
    name = datasets.add({"train_images": grey, "train_labels": labels}, cache_dir=tmp_path)
    write_files(tmp_path / "files", *(images[:, :1], labels))
    files = datasets.add(tmp_path / "files", cache_dir=tmp_path)
    assert datasets.load(name, cache_dir=tmp_path).image_shape == (1, 20, 20)
    assert datasets.load(files, cache_dir=tmp_path).image_shape == (1, 20, 20)
    assert datasets.load(name, cache_dir=tmp_path).class_names == ("0", "1", "2")


@pytest.mark.parametrize("k", [0, 1, 127, 128, 254, 255])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_float_is_rounded_to_the_nearest_byte(tmp_path, dtype, k):
    images, labels = make_images()
    images = np.full(images.shape, dtype(k / 255))
    name = datasets.add({"train_images": images, "train_labels": labels}, cache_dir=tmp_path)
    assert set(stored(name, tmp_path)["train_images"].flat) == {k}


def test_resize_crops_the_middle_square(tmp_path):
    place = tmp_path / "photos"
    for at, name in enumerate("ab"):
        (place / name).mkdir(parents=True)
        for k in range(3):
            image = np.zeros((8, 16 + 4 * k), dtype=np.uint8)
            image[:, 4 + 2 * k : 12 + 2 * k] = 100 + at
            Image.fromarray(image).save(place / name / f"{k}.png")
    arrays = stored(datasets.add(place, resize=4, cache_dir=tmp_path), tmp_path)
    assert arrays["train_images"].shape[1:] == (1, 4, 4)
    assert np.ptp(arrays["train_images"]) < 10  # where nothing is cropped, a half is black


# Splits


def test_without_a_test_part_a_sixth_of_each_class_is_for_testing_and_a_tenth_of_the_rest_for_validation(tmp_path):
    images, labels = make_images(count=600)
    name = datasets.add({"train_images": images, "train_labels": labels}, cache_dir=tmp_path)
    data = datasets.load(name, cache_dir=tmp_path)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [450, 50, 100]
    for split in (data.train, data.validation, data.test):
        assert np.ptp(np.bincount(split.labels, minlength=3)) <= 1
    every = np.concatenate([split.images() for split in (data.train, data.validation, data.test)])
    assert len({image.tobytes() for image in every}) == 600
    assert datasets.num_train(name, cache_dir=tmp_path) == 450


def test_the_split_and_the_name_are_pinned(tmp_path):
    images = (np.arange(60 * 16 * 16) % 251).astype(np.uint8).reshape(60, 16, 16)
    source = {"train_images": images, "train_labels": np.arange(60) ** 2 % 3 % 2}
    assert datasets.add(source, cache_dir=tmp_path) == "arrays-e9f0b549"


def test_three_images_of_two_classes_are_enough(tmp_path):
    images, labels = make_images()
    images, labels = images[labels < 2][:6], labels[labels < 2][:6]
    name = datasets.add({"train_images": images, "train_labels": labels}, cache_dir=tmp_path)
    data = datasets.load(name, cache_dir=tmp_path)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [4, 1, 1]
    assert set(data.train.labels) == {0, 1}


def test_a_given_test_part_is_left_as_it_is(tmp_path):
    write_image_folder(tmp_path / "photos" / "train")
    images, labels = write_image_folder(tmp_path / "photos" / "val", count=9, seed=1)
    data = datasets.load(datasets.add(tmp_path / "photos", cache_dir=tmp_path), cache_dir=tmp_path)
    np.testing.assert_array_equal(data.test.images(), images)
    np.testing.assert_array_equal(data.test.labels, labels)
    assert [len(data.train), len(data.validation)] == [33, 3]


# Kept by content


def test_the_same_images_are_written_once_and_the_folder_is_not_needed_again(tmp_path):
    write_image_folder(tmp_path / "My Photos!")
    name = datasets.add(tmp_path / "My Photos!", cache_dir=tmp_path)
    assert re.fullmatch(r"my-photos-[0-9a-f]{8}", name)
    before = files_of(tmp_path / "data")
    assert datasets.add(tmp_path / "My Photos!", cache_dir=tmp_path) == name
    assert files_of(tmp_path / "data") == before
    shutil.rmtree(tmp_path / "My Photos!")
    data = datasets.load(name, cache_dir=tmp_path, prepare=False)
    assert isinstance(data.train.stored, np.memmap)
    assert data is datasets.load(name, cache_dir=tmp_path)  # verified once a process
    assert name in datasets.names(tmp_path)


def change_a_pixel(given):
    given["train_images"][0, 0, 0, 0] ^= 1


def change_a_label(given):
    given["train_labels"][0] = 1


def change_a_class_name(given):
    given["class_names"] = ("x", "y", "z")


def drop_an_image(given):
    given["train_images"], given["train_labels"] = given["train_images"][1:], given["train_labels"][1:]


@pytest.mark.parametrize("change", [change_a_pixel, change_a_label, change_a_class_name, drop_an_image])
def test_other_content_has_another_name_and_leaves_the_old_as_it_was(tmp_path, change):
    images, labels = make_images()
    given = {"train_images": images.copy(), "train_labels": labels.copy(), "class_names": CLASSES}
    name = datasets.add(given, cache_dir=tmp_path)
    before = files_of(tmp_path / "data" / name)
    change(given)
    assert datasets.add(given, cache_dir=tmp_path) != name
    assert files_of(tmp_path / "data" / name) == before


def test_aat_data_is_looked_in_first(tmp_path, monkeypatch):
    write_image_folder(tmp_path / "photos")
    name = datasets.add(tmp_path / "photos", cache_dir=tmp_path)
    monkeypatch.setenv("AAT_DATA", str(tmp_path / "data"))
    elsewhere = tmp_path / "elsewhere"
    assert name in datasets.names(elsewhere)
    assert datasets.load(name, cache_dir=elsewhere).image_shape == (3, 20, 20)
    assert datasets.add(tmp_path / "photos", cache_dir=elsewhere) == name
    assert not elsewhere.exists()


def test_an_import_that_is_cut_off_is_no_data_set_and_is_done_again(tmp_path):
    write_image_folder(tmp_path / "photos")
    with disk_full_at("test_labels"), pytest.raises(AATError, match=r"cannot write .*No space left"):
        datasets.add(tmp_path / "photos", cache_dir=tmp_path)
    (left,) = (tmp_path / "data").iterdir()
    assert left.name not in datasets.names(tmp_path)
    with pytest.raises(DatasetNotFound, match="add its images again, which gives the same name"):
        datasets.load(left.name, cache_dir=tmp_path)
    assert datasets.add(tmp_path / "photos", cache_dir=tmp_path) == left.name
    assert datasets.load(left.name, cache_dir=tmp_path).num_classes == 3


def test_two_that_add_the_same_images_at_once_do_not_disturb_each_other(tmp_path, monkeypatch):
    write_image_folder(tmp_path / "photos")
    name = datasets.add(tmp_path / "photos", cache_dir=tmp_path)
    save, seen = np.save, []

    def look(path, array, **options):
        save(path, array, **options)
        seen.append(datasets.load(name, cache_dir=tmp_path).num_classes)

    monkeypatch.setattr(np, "save", look)
    monkeypatch.setattr(datasets.custom, "_is_kept", lambda *asked: False)  # the second did not see them yet
    assert datasets.add(tmp_path / "photos", cache_dir=tmp_path) == name
    assert seen == [3] * 4


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("lost", [False, True])
def test_damage_is_named_and_adding_the_images_again_mends_it(tmp_path, stem, lost):
    write_image_folder(tmp_path / "photos")
    name = datasets.add(tmp_path / "photos", cache_dir=tmp_path)
    path = tmp_path / "data" / name / f"{stem}.npy"
    if lost:
        path.unlink()
    else:
        array = np.load(path)
        array.flat[0] ^= 1
        np.save(path, array)
    with pytest.raises(
        DatasetDamaged, match=rf"{stem}\.npy is damaged: .*; delete its folder and add the images again"
    ):
        datasets.load(name, cache_dir=tmp_path)
    assert datasets.add(tmp_path / "photos", cache_dir=tmp_path) == name
    assert datasets.load(name, cache_dir=tmp_path).num_classes == 3


@pytest.mark.parametrize(
    "change", [{"num_validation": 1}, {"class_names": ["a", "b", "c"]}, {"name": "b-12345678"}, {}]
)
def test_a_description_of_other_images_is_damage(tmp_path, change):
    write_image_folder(tmp_path / "photos")
    name = datasets.add(tmp_path / "photos", cache_dir=tmp_path)
    path = tmp_path / "data" / name / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change) if change else "{")
    with pytest.raises(DatasetDamaged, match=r"dataset\.json is damaged"):
        datasets.load(name, cache_dir=tmp_path)
    with pytest.raises(DatasetDamaged, match=r"dataset\.json is damaged"):
        datasets.num_train(name, cache_dir=tmp_path)


@pytest.mark.parametrize("name", ["../photos-12345678", "/photos-12345678", "photos", "", "Photos-12345678"])
def test_no_name_leads_out_of_the_cache(tmp_path, name):
    with pytest.raises(AATError, match=f"is unknown; choose one of fashion-mini, {', '.join(SPECS)}, or add"):
        datasets.load(name, cache_dir=tmp_path)


def test_adding_never_imports_torch(tmp_path):
    write_image_folder(tmp_path / "photos")
    program = (
        "import sys; from aat_explore import datasets; datasets.load(datasets.add('photos'))\n"
        "assert not {'torch', 'torchvision', 'streamlit'} & set(sys.modules)"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=tmp_path)
