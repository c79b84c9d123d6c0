"""Image folders in every shape that users bring: understood as they meant it, or refused by name; never misread."""

import os
import re
import struct
import zlib

import numpy as np
import pytest
from custom_images import CLASSES, make_images, write_files, write_image_folder
from PIL import Image, ImageCms

from aat_explore import datasets
from aat_explore.cli import main
from aat_explore.datasets.decoding import UnfitError, UnreadableError, decode
from aat_explore.datasets.layouts import read_folder
from aat_explore.errors import AATError

pytestmark = pytest.mark.usefixtures("no_other_data")

GREY_OR_RGB = r"convert all images to RGB, or all to greyscale \(L\)"


# --- Splits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test"), [("Train", "Test"), ("TRAINING", "testing"), ("train", "Val"), ("Training", "Validation")]
)
def test_folders_of_splits_are_known_by_all_their_usual_names_in_capitals_too(tmp_path, train, test):
    for root, names in (("usual", ("train", "test")), ("own", (train, test))):
        for seed, name in enumerate(names):
            write_image_folder(tmp_path / root / name, seed=seed)
    name, same = (datasets.add(tmp_path / root, name="same", cache_dir=tmp_path) for root in ("usual", "own"))
    assert name == same
    assert datasets.load(name, cache_dir=tmp_path).class_names == tuple(sorted(CLASSES))


def test_a_validation_part_beside_a_test_part_is_the_validation_split_image_by_image(tmp_path):
    written = {
        part: write_image_folder(tmp_path / "photos" / part, seed=at) for at, part in enumerate(("train", "val"))
    }
    two = datasets.add(tmp_path / "photos", cache_dir=tmp_path)  # val is the test part of two
    written["test"] = write_image_folder(tmp_path / "photos" / "test", seed=2)
    three = datasets.add(tmp_path / "photos", cache_dir=tmp_path)
    data = datasets.load(three, cache_dir=tmp_path)
    for part, split in (("train", data.train), ("val", data.validation), ("test", data.test)):
        np.testing.assert_array_equal(split.images(), written[part][0])
        np.testing.assert_array_equal(split.labels, written[part][1])
    assert two != three
    images, labels = (np.concatenate([written[part][at] for part in ("train", "val")]) for at in (0, 1))
    given = {"train_images": images, "train_labels": labels, "class_names": tuple(sorted(CLASSES))}
    given |= {"test_images": written["test"][0], "test_labels": written["test"][1]}
    assert datasets.add(given, name="photos", cache_dir=tmp_path) != three  # the same images in other splits


def split_without_train(root):
    write_image_folder(root / "Test")
    write_image_folder(root / "Validation")
    return r"has Test/ with folders in it, but no train/; put the training classes into train/, or rename Test/"


def split_twice(root):
    write_image_folder(root / "train")
    write_image_folder(root / "Training")
    return r"has Training and train for its train part; keep one of them"


def split_and_class(root):
    write_image_folder(root / "train")
    write_image_folder(root / "more")
    return r"has more beside train; keep train/, test/ and val/ alone, each with a folder for each class"


def class_in_one_split_alone(root):
    write_image_folder(root / "train")
    write_files(root / "val", *make_images(count=2))
    write_image_folder(root / "test")
    return r"class=_square_ is only in .*train; give .*train and .*val the same class folders"


def link_to_the_folder_above(root):
    write_image_folder(root)
    (root / "disc" / "all").symlink_to(root)
    return r"disc/all is .*photos again, by a link; remove one of them"


def link_to_another_class(root):
    write_image_folder(root)
    (root / "ring").symlink_to(root / "disc")
    return r"ring is .*disc again, by a link; remove one of them"


def image_of_two_classes(root):
    write_image_folder(root)
    (root / "disc" / "x.png").symlink_to(root / "red bar" / "001.png")
    return r"red bar/001\.png is .*disc/x\.png again, by a link"


def image_of_two_splits(root):
    for part in ("train", "test"):
        write_image_folder(root / part)
    (root / "test" / "disc" / "x.png").hardlink_to(root / "train" / "disc" / "000.png")
    return r"test/disc/x\.png is .*train/disc/000\.png again, by a link"


def pipe(root):
    write_image_folder(root)
    os.mkfifo(root / "disc" / "x.png")
    return r"x\.png cannot be read as an image \(it is no regular file\)"


