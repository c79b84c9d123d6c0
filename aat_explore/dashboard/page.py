"""What every page is made of: the cache, choices kept in the URL, frames computed once, and messages.

Text that comes out of files (data sets, class names, reasons of damage) goes through `plain` before Streamlit sees it.
"""

import argparse
import re
import shlex
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import streamlit as st

from aat_explore import datasets
from aat_explore.errors import AATError
from aat_explore.store import Run, RunMovedOnError, Store, default_cache
from aat_explore.views import frames

P = ParamSpec("P")
Result = TypeVar("Result")


# --- The cache -----------------------------------------------------------------------------------------------------


def cache_dir() -> Path:
    """The cache folder: `streamlit run app.py -- --cache-dir X`, else $AAT_CACHE, else ./cache."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--cache-dir", type=Path, default=default_cache())
    chosen: Path = parser.parse_known_args()[0].cache_dir
    return chosen


def command(words: str) -> str:
    """A command line that works on this cache, e.g. `aat demo --cache-dir X`."""
    root = cache_dir()
    return f"aat {words}" if root == Path("cache") else f"aat {words} --cache-dir {shlex.quote(str(root))}"


def readable_runs() -> list[Run]:
    """Every run whose settings, metrics and evaluations can be read; warns of the others; stops if there is none."""
    listing = Store(cache_dir()).list()
    damaged = dict(listing.damaged)
    runs = []
    for run in listing.runs:
        try:
            _summary(_key(run), run)
            runs.append(run)
        except RunMovedOnError:
            raise
        except AATError as error:
            damaged[run.id] = str(error)
    if damaged:
        word = "run is" if len(damaged) == 1 else "runs are"
        with st.expander(f"{len(damaged)} {word} damaged and left out", icon=":material/warning:"):
            for reason in damaged.values():
                st.warning(plain(reason))
    if not runs:
        st.info(f"There is no readable run in {plain(str(cache_dir()))} yet. This trains four on embedded images:")
        st.code(command("demo --no-app"), language="bash")
        st.write("Or train one of your own, for example:")
        st.code(command("train --preset mini --num-perturbed 1000"), language="bash")
        st.write("Then reload this page: it shows a run from its first epoch on.")
        st.stop()
    return runs


def dataset_of(run: Run) -> datasets.Dataset | None:
    """The run's images, or None and a message that says how to get them; reads only what is prepared."""
    try:
        return datasets.load(run.config.dataset, cache_dir=cache_dir(), prepare=False)
    except AATError as error:
        st.info(
            f"Clean images and classes of {plain(run.config.dataset)} are not shown, for they are not on this machine: "
            f"{plain(str(error))}"
        )
        return None


# --- Frames, charts and pictures, computed once --------------------------------------------------------------------


def remembered(compute: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """`compute(*args)`, remembered until one of its runs commits something.

    Runs are keyed by (id, revision) and data sets by name: Streamlit would hash only a sample of a large array.
    """
    key = (compute.__module__, compute.__qualname__, _key(args), _key(tuple(sorted(kwargs.items()))))
    result: Result = _remembered(key, lambda: compute(*args, **kwargs))
    return result


@st.cache_data(max_entries=128, show_spinner=False)
def _remembered(key: tuple[Any, ...], _compute: Callable[[], Any]) -> Any:
    return _compute()


@st.cache_data(max_entries=10_000, show_spinner=False)
def _summary(key: tuple[Any, ...], _run: Run) -> Any:
    """Of every run on every page: apart, so that pictures do not crowd them out, nor many runs each other."""
    return frames.summary(_run)


def _key(value: Any) -> Any:
    if isinstance(value, Run):
        return ("run", value.id, value.revision)
    if isinstance(value, datasets.Dataset):
        return ("dataset", value.name)
    if isinstance(value, tuple | list):
        return tuple(_key(part) for part in value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} is no key: pass the run or data set that it comes from")


# --- Choices, kept in the URL and from page to page ----------------------------------------------------------------


def choose(label: str, options: Sequence[str], key: str, *, help: str | None = None) -> str:  # noqa: A002
    """One of `options` (not empty), kept in the URL under `key`; what is not an option falls back to the first."""
    if len(options) == 1:
        return options[0]
    _carry_over(key, options)
    chosen = st.selectbox(label, options, key=key, bind="query-params", help=help)
    return _kept(key, chosen if chosen in options else options[0])


def switch(label: str, options: Sequence[str], key: str) -> str:
    """One of a few short `options` that are Markdown of ours, side by side; kept in the URL like `choose`."""
    _carry_over(key, options)
    chosen = st.segmented_control(label, options, default=options[0], required=True, key=key, bind="query-params")
    return _kept(key, chosen if chosen in options else options[0])


def choose_run(runs: Sequence[Run]) -> Run:
    """The run in the URL's `run`, else the first that draws samples."""
    by_id = {run.id: run for run in sorted(runs, key=lambda run: (not run.config.samples, run.id))}
    return by_id[
        choose("Run", list(by_id), "run", help="Data set, n, norm power, attack, seed, digest of the settings.")
    ]


def choose_epoch(run: Run) -> int:
    """The epoch in the URL's `epoch`, else the last; beyond the run's end means the last."""
    if run.epoch == 1:
        st.caption("This run has one epoch so far.")
        return 1
    _carry_over("epoch", range(1, run.epoch + 1))
    return _kept("epoch", int(st.slider("Epoch", 1, run.epoch, run.epoch, key="epoch", bind="query-params")))


def _carry_over(key: str, options: Container[Any]) -> None:
    """Give a widget what was chosen on the page before: Streamlit forgets widgets, and their URL, from page to page."""
    before = None if key in st.query_params else st.session_state.get(f"kept {key}")
    chosen = st.session_state.get(key, before)
    if chosen in options:
        st.session_state[key] = chosen  # assigned even if it is there: else the next page's widget ignores it
    elif key in st.session_state:
        del st.session_state[key]


def _kept(key: str, chosen: Result) -> Result:
    st.session_state[f"kept {key}"] = chosen
    return chosen


def dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"


# --- Text ----------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Text as Markdown that shows exactly this text, in one line: every mark is escaped."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def heading(title: str, sentence: str, equation: str, explanation: str) -> None:
    """Title, one sentence of what is to be seen, and the equation (LaTeX) with its explanation in an expander."""
    st.title(title)
    st.write(sentence)
    with st.expander("The equation", icon=":material/function:"):
        st.latex(equation)
        st.write(explanation)


@contextmanager
def messages() -> Iterator[None]:
    """Show an AATError as a message; draw the page again if a trainer committed an epoch while it was read."""
    try:
        yield
    except RunMovedOnError:
        st.rerun()
    except AATError as error:
        st.error(plain(str(error)))
