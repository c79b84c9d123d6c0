"""uint8 images → one contact-sheet PNG, because hundreds of small pictures take seconds to display.

Images are enlarged by a whole factor without smoothing, so that each pixel of the data stays visible.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from aat_explore.errors import AATError
from aat_explore.views import frames
from aat_explore.views.pixels import alike, common_shape, enlarged, meaning, signed
from aat_explore.views.protocols import Dataset, Run, UInt8

COLUMNS = ("clean", "adversarial", "difference")  # of picked images
DIFFERENCE = "(x′ − x) / ε"  # heading of signed differences
FONT_SIZE = 13
LINE = 16  # pixels per line of text
HEADING = 22
GAP = 3  # between the images of one sample
MARGIN = 18  # between samples
IN_ASCII = str.maketrans({"→": "->", "×": "x", "′": "'", "−": "-", "ε": "eps"})
INK = {False: "#31333f", True: "#fafafa"}  # of text, on a light or a dark page; the background is transparent


@dataclass(frozen=True)
class Layout:
    """Positions on a sheet: `per_row` samples per row, each with `columns` images enlarged `scale` times."""

    columns: int
    height: int
    width: int
    scale: int
    per_row: int
    lines: int

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height in pixels from one sample to the next."""
        wide = self.columns * (self.width * self.scale + GAP) - GAP + MARGIN
        return wide, self.height * self.scale + self.lines * LINE + MARGIN

    def corner(self, sample: int, column: int) -> tuple[int, int]:
        """Left and top in pixels of one image."""
        wide, high = self.cell
        left = (sample % self.per_row) * wide + column * (self.width * self.scale + GAP)
        return left, HEADING + (sample // self.per_row) * high

    def box(self, sample: int) -> tuple[int, int, int, int]:
        """Left, top, width and height in pixels of one sample: its images and its caption."""
        wide, high = self.cell
        return *self.corner(sample, 0), wide - MARGIN, high - MARGIN

    def size(self, samples: int) -> tuple[int, int]:
        """Width and height in pixels of a sheet of `samples` samples."""
        wide, high = self.cell
        rows = -(-samples // self.per_row)
        return self.per_row * wide - MARGIN, HEADING + rows * high - MARGIN + 4  # room for a descender


def layout(images: Mapping[str, UInt8], captions: Sequence[str] = (), *, width: int = 860) -> Layout:
    """A layout about `width` pixels wide for columns of (k, C, H, W) images: about 9 images per row."""
    height, wide = next(iter(images.values())).shape[2:]
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    per_row = 5 if len(images) == 1 else max(1, 9 // len(images))
    scale = max(1, round((width / per_row - MARGIN) / len(images) / wide))
    return Layout(len(images), height, wide, scale, per_row, lines)


def difference(clean: UInt8, x_adv: UInt8, epsilon: float) -> UInt8:
    """x_adv − clean of images (…, C, H, W) in units of ε, as the colours of `pixels.signed`: uint8 (…, 3, H, W).

    The sign is shown because FGSM moves every pixel by ε: the size of its changes says nothing.
    """
    return signed((x_adv.astype(np.float32) - clean.astype(np.float32)) / 255, epsilon)


def largest_difference(clean: UInt8, x_adv: UInt8) -> float:
    """The largest change of any pixel, in units of [0, 1]."""
    change = np.abs(x_adv.astype(np.int32) - clean.astype(np.int32))
    return float(change.max(initial=0)) / 255


@dataclass(frozen=True)
class PickedImages:
    """Images of picks, heading → uint8 (k, C, H, W), and of a difference what its colours mean and how large it is.

    `largest` is the largest change of a pixel in [0, 1]. Both are None if no difference is shown.
    """

    images: dict[str, UInt8]
    colours: str | None = None
    largest: float | None = None


def picked_images(
    run: Run, epoch: int, picks: pd.DataFrame, dataset: Dataset | None = None, column: str | None = None
) -> PickedImages:
    """Clean and adversarial images and signed differences of rows of `frames.picks.all_picks`.

    Without `dataset` only the adversarial ones. `column` is one of `COLUMNS`, or None for all three; AATError
    otherwise. All but `clean` need `recorded` rows.
    """
    if column is not None and column not in COLUMNS:
        raise AATError(f"column={column} is unknown; choose one of {', '.join(COLUMNS)}")
    if dataset is not None and column == "clean":
        return PickedImages({"clean": dataset.train.images(picks["image"].to_numpy())})
    x_adv = run.x_adv(epoch)[picks["position"].to_numpy()]
    if dataset is None or column == "adversarial":
        return PickedImages({"adversarial": x_adv})
    clean = dataset.train.images(picks["image"].to_numpy())
    signs = {DIFFERENCE: difference(clean, x_adv, run.config.epsilon)}
    images = signs if column == "difference" else {"clean": clean, "adversarial": x_adv, **signs}
    return PickedImages(images, meaning(x_adv.shape[1]), largest_difference(clean, x_adv))


def picked_sheet(
    run: Run,
    epoch: int,
    dataset: Dataset | None = None,
    *,
    order: str = "as drawn",
    count: int = 24,
    dark: bool = False,
) -> bytes | None:
    """The recorded picks of an epoch as one PNG: clean, adversarial, signed difference; x_adv without `dataset`.

    None if the epoch recorded no images. `order` as in `frames.picks.recorded_picks`.
    """
    picks = frames.picks.recorded_picks(run, epoch, dataset, order).head(count)
    if picks.empty:
        return None
    picture = picked_images(run, epoch, picks, dataset)
    return contact_sheet(picture.images, frames.picks.captions(picks), dark=dark)


def contact_sheet(images: Mapping[str, UInt8], captions: Sequence[str] = (), *, dark: bool = False) -> bytes:
    """One PNG: for each of k samples its images from all columns side by side, with the caption below.

    `images`: heading → uint8 (k, C, H, W), C = 1 or 3; `captions`: k texts or none, of one or more lines.
    """
    images = alike(images)
    shape = common_shape(images)
    if len(captions) not in (0, shape[0]):
        raise AATError(f"captions={len(captions)} do not match {shape[0]} images; give one per image or none")
    plan = layout(images, captions)
    sheet = Image.new("RGBA", plan.size(shape[0]), (0, 0, 0, 0))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=FONT_SIZE)
    for column, (heading, array) in enumerate(images.items()):
        for k, image in enumerate(array):
            sheet.paste(Image.fromarray(enlarged(image, plan.scale)), plan.corner(k, column))
        for k in range(min(plan.per_row, shape[0])):
            left, top = plan.corner(k, column)
            if len(images) > 1 or k == 0:
                draw.text((left, top - LINE - 2), _in_ascii(heading), fill=INK[dark], font=font)
    for k, caption in enumerate(captions):
        left, top = plan.corner(k, 0)
        below = top + plan.height * plan.scale + 1
        for number, line in enumerate(caption.split("\n")):
            text = _fitting(draw, line, plan.cell[0] - MARGIN, font)
            draw.text((left, below + number * LINE), text, fill=INK[dark], font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=1)  # shown once in one browser: time matters, size does not
    return buffer.getvalue()


@dataclass(frozen=True)
class StripLayout:
    """Positions in a strip: `left` pixels of labels, then images `width` × `height` pixels, GAP apart."""

    left: int
    width: int
    height: int

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Left, top, width and height in pixels of one image."""
        return self.left + column * (self.width + GAP), row * (self.height + GAP), self.width, self.height

    def size(self, rows: int, columns: int) -> tuple[int, int]:
        """Width and height in pixels of a strip whose longest row has so many columns."""
        left, top, width, height = self.box(rows - 1, columns - 1)
        return left + width, top + height


def strip_layout(rows: Mapping[str, UInt8], *, scale: int = 2) -> StripLayout:
    """The layout of a `strip`; AATError if there is no image, or if their shapes differ."""
    firsts = {label: images[:1] for label, images in rows.items() if len(images)}
    _, _, height, width = common_shape(firsts or rows)
    font = ImageFont.load_default(size=FONT_SIZE)
    left = max(int(font.getlength(label)) for label in rows) + MARGIN
    return StripLayout(left, width * scale, height * scale)


def strip(rows: Mapping[str, UInt8], *, scale: int = 2) -> bytes:
    """One wide PNG on white: for each label a row of images, with the label on its left.

    `rows`: label → uint8 (k, C, H, W), C = 1 or 3, all images of one shape; AATError otherwise. k may differ.
    """
    rows = alike(rows)
    plan, font = strip_layout(rows, scale=scale), ImageFont.load_default(size=FONT_SIZE)
    picture = Image.new("RGB", plan.size(len(rows), max(map(len, rows.values()))), "white")
    draw = ImageDraw.Draw(picture)
    for row, (label, images) in enumerate(rows.items()):
        middle = plan.box(row, 0)[1] + plan.height // 2
        draw.text((0, middle), label, fill=INK[False], font=font, anchor="lm")
        for column, image in enumerate(images):
            picture.paste(Image.fromarray(enlarged(image, scale)), plan.box(row, column)[:2])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _fitting(draw: ImageDraw.ImageDraw, line: str, width: float, font: Any) -> str:
    """`line` in ASCII, truncated to `width` pixels."""
    text = _in_ascii(line)
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "...", font=font) > width:
        text = text[:-1]
    return text + "..."


def _in_ascii(text: str) -> str:
    """The text in ASCII, because Pillow's font has no glyphs for arrows and most other symbols."""
    return text.translate(IN_ASCII).encode("ascii", "replace").decode()
