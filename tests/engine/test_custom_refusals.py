"""One's own images that do not fit: one line that names the file or the array, before anything is written."""

import re

import numpy as np
import pytest
from custom_images import make_images, write_files, write_image_folder
from PIL import Image

from aat_explore import datasets
from aat_explore.cli import main
from aat_explore.datasets import image_files
from aat_explore.errors import AATError

pytestmark = pytest.mark.usefixtures("no_other_data")


def broken_folders(root):
    """Folders that are no data set, by what is said of them."""
    images, labels = make_images()

    def files(name, *, only=slice(None), images=images, labels=labels):
        write_files(root / name, images[only], labels[only])
        return root / name

    (root / "empty").mkdir()
    yield root / "empty", r"dataset=.*empty holds no images; put them into .*<class>/\*\.png, or give train_images\.npy"
    yield root / "nowhere", r"dataset=.*nowhere is not a folder; give one that holds <class>/"
    yield files("single", only=labels == 0), r"single holds one class only, disc; give images of at least two"
    yield files("few", only=slice(0, 8)), r"class=_square_ has 2 training images in .*few; give at least 3"
    cut = files("cut") / "disc" / "003.png"
    cut.write_bytes(cut.read_bytes()[:200])
    yield root / "cut", r"disc/003\.png cannot be read as an image \(.*\); mend it or remove it"
    Image.new("RGB", (21, 20)).save(files("sizes") / "disc" / "003.png")
    sizes = (
        r"disc/003\.png is 21×20 RGB and .*_square_/002\.png 20×20 RGB; bring all to one size and kind \(--resize 32"
    )
    yield root / "sizes", sizes
    Image.new("L", (20, 20)).save(files("kinds") / "disc" / "003.png")
    yield root / "kinds", r"disc/003\.png is 20×20 grey and .*_square_/002\.png 20×20 RGB"
    Image.new("RGBA", (20, 20)).save(files("modes") / "disc" / "003.png")
    yield root / "modes", r"disc/003\.png has mode=RGBA; convert all images to RGB, or all to greyscale \(L\)"
    (files("hollow") / "zebra").mkdir()
    yield root / "hollow", r"class=zebra has no images in .*hollow; add some or remove its folder"
    files("parts/train")
    files("parts/test", only=labels != 0)
    yield root / "parts", r"class=disc is only in .*parts/train; give .*train and .*test the same class folders"
    for part in ("train", "test", "more"):
        files(f"three/{part}")
    yield root / "three", r"dataset=.*three has more beside train; keep train/, test/ and val/ alone"
    files("npy").joinpath("train_images.npy").write_bytes(b"no array")
    yield root / "npy", r"npy/train_images\.npy cannot be read as an array \(.*\); write it by numpy\.save"
    np.save(files("pickle") / "train_images.npy", images.astype(object), allow_pickle=True)
    yield root / "pickle", r"pickle/train_images\.npy cannot be read as an array"
    np.save(files("half") / "train_images.npy", images)
    yield root / "half", r"half/train_labels\.npy is missing; give train_images and train_labels"


def test_a_folder_that_is_no_data_set_is_refused_in_one_line_before_anything_is_written(tmp_path, capsys):
    for folder, said_of_it in broken_folders(tmp_path):
        assert main(["train", "--dataset", str(folder), "--cache-dir", str(tmp_path / "cache")]) == 2
        printed = capsys.readouterr()
        assert re.search(said_of_it, printed.err), printed.err
        assert printed.err.count("\n") == 1
        assert not printed.out
    assert not (tmp_path / "cache").exists()


def without(given, name):
    return {other: array for other, array in given.items() if other != name}


IMAGES, LABELS = make_images()
GIVEN = {"train_images": IMAGES, "train_labels": LABELS, "test_images": IMAGES, "test_labels": LABELS}


