"""For every page: the cache, results computed once, links to other pages, and messages.

Text from files (names of data sets and classes, reasons of damage) passes through `plain` before Streamlit sees it.
"""

import argparse
import html
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import streamlit as st

from aat_explore import command_lines, datasets
from aat_explore.dashboard import choices, state
from aat_explore.dashboard.text import plain as plain
from aat_explore.errors import AATError
from aat_explore.store import Run, RunMovedOnError, Store, default_cache
from aat_explore.views.summary import summary

FLAG = ":orange[:material/flag:]"
START = "overview"  # name of the page that has none in the URL
P = ParamSpec("P")
Result = TypeVar("Result")


# --- The cache -----------------------------------------------------------------------------------------------------


def cache_dir() -> Path:
    """The cache folder: `streamlit run app.py -- --cache-dir X`, else $AAT_CACHE, else ./cache."""
    return _cache_dir(tuple(sys.argv[1:]), default_cache())


@lru_cache(maxsize=4)
def _cache_dir(arguments: tuple[str, ...], default: Path) -> Path:
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--cache-dir", type=Path, default=default)
    chosen: Path = parser.parse_known_args(arguments)[0].cache_dir
    return chosen


def command(words: str) -> str:
    """A command line that works on this cache, e.g. `aat demo --cache-dir X`."""
    return command_lines.aat(words, cache_dir())


def readable_runs() -> list[Run]:
    """Every run whose settings, metrics and evaluations can be read; names the damaged ones; stops if there is none."""
    listing = Store(cache_dir()).list()
    unreadable = _unreadable(tuple(_key(run) for run in listing.runs), listing.runs)
    runs = [run for run in listing.runs if run.id not in unreadable]
    damaged = listing.damaged | unreadable
    if damaged:
        word = "run is" if len(damaged) == 1 else "runs are"
        with st.expander(f"{len(damaged)} {word} damaged and left out", icon=":material/warning:"):
            for reason in damaged.values():
                st.warning(plain(reason))
    if not runs:
        st.info(f"There is no readable run in {plain(str(cache_dir()))} yet.")
        if st.button("Train one here", type="primary", icon=":material/model_training:"):
            open_page("train")
        st.write("Or train four on the embedded images from a terminal; they appear here after the first epoch:")
        st.code(command("demo --no-app"), language="bash")
        _until_changed(len(listing.runs))
        st.stop()
    return runs


@st.fragment(run_every=2)
def _until_changed(seen: int) -> None:
    """Redraw the page once there are more or fewer runs."""
    if len(Store(cache_dir()).list().runs) != seen:
        st.rerun()


def ticked_runs() -> list[Run]:
    """The readable runs that the Runs page chose to show alone (`runs` in the URL), else all of them."""
    return narrowed(readable_runs())


def narrowed(runs: list[Run]) -> list[Run]:
    """Those of `runs` that are to be shown alone, with a note and the way back in the sidebar; else all of them."""
    wanted = (choices.param("runs") or "").split(",")
    ticked = [run for run in runs if run.id in wanted]
    if not ticked:
        if any(wanted):
            st.warning("None of the runs that the link selects is in this cache; showing all.", icon=choices.LINK_OFF)
        choices.set_param("runs", None)
        return runs
    with st.sidebar:
        st.caption(f"Only {len(ticked)} of {len(runs)} runs are shown, as chosen on the Runs page")
        if st.button("Show all runs", icon=":material/filter_alt_off:"):
            choices.ask("runs", "")
            st.rerun()
    return ticked


def can_be_attacked(run: Run) -> bool:
    """Whether a run has weights, and its images are on this machine."""
    if not run.checkpoints():
        return False
    try:
        datasets.load(run.config.dataset, cache_dir=cache_dir(), prepare=False)
    except AATError:
        return False
    return True


def dataset_of(run: Run) -> datasets.Dataset | None:
    """The run's images, or None and a message that says how to get them; reads only what is prepared."""
    try:
        return datasets.load(run.config.dataset, cache_dir=cache_dir(), prepare=False)
    except AATError as error:
        st.info(
            f"Clean images and classes of {plain(run.config.dataset)} are not shown: they are not on this machine. "
            f"{plain(str(error))}"
        )
        return None


# --- Frames, charts and images, computed once ----------------------------------------------------------------------


