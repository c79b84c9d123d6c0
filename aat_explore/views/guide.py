"""The documentation pages in `docs/`, as the dashboard's Guide shows them: their order, their text, their links."""

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
    """A picture of a page, and what it shows in words."""

    path: Path
    caption: str


@cache
def titles() -> dict[str, str]:
    """Title of each page by its file's name: the first is `index.md`, the others follow in the order of its links."""
    linked = [target for _, target in LINK.findall(_content(FIRST)) if (DOCS / target).is_file()]
    return {name: _content(name).partition("\n")[0].removeprefix("# ") for name in dict.fromkeys([FIRST, *linked])}


def parts(title: str, parameter: str) -> Iterator[str | Picture]:
    """The page of this title in order, without its title: Markdown with HTML links, and pictures between.

    A link to another page opens it in the same tab, by its title in the address's `parameter`. A link to a file that no
    page shows becomes its text and the file's path.
    """
    (name,) = (name for name, one in titles().items() if one == title)
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