def link_to_nowhere(root):
    write_image_folder(root)
    (root / "disc" / "x.png").symlink_to(root / "nothing")
    return r"x\.png cannot be read as an image \(.*No such file"


def class_that_is_not_utf_8(root):
    write_image_folder(root)
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    return r"the class folder b'caf\\xe9' in .* has a name that is not UTF-8; rename it"


@pytest.mark.parametrize(
    "folder",
    [
        split_without_train,
        split_twice,
        split_and_class,
        class_in_one_split_alone,
        link_to_the_folder_above,
        link_to_another_class,
        image_of_two_classes,
        image_of_two_splits,
        pipe,
        link_to_nowhere,
        class_that_is_not_utf_8,
    ],
)
def test_what_would_be_misread_is_refused_in_one_line(tmp_path, folder):
    said = folder(tmp_path / "photos")
    with pytest.raises(AATError, match=said) as error:
        datasets.add(tmp_path / "photos", cache_dir=tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "data").exists()


def test_links_that_show_nothing_twice_are_followed(tmp_path):
    write_image_folder(tmp_path / "elsewhere")
    (tmp_path / "photos" / "disc").mkdir(parents=True)
    for image in (tmp_path / "elsewhere" / "disc").iterdir():
        (tmp_path / "photos" / "disc" / image.name).symlink_to(image)
    for name in CLASSES[1:]:
        (tmp_path / "photos" / name).symlink_to(tmp_path / "elsewhere" / name)
    names = [datasets.add(tmp_path / root, name="same", cache_dir=tmp_path) for root in ("elsewhere", "photos")]
    assert names[0] == names[1]


def test_an_import_says_what_it_understood(tmp_path, capsys):
    for seed, part in enumerate(("Train", "Test")):
        write_image_folder(tmp_path / "photos" / part, seed=seed)
    lines = []
    name = datasets.add(tmp_path / "photos", cache_dir=tmp_path, say=lines.append)
    assert lines == [
        f"data set {name}: 33 / 3 / 36 images to train / validate / test, 3 classes, 3×20×20 (RGB)",
        "classes: 0 _square_ (24), 1 disc (24), 2 red bar (24)",
        "Train/ is the train part, Test/ is the test part",
    ]
    assert main(["train", "--dataset", str(tmp_path / "photos"), "--cache-dir", str(tmp_path)]) == 2  # n is too large
    assert capsys.readouterr().out.splitlines() == lines


# --- Pixels ----------------------------------------------------------------------------------------------------------


