"""A map of samples as a PNG, for where no browser draws it: notebooks without a running kernel."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from aat_explore.views.canvas.points import Points
from aat_explore.views.frames.samples_map import Axis
from aat_explore.views.gallery import FONT_SIZE, INK, in_ascii
from aat_explore.views.protocols import Array, UInt8

SIZE = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 66, 12, 30, 48
REACH = 1  # pixels from a point's centre to its edge


def still(points: Points) -> bytes:
    """The points on white as a PNG: others, then picked, then selected; each axis with its title and its ends."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    (x, ends_of_x), (y, ends_of_y) = (_shares(axis, points.shown) for axis in points.axes)
    placed = np.isfinite(x) & np.isfinite(y)
    columns = (LEFT + x * (SIZE[0] - LEFT - RIGHT - 1))[placed].round().astype(int)
    rows = (SIZE[1] - BOTTOM - 1 - y * (SIZE[1] - TOP - BOTTOM - 1))[placed].round().astype(int)
    order = np.argsort(points.picked[placed] + 2 * points.selected[placed], kind="stable")
    inks = _inks(points)[placed][order]
    _stamp(pixels, columns[order], rows[order], inks, REACH)
    marked = points.selected[placed]
    _stamp(pixels, columns[marked], rows[marked], _inks(points)[placed][marked], REACH + 1)
    picture = Image.fromarray(pixels)
    draw, font, ink = ImageDraw.Draw(picture), ImageFont.load_default(size=FONT_SIZE), INK[False]
    left, right, top, bottom = LEFT - 4, SIZE[0] - RIGHT + 4, TOP - 4, SIZE[1] - BOTTOM + 4
    draw.line([(left, top), (left, bottom), (right, bottom)], fill=ink)
    for text, place, anchor in (
        (in_ascii(points.axes[1].title), (4, 4), "la"),
        (in_ascii(points.axes[0].title), ((left + right) / 2, SIZE[1] - 6), "ms"),
        (ends_of_x[0], (left, bottom + 6), "la"),
        (ends_of_x[1], (right, bottom + 6), "ra"),
        (ends_of_y[0], (left - 4, bottom), "rs"),
        (ends_of_y[1], (left - 4, top), "ra"),
    ):
        draw.text(place, text, fill=ink, font=font, anchor=anchor)
    at = float(right)
    for label, colour in reversed(list(points.legend.items())):
        at -= font.getlength(in_ascii(label))
        draw.text((at, 4), in_ascii(label), fill=colour, font=font)
        at -= FONT_SIZE
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _stamp(pixels: UInt8, columns: Array, rows: Array, inks: UInt8, reach: int) -> None:
    """Draw a square around each centre, in its colour."""
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            pixels[rows + down, columns + right] = inks


def _shares(axis: Axis, shown: NDArray[np.bool_]) -> tuple[NDArray[np.float64], tuple[str, str]]:
    """How far along the axis each sample is, from 0 to 1 or NaN, and the values at both ends as text.

    As on the canvas a log axis starts above the lowest 0.5%, which have no place here, and counts are spread around
    their whole number.
    """
    values = np.where(shown, axis.values, np.nan).astype(np.float64)
    if axis.log:
        values = np.log10(np.where(values > 0, values, np.nan))
    if axis.whole:
        values = values + 0.7 * (np.arange(len(values)) * 0.6180339887 % 1) - 0.35
    known = values[np.isfinite(values)]
    if not len(known):
        return values, ("", "")
    low, high = np.quantile(known, 0.005) if axis.log else known.min(), known.max()
    shares = (values - low) / (high - low) if high > low else values - low + 0.5
    ends = [f"{10**end if axis.log else round(end) if axis.whole else end:.3g}" for end in (low, high)]
    return np.where((shares >= 0) & (shares <= 1), shares, np.nan), (ends[0], ends[1])


def _inks(points: Points) -> UInt8:
    """The colour of each point, uint8 (T, 3); where colours are classes, those not picked are pale."""
    colours = points.colours
    if "classes" in colours and points.labels is not None:
        table = np.array([_rgb(colour) for colour in colours["classes"]], np.float64)
        inks = table[points.labels]
        inks[~points.picked] = 255 - 0.35 * (255 - inks[~points.picked])
    else:
        others, picked = (np.array(_rgb(str(colours[name])), np.float64) for name in ("all", "picked"))
        inks = np.where(points.picked[:, None], picked, others)
    inks[points.selected] = _rgb(str(colours["selected"]))
    return inks.astype(np.uint8)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