def remembered(compute: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """`compute(*args)`, cached until one of its runs commits something.

    Runs are keyed by (id, revision) and data sets by name: Streamlit would hash only a sample of a large array.
    """
    result: Result = _remembered(_call(compute, args, kwargs), lambda: compute(*args, **kwargs))
    return result


def held(compute: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Like `remembered`, for a few large results: not copied, so they must not be changed, and soon evicted."""
    result: Result = _held(_call(compute, args, kwargs), lambda: compute(*args, **kwargs))
    return result


@st.cache_resource(max_entries=6, show_spinner=False)
def _held(key: tuple[Any, ...], _compute: Callable[[], Any]) -> Any:
    return _compute()


@st.cache_data(max_entries=128, show_spinner=False)
def _remembered(key: tuple[Any, ...], _compute: Callable[[], Any]) -> Any:
    return _compute()


@st.cache_data(max_entries=16, show_spinner=False)
def _unreadable(keys: tuple[Any, ...], _runs: Sequence[Run]) -> dict[str, str]:
    """Run id → reason, for runs whose metrics or evaluations are damaged."""
    reasons = {}
    for run in _runs:
        try:
            run_summary(run)
        except RunMovedOnError:
            raise
        except AATError as error:
            reasons[run.id] = str(error)
    return reasons


def run_summary(run: Run) -> dict[str, Any]:
    """A run's row of the table of runs; AATError if its metrics or evaluations are damaged."""
    row: dict[str, Any] = _summary(_key(run), run)
    return row


@st.cache_data(max_entries=10_000, show_spinner=False)
def _summary(key: tuple[Any, ...], _run: Run) -> Any:
    """A run's summary, in a cache of its own: every page needs all of them, and large results must not evict them."""
    return summary(_run)


def _call(compute: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> tuple[Any, ...]:
    return (compute.__module__, compute.__qualname__, _key(args), _key(tuple(sorted(kwargs.items()))))


def _key(value: Any) -> Any:
    if isinstance(value, Run):
        return ("run", value.id, value.revision)
    if isinstance(value, datasets.Dataset):
        return ("dataset", value.name)
    if isinstance(value, tuple | list):
        return tuple(_key(part) for part in value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be a key; pass the run or data set it comes from")


# --- Pages ---------------------------------------------------------------------------------------------------------


def know_pages(pages: Sequence[Any]) -> None:
    """Let `open_page` find the app's pages by their name in the URL; of two with one name, the first."""
    state.PAGES.set({entry.url_path or START: entry for entry in reversed(pages)})


def open_page(name: str, **params: str | int) -> NoReturn:
    """Show another page (or this one) with these choices, by their names in the URL."""
    for key, value in params.items():
        choices.ask(key, value)
    pages = state.PAGES.get()
    if name in pages:
        st.switch_page(pages[name])
    st.rerun()


def dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"


# --- Text ----------------------------------------------------------------------------------------------------------


def name(title: str) -> None:
    """The page's heading for screen readers; sighted people see it on the page's tab."""
    st.html(f'<h1 class="unseen">{html.escape(title)}</h1>')


def line(facts: Sequence[str]) -> str:
    """Texts, shown literally, as one line of Markdown with the first in bold."""
    return " · ".join(f"**{plain(fact)}**" if at == 0 else plain(fact) for at, fact in enumerate(facts))


def heading(title: str, sentence: str, equation: str, explanation: str) -> None:
    """`name` and `statement`."""
    name(title)
    statement(title, sentence, equation, explanation)


def statement(title: str, sentence: str, equation: str, explanation: str) -> None:
    """One line on what the page shows, with the equation (LaTeX) and its explanation behind a help button."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key=f"statement {title}"):
        st.markdown(sentence, width="stretch")
        with st.popover("Help", icon=":material/function:", type="tertiary"):
            st.markdown(f"**{title}**")
            st.latex(equation)
            st.write(explanation)


@contextmanager
def drawing() -> Iterator[None]:
    """Draw a page: take the choices of a link, show an AATError as a message, and write the URL of what is shown.

    The page is redrawn if a trainer committed an epoch while it was read.
    """
    choices.begin()
    try:
        yield
    except RunMovedOnError:
        st.rerun()
    except AATError as error:
        st.error(plain(str(error)))
    except BaseException as end:
        if (
            type(end).__name__ == "StopException"
        ):  # of st.stop(): the page is whole; st.rerun() leaves the link as it is
            choices.write_url()
        raise
    choices.write_url()