def png(*, bits=8, colour=2, chunks=(), size=4):
    """A PNG of one value, with further chunks before its pixels."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    rows = (b"\0" + bytes([90] * (size * channels * bits // 8))) * size
    header = struct.pack(">IIBBBBB", size, size, bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    written = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + written


def tiff_of_16_bits():
    """A 4×4 RGB TIFF, uncompressed."""
    entries = [
        (256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 300),
        (277, 3, 1, 3), (278, 3, 1, 4), (279, 4, 1, 96),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    content = b"II*\0" + struct.pack("<I", 8) + directory
    return content.ljust(200, b"\0") + struct.pack("<HHH", 16, 16, 16).ljust(100, b"\0") + bytes(96)


UNFIT = {
    "grey16.png": (png(bits=16, colour=0), r"has 16 bits a channel; convert all images to 8 bits"),
    "rgb16.png": (png(bits=16), r"has 16 bits a channel; convert all images to 8 bits"),
    "rgb16.ppm": (b"P6 4 4 65535\n" + bytes(96), r"has 16 bits a channel"),
    "plain16.ppm": (b"P3 2 2 65535\n" + b"1 2 3 " * 4, r"has 16 bits a channel"),
    "grey16.pgm": (b"P5 4 4 65535\n" + bytes(32), r"has 16 bits a channel"),
    "rgb16.tif": (tiff_of_16_bits(), r"has 16 bits a channel"),
    "alpha.png": (png(colour=6), rf"has mode=RGBA; {GREY_OR_RGB}"),
    "grey_alpha.png": (png(colour=4), rf"has mode=LA; {GREY_OR_RGB}"),
    "transparent.png": (png(chunks=[(b"tRNS", bytes(6))]), rf"has a transparent colour; {GREY_OR_RGB}"),
    "gamma.png": (png(chunks=[(b"gAMA", struct.pack(">I", 100_000))]), r"has gamma=1; convert all images to sRGB"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_eight_bits_of_grey_or_rgb_cannot_hold_is_refused_by_name(tmp_path, name):
    content, said = UNFIT[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnfitError, match=f"^{re.escape(str(path))} {said}"):
        decode(path)


def test_a_file_of_several_frames_and_a_palette_are_refused_by_name(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
    for name in ("pages.tif", "moving.png", "moving.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        with pytest.raises(UnfitError, match=r"holds 3 frames; keep one image a file"):
            decode(tmp_path / name)
    frames[0].quantize(2).save(tmp_path / "palette.png")
    with pytest.raises(UnfitError, match=rf"has mode=P; {GREY_OR_RGB}"):
        decode(tmp_path / "palette.png")


def test_a_gamma_of_srgb_is_no_reason_to_refuse(tmp_path):
    (tmp_path / "srgb.png").write_bytes(png(chunks=[(b"gAMA", struct.pack(">I", 45_455))]))
    assert decode(tmp_path / "srgb.png").array.tolist() == [[[90] * 4] * 4] * 3
    (tmp_path / "seven.ppm").write_bytes(b"P6 1 1 100\n" + bytes([0, 50, 100]))  # of 100: stretched to 255
    assert decode(tmp_path / "seven.ppm").array.ravel().tolist() == [0, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_upright_as_its_orientation_says(tmp_path, orientation):
    upright = Image.fromarray(make_images(count=1)[0][0].transpose(1, 2, 0))
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    (upright if undo is None else upright.transpose(undo)).save(tmp_path / "photo.png", exif=exif)
    found = decode(tmp_path / "photo.png")
    np.testing.assert_array_equal(found.array, np.asarray(upright).transpose(2, 0, 1))
    assert bool(found.done) == (orientation != 1)


def exchanged():
    """sRGB's profile with the tags of red's and green's primaries exchanged, under another name."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (number,) = struct.unpack_from(">I", content, 128)
    at = {bytes(content[place : place + 4]): place for place in range(132, 132 + 12 * number, 12)}
    red, green = at[b"rXYZ"], at[b"gXYZ"]
    content[red : red + 4], content[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(content).replace("sRGB".encode("utf-16-be"), "odd1".encode("utf-16-be"))


def test_pixels_are_converted_from_the_colour_profile_that_the_file_names(tmp_path):
    pixels = make_images(count=1)[0][0]
    Image.fromarray(pixels.transpose(1, 2, 0)).save(tmp_path / "odd.png", icc_profile=exchanged())
    found = decode(tmp_path / "odd.png")
    assert abs(found.array[[1, 0, 2]].astype(int) - pixels).max() <= 2
    assert found.done == ["converted from the colour profile odd1 built-in to sRGB"]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(tmp_path / "srgb.png", icc_profile=srgb)
    found = decode(tmp_path / "srgb.png")
    np.testing.assert_array_equal(found.array, pixels)
    assert found.done == []
    Image.fromarray(pixels.transpose(1, 2, 0)).save(tmp_path / "broken.png", icc_profile=b"no profile")
    with pytest.raises(UnfitError, match=r"has a colour profile that cannot be used .*; save it without one"):
        decode(tmp_path / "broken.png")
    Image.fromarray(pixels[0]).save(tmp_path / "grey.png", icc_profile=exchanged())
    with pytest.raises(UnfitError, match=r"has the grey profile 'odd1 built-in'; save it without one"):
        decode(tmp_path / "grey.png")


def test_what_was_done_to_images_is_counted(tmp_path):
    write_image_folder(tmp_path / "photos")
    exif = Image.Exif()
    exif[0x0112] = 3
    for name in ("disc/000.png", "disc/003.png"):
        Image.open(tmp_path / "photos" / name).save(tmp_path / "photos" / name, exif=exif)
    assert read_folder(tmp_path / "photos").notes == ("2 images were turned as the EXIF orientation says",)


# --- Many at once ----------------------------------------------------------------------------------------------------


def test_all_that_cannot_be_used_is_named_at_once(tmp_path):
    write_image_folder(tmp_path / "photos", count=90)
    damaged = [f"{CLASSES[k % 3]}/{k:03d}.png" for k in (0, 31, 62)]
    for name in damaged:
        (tmp_path / "photos" / name).write_bytes(b"no image")
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / CLASSES[1] / "001.png")
    with pytest.raises(AATError) as error:
        read_folder(tmp_path / "photos")
    said = str(error.value)
    assert said.startswith("4 of 90 images cannot be used: ")
    assert all(name in said for name in (*damaged, "001.png is 8×8 RGB and "))
    assert said.endswith(
        "; mend it or remove it, or leave out what cannot be read by --skip-unreadable; bring all to one size and kind "
        "(--resize 32 crops and resizes)"
    )
    for path in (tmp_path / "photos" / "disc").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(AATError, match=r"^33 of 90 images cannot be used: .*; and 13 more; mend it or"):
        read_folder(tmp_path / "photos")