@pytest.mark.parametrize(
    ("given", "said_of_it"),
    [
        (without(GIVEN, "train_labels"), r"train_labels is missing"),
        (without(GIVEN, "test_images"), r"test_images is missing; .* both or none of the test arrays"),
        (GIVEN | {"val_images": IMAGES}, r"val_images is not an array of a data set; use train_images, train_labels"),
        (GIVEN | {"train_images": IMAGES[:, 0, 0]}, r"train_images has shape \(36, 20\); use \(N, C, H, W\)"),
        (GIVEN | {"train_images": IMAGES[:, :2]}, r"train_images has shape \(36, 2, 20, 20\); use .* C = 1 or 3"),
        (GIVEN | {"train_images": IMAGES[:0]}, r"train_images holds no images"),
        (GIVEN | {"train_images": IMAGES.astype(int)}, r"train_images is int64; use uint8 0…255 .*, or floats"),
        (GIVEN | {"train_images": IMAGES / 1.0}, r"train_images=\d+ is outside \[0, 1\]; undo the normalisation"),
        (GIVEN | {"train_images": np.full(IMAGES.shape, np.nan)}, r"train_images=nan is outside \[0, 1\]"),
        (GIVEN | {"train_images": [[1], [2, 3]]}, r"train_images cannot be read as an array"),
        (GIVEN | {"test_images": IMAGES[:, :, 2:]}, r"test_images holds images of shape \(3, 18, 20\), the training"),
        (GIVEN | {"train_labels": LABELS[1:]}, r"train_labels has 35 labels for 36 images; give one for each"),
        (GIVEN | {"train_labels": LABELS - 1}, r"train_labels=-1 \(row 0\) is not in 0…255; number the classes"),
        (GIVEN | {"train_labels": LABELS + 254}, r"train_labels=256 \(row 2\) is not in 0…255"),
        (GIVEN | {"train_labels": LABELS / 1.0}, r"train_labels is float64 of shape \(36,\); use one integer an image"),
        (GIVEN | {"train_labels": LABELS == 0}, r"train_labels is bool"),
        (GIVEN | {"train_labels": np.eye(3, dtype=int)[LABELS]}, r"train_labels is int64 of shape \(36, 3\)"),
        (GIVEN | {"train_labels": 2 * LABELS}, r"class=1 has 0 training images in train_labels; give at least 3"),
        (GIVEN | {"test_labels": LABELS + 1}, r"test_labels=3 \(row 2\) is no class of the training images; drop"),
        (GIVEN | {"class_names": ("a", "b")}, r"class_names=a,b does not name 3 different classes"),
        (GIVEN | {"class_names": ("a", "b", "a")}, r"class_names=a,b,a does not name 3 different classes"),
        (GIVEN | {"train_labels": 0 * LABELS}, r"train_labels holds one class only, 0; give images of at least two"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_data_set_are_refused_by_name(tmp_path, given, said_of_it):
    with pytest.raises(AATError, match=f"^{said_of_it}") as error:
        datasets.add(given, cache_dir=tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_more_classes_than_a_byte_can_tell_apart_are_refused(tmp_path):
    for k in range(image_files.MOST_CLASSES + 1):
        (tmp_path / "many" / f"{k}").mkdir(parents=True)
        (tmp_path / "many" / f"{k}" / "0.png").touch()
    with pytest.raises(AATError, match=r"dataset=.*many has 257 classes; use at most 256"):
        datasets.add(tmp_path / "many", cache_dir=tmp_path)


@pytest.mark.parametrize("resize", [0, -3])
def test_resize_is_of_image_files_and_at_least_one_pixel(tmp_path, resize):
    write_image_folder(tmp_path / "photos")
    with pytest.raises(AATError, match=f"resize={resize} is less than 1"):
        datasets.add(tmp_path / "photos", resize=resize, cache_dir=tmp_path)
    with pytest.raises(AATError, match=f"resize={resize} has no meaning for arrays"):
        datasets.add(GIVEN, resize=resize, cache_dir=tmp_path)
