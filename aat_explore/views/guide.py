"""The documentation pages in `docs/` for the dashboard's Guide: their order, text and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

DOCS = Path(__file__).parents[1] / "docs"
FIRST = "index.md"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
PICTURE = re.compile(r"^!\[([^\]]*)\]\(([^)\s]+)\)$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Picture:
    """A picture in a page, and its caption."""

    path: Path
    caption: str


@cache
def titles() -> dict[str, str]:
    """Titles of the pages by file name: first `index.md`, then the others in the order of its links."""
    linked = [target for _, target in LINK.findall(_content(FIRST)) if (DOCS / target).is_file()]
    return {name: _content(name).partition("\n")[0].removeprefix("# ") for name in dict.fromkeys([FIRST, *linked])}


def parts(title: str, parameter: str) -> Iterator[str | Picture]:
    """The parts of the page with this title, without the title: Markdown with HTML links, and pictures between.

    A link to another page opens in the same tab, with the title in the URL's `parameter`. A link to any other file
    becomes its text followed by the file's path.
    """
    (name,) = (name for name, page_title in titles().items() if page_title == title)
    body = re.sub(r"<!--.*?-->\n*", "", _content(name).partition("\n")[2], flags=re.DOTALL)
    pieces = PICTURE.split(body)
    for text, caption, target in zip(pieces[::3], [*pieces[1::3], ""], [*pieces[2::3], ""], strict=True):
        yield LINK.sub(lambda link: _link(link[1], link[2], parameter), text)
        if target:
            yield Picture(DOCS / target, caption)


def _link(text: str, target: str, parameter: str) -> str:
    name, _, heading = target.partition("#")
    if name in titles():
        address = f"?{parameter}={quote(titles()[name])}" + (f"#{heading}" if heading else "")
        return f'<a href="{escape(address)}" target="_self">{escape(text)}</a>'
    if not name or "://" in target:
        return f"[{text}]({target})"
    path = (DOCS / name).resolve().relative_to(DOCS.parents[1])
    return f"{text} (`{path.as_posix()}`)"


def _content(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")