def test_unreadable_images_are_left_out_if_asked_and_listed_beside_the_data_set(tmp_path):
    write_image_folder(tmp_path / "photos")
    damaged = [tmp_path / "photos" / CLASSES[k % 3] / f"{k:03d}.png" for k in (0, 13, 35)]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:60])
    lines = []
    name = datasets.add(tmp_path / "photos", skip_unreadable=True, cache_dir=tmp_path, say=lines.append)
    assert lines[-1] == "3 unreadable images were left out; skipped.txt beside the arrays names them"
    listed = (tmp_path / "data" / name / "skipped.txt").read_text().splitlines()
    assert [line.split(" cannot be read")[0] for line in listed] == sorted(map(str, damaged))
    for path in damaged:
        path.unlink()
    assert datasets.add(tmp_path / "photos", cache_dir=tmp_path) == name  # that of the images that are left
    Image.new("RGB", (8, 8)).save(damaged[0])
    with pytest.raises(AATError, match=r"disc/000\.png is 8×8 RGB and .* 20×20 RGB; bring all to one size"):
        datasets.add(tmp_path / "photos", skip_unreadable=True, cache_dir=tmp_path)  # readable, but of another size


def test_a_damaged_image_says_how_to_go_on_without_it(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(
        UnreadableError, match=r"x\.png cannot be read as an image \(.*\); mend it or remove it, or leave"
    ):
        decode(tmp_path / "x.png")


def test_skipping_is_of_folders(tmp_path, capsys):
    assert main(["train", "--skip-unreadable", "--cache-dir", str(tmp_path)]) == 2
    said = "skip_unreadable has no meaning for dataset=fashion-mini; give it with a folder of images"
    assert said in capsys.readouterr().err


# --- Text and numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a\nb\nc", None),
        ("\ufeffa\r\nb\r\nc\r\n", None),
        ("a\nb \n c\n\n  \n", None),
        (
            "caf\xe9\nb\nc\n".encode("latin-1"),
            r"class_names\.txt is not UTF-8 \(byte 0xe9 in line 1\); save it as UTF-8",
        ),
        ("a\n\nc\n", r"class_names\.txt has no name in line 2; write one for each class"),
        ("a\nb\n", r"class_names=a,b does not name 3 different classes"),
    ],
)
def test_class_names_are_the_lines_of_a_text_file_as_editors_write_it(tmp_path, content, said):
    images, labels = make_images()
    np.save(tmp_path / "train_images.npy", images)
    np.save(tmp_path / "train_labels.npy", labels)
    (tmp_path / "class_names.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    if said is None:
        assert read_folder(tmp_path).class_names == ("a", "b", "c")
    else:
        with pytest.raises(AATError, match=said):
            read_folder(tmp_path)


@pytest.mark.parametrize(("value", "taken"), [(1 + 1e-7, 255), (-1e-7, 0), (1.0, 255), (1.001, None), (-0.01, None)])
def test_floats_may_leave_the_range_by_rounding_alone(value, taken):
    from aat_explore.datasets.layouts import from_arrays

    images, labels = make_images()
    given = {"train_images": np.full(images.shape, value), "train_labels": labels}
    if taken is None:
        with pytest.raises(AATError, match=rf"train_images={value:.9g} is outside \[0, 1\]"):
            from_arrays(given)
    else:
        assert set(from_arrays(given).arrays["train_images"].flat) == {taken}
