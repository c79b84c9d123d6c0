"""One image file → pixels. What a file says of its pixels is honoured or is a reason to refuse it, never dropped."""

import io
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from aat_explore.errors import AATError, cause_of

UInt8Array = NDArray[np.uint8]

ORIENTATION = 0x0112  # EXIF's tag; 1 is upright
BITS_PER_SAMPLE = 258  # TIFF's tag
GREY_OR_RGB = "convert all images to RGB, or all to greyscale (L)"
SRGB_GAMMA = 0.45455  # as PNG writes it


class UnfitError(AATError):
    """An image file that cannot be kept: `what` it is or has, and the `remedy`."""

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        super().__init__(f"{path} {what}; {remedy}")
        self.problem, self.remedy = f"{path} {what}", remedy


class UnreadableError(UnfitError):
    """A file that is no image, or a damaged one."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(
            path,
            f"cannot be read as an image ({cause[:200]})",
            "mend it or remove it, or leave out what cannot be read by --skip-unreadable",
        )


@dataclass
class Pixels:
    """A decoded image, uint8 (C, H, W) with C = 1 or 3, and what was done to it because its file says so."""

    array: UInt8Array
    done: list[str] = field(default_factory=list)


def decode(path: Path, resize: int | None = None) -> Pixels:
    """Decode one image of 8 bits a channel, grey or RGB; `resize` crops it and makes it a square of so many pixels.

    It is turned as its EXIF orientation says, and an RGB image is converted from its colour profile to sRGB. Raises
    UnreadableError for a file that is no image or is damaged, and UnfitError for what cannot be kept: more than 8 bits,
    a palette, transparency, several frames, a gamma or a profile that cannot be applied.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would be to wait for its writer
            raise AATError("it is no regular file")
        with Image.open(path) as file:
            refusal = next(_refusals(file), None)
            if refusal is None:
                file.load()
                image: Image.Image = file
    except Exception as error:  # Pillow raises a dozen types, all meaning this
        raise UnreadableError(path, cause_of(error)) from None
    if refusal is not None:
        raise UnfitError(path, *refusal)
    done: list[str] = []
    image = _upright(image, done)
    image = _in_srgb(path, image, done)
    if resize is not None:
        image = ImageOps.fit(image, (resize, resize), Image.Resampling.BICUBIC)
    array = np.asarray(image, dtype=np.uint8)
    return Pixels(array[None] if array.ndim == 2 else array.transpose(2, 0, 1), done)


def described(image: UInt8Array) -> str:
    """The size and kind of an image, e.g. `32×32 RGB`."""
    channels, height, width = image.shape
    return f"{width}×{height} {kind_of(channels)}"


def kind_of(channels: int) -> str:
    """What images of one or three channels are called."""
    return "grey" if channels == 1 else "RGB"


def _refusals(file: Image.Image) -> Iterator[tuple[str, str]]:
    """Why the pixels cannot be kept as the file means them, by what its header says, and the remedy."""
    if (bits := _bits(file)) > 8:
        yield f"has {bits} bits a channel", "convert all images to 8 bits"
    if file.mode not in ("L", "RGB"):
        yield f"has mode={file.mode}", GREY_OR_RGB
    if "transparency" in file.info:
        yield "has a transparent colour", GREY_OR_RGB
    frames = getattr(file, "n_frames", 1)
    if frames > 1 and file.format != "MPO":  # a camera's JPEG with previews: the first is the picture
        yield f"holds {frames} frames", "keep one image a file"
    gamma = file.info.get("gamma")
    if gamma and "srgb" not in file.info and "icc_profile" not in file.info and abs(gamma / SRGB_GAMMA - 1) > 0.02:
        yield f"has gamma={gamma:g}", "convert all images to sRGB"


def _bits(file: Image.Image) -> int:
    """Bits a channel in the file; Pillow cuts 16-bit RGB to 8 without a word."""
    if file.format == "TIFF":
        bits: Any = file.tag_v2.get(BITS_PER_SAMPLE, (8,))  # type: ignore[attr-defined]
        return max(bits) if isinstance(bits, tuple) else int(bits)
    how = [
        part for tile in getattr(file, "tile", ()) for part in (tile[3] if isinstance(tile[3], tuple) else (tile[3],))
    ]
    if file.mode.startswith("I") or any(isinstance(part, str) and ";16" in part for part in how):
        return 16
    largest = [part for part in how if isinstance(part, int)] if file.format == "PPM" else []  # the value of white
    return max([8, *(value.bit_length() for value in largest)])


def _upright(image: Image.Image, done: list[str]) -> Image.Image:
    if image.getexif().get(ORIENTATION, 1) == 1:
        return image
    done.append("turned as the EXIF orientation says")
    return ImageOps.exif_transpose(image)


def _in_srgb(path: Path, image: Image.Image, done: list[str]) -> Image.Image:
    """An RGB image in sRGB; a grey one as it is, and refused if it has a profile of its own."""
    content = image.info.get("icc_profile")
    if not content:
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        name = ImageCms.getProfileDescription(profile).strip()
        if "srgb" in name.lower() or "sgray" in name.lower().replace(" ", ""):
            return image
        if image.mode != "RGB":
            raise UnfitError(path, f"has the grey profile {name!r}", "save it without one")
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError) as error:
        cause = cause_of(error)[:200]
        raise UnfitError(path, f"has a colour profile that cannot be used ({cause})", "save it without one") from None
    done.append(f"converted from the colour profile {name} to sRGB")
    return image if converted is None else converted
