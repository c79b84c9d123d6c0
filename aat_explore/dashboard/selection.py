"""*The* selection: a set of training samples of one data set, the same on every page.

Any chart or sheet adds to it; it survives changes of page, run and epoch, is in the URL while it is small, can be kept
as a tag and downloaded as row numbers of the full data set.
"""

from collections.abc import Iterable, Sequence

import streamlit as st

from aat_explore.dashboard import choices, page, state
from aat_explore.dashboard.text import label
from aat_explore.store.tags import LONGEST, Tag, Tags
from aat_explore.views import names

KEY = "rows"
IN_URL = 1000  # characters; longer selections stay in the session


def rows(dataset: str) -> tuple[int, ...]:
    """The selected rows of this data set, ascending; none if another data set's are selected."""
    text = choices.param(KEY)
    held = state.SELECTED.get()
    if text is not None:
        linked = parsed(text)
        if linked is None:
            st.warning(f"The link's selection {page.plain(text[:60])} is no list of rows.", icon=choices.LINK_OFF)
            choices.set_param(KEY, None)
        else:
            name, _, _ = text.partition(":")
            held = (name, linked)
            state.SELECTED.set(held)
    return held[1] if held is not None and held[0] == dataset else ()


def put(dataset: str, chosen: Iterable[int]) -> None:
    """Select these rows in place of all others; from a callback or while a page is drawn."""
    ascending = tuple(sorted({int(row) for row in chosen}))
    state.SELECTED.set((dataset, ascending) if ascending else None)
    text = f"{dataset}:{compact(ascending)}"
    choices.set_param(KEY, text if ascending and len(text) <= IN_URL else None)


def flip(dataset: str, row: int) -> None:
    """Select a row, or unselect it; for a callback."""
    held = state.SELECTED.get()
    selected = set(held[1]) if held is not None and held[0] == dataset else set()
    put(dataset, selected ^ {row})


def compact(ascending: Sequence[int]) -> str:
    """Rows as text, runs of neighbours shortened: `3,7-9`."""
    parts: list[str] = []
    start = previous = None
    for row in [*ascending, None]:
        if previous is not None and row is not None and row == previous + 1:
            previous = row
            continue
        if start is not None and previous is not None:
            parts.append(str(start) if start == previous else f"{start}-{previous}")
        start = previous = row
    return ",".join(parts)


def parsed(text: str) -> tuple[int, ...] | None:
    """The rows of a `data set:3,7-9`; None if it is no such text."""
    _, colon, listed = text.rpartition(":")
    chosen: set[int] = set()
    for part in listed.split(","):
        low, _, high = part.partition("-")
        ends = [low, high or low]
        if not all(end.isdecimal() and len(end) <= 9 for end in ends) or not 0 <= int(ends[1]) - int(ends[0]) < 100_000:
            return None
        chosen |= set(range(int(ends[0]), int(ends[1]) + 1))
    return tuple(sorted(chosen)) if colon and chosen else None


def show(dataset: str) -> tuple[int, ...]:
    """The sidebar's part on the selection: how many, what to do with them, and the tags; returns the rows."""
    selected = rows(dataset)
    tags = Tags(dataset, page.cache_dir())
    known = tags.list()
    with st.sidebar:
        if not selected and not known:
            return selected
        st.caption(f"Selection: {len(selected):,} of {label(names.dataset_name(dataset))}")
        with st.container(horizontal=True, gap="xxsmall"):
            st.button(
                ":material/close:", key="selection clear", help="Clear the selection", disabled=not selected,
                on_click=put, args=(dataset, ()),
            )  # fmt: skip
            st.download_button(
                ":material/download:", "\n".join(["row", *map(str, selected)]), f"{dataset}-selection.csv", "text/csv",
                key="selection csv", help="Row numbers of the training split, CSV", disabled=not selected,
                on_click="ignore",
            )  # fmt: skip
            with st.popover("Tags", icon=":material/sell:"):
                _tags(tags, known, selected)
    return selected


def _tags(tags: Tags, known: Sequence[Tag], selected: Sequence[int]) -> None:
    """Choose, save and delete tags."""
    for tag in known:
        with st.container(horizontal=True, gap="xxsmall"):
            name = f"{page.plain(tag.name)} ({len(tag.rows):,})"
            st.button(name, key=f"tag {tag.name}", on_click=put, args=(tags.dataset, tag.rows), width="stretch")
            if st.button(":material/delete:", key=f"delete {tag.name}", help=f"Delete the tag {page.plain(tag.name)}"):
                tags.remove(tag.name)
                st.rerun()
    with st.form("new tag", border=False):
        name = st.text_input("Keep the selection as", max_chars=LONGEST, placeholder="hard sandals")
        if st.form_submit_button("Save tag", disabled=not selected):
            tags.save(name, selected)
            st.rerun()
