"""A row of a few images with captions, as wide as its place, each pixel sharp; for many images there is `sheet`."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from PIL import Image

from aat_explore.views import pixels
from aat_explore.views.protocols import UInt8

BORDER = "1px solid rgba(128, 132, 149, 0.5)"  # a white difference would have no edge on a white page


@dataclass(frozen=True)
class Picture:
    """An image (C, H, W) with a caption and a text for those who do not see it; without one, why there is none."""

    caption: str
    alt: str
    image: UInt8 | None
    missing: str = ""


def row(pictures: Sequence[Picture], *, most: int) -> None:
    """Show the pictures side by side, each at most `most` pixels wide. Texts are shown literally."""
    figures = "".join(
        f'<figure style="margin:0;flex:1 1 0;min-width:0;max-width:{most}px">{_content(picture)}'
        f'<figcaption style="font-size:12px;line-height:1.3;margin-top:2px">{html.escape(picture.caption)}</figcaption>'
        "</figure>"
        for picture in pictures
    )
    st.html(f'<div style="display:flex;gap:8px">{figures}</div>')


def _content(picture: Picture) -> str:
    box = f"width:100%;aspect-ratio:1;box-sizing:border-box;border-radius:4px;border:{BORDER};"
    if picture.image is None:
        return (
            f'<div role="img" aria-label="{html.escape(picture.alt)}" style="{box}display:flex;align-items:center;'
            f'justify-content:center;text-align:center;padding:4px;font-size:12px;line-height:1.25;opacity:0.8">'
            f"{html.escape(picture.missing)}</div>"
        )
    buffer = io.BytesIO()
    Image.fromarray(pixels.enlarged(picture.image, 1)).save(buffer, "PNG")
    address = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<img src="data:image/png;base64,{address}" alt="{html.escape(picture.alt)}" '
        f'style="{box}display:block;image-rendering:pixelated">'
    )
