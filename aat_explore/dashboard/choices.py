"""Choices kept in the URL and across pages: widgets bound to it, and state without a widget.

Every function takes `key`, the name in the URL. A value in the URL that does not fit is replaced by the default, with a
note. `ask` presets a choice, from a callback or from another page.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

from aat_explore.dashboard import state
from aat_explore.dashboard.text import plain
from aat_explore.store import Run

Chosen = TypeVar("Chosen")
Number = TypeVar("Number", int, float)
Fitting = Callable[[Any], Any]  # the widget's value for one from anywhere; None if it does not fit


# --- Widgets -------------------------------------------------------------------------------------------------------


def choose(
    label: str,
    options: Sequence[str],
    key: str,
    *,
    help: str | None = None,  # noqa: A002
    default: str | None = None,
) -> str:
    """One of `options` (not empty); the first unless `default` names another."""
    first = default if default is not None and default in options else options[0]
    _prepare(key, _one_of(options), f"showing {plain(first)}")
    if len(options) == 1:
        return first
    chosen = st.selectbox(label, options, index=options.index(first), key=key, bind="query-params", help=help)
    return _kept(key, chosen if chosen in options else first)


def switch(label: str, options: Sequence[str], key: str) -> str:
    """One of a few short `options`, trusted Markdown, side by side; the first is the default."""
    _prepare(key, _one_of(options), f"showing {plain(options[0])}")
    chosen = st.segmented_control(label, options, default=options[0], required=True, key=key, bind="query-params")
    return _kept(key, chosen if chosen in options else options[0])


def choose_many(
    label: str,
    options: Sequence[str],
    key: str,
    *,
    help: str | None = None,  # noqa: A002
    at_most: int | None = None,
    default: Sequence[str] = (),
) -> list[str]:
    """Any of `options`, in the order chosen; for a filter, none chosen means no filter."""

    def fitting(value: Any) -> list[str] | None:
        named = [value] if isinstance(value, str) else list(value)
        known = [option for option in named if option in options][:at_most]
        return known if known or not named else None

    _prepare(key, fitting, "using the default")
    given = [option for option in default if option in options]
    chosen = st.multiselect(
        label, options, default=given, key=key, bind="query-params", help=help, max_selections=at_most
    )
    return _kept(key, list(chosen))


def number(
    label: str,
    low: Number,
    high: Number,
    default: Number,
    key: str,
    *,
    step: float = 1,
    help: str | None = None,  # noqa: A002
) -> Number:
    """A slider from `low` to `high`, both included; whole numbers if `default` is one."""
    if low == high:
        return low
    _prepare(key, _within(low, high, type(default)), f"showing {default}")
    chosen: Any = st.slider(label, low, high, default, step=step, key=key, bind="query-params", help=help)
    return _kept(key, type(default)(chosen))


def whole(
    label: str,
    low: int,
    high: int,
    default: int,
    key: str,
    *,
    help: str | None = None,  # noqa: A002
) -> int:
    """A typed whole number from `low` to `high`, both included."""
    _prepare(key, _within(low, high, int), f"showing {default}")
    chosen = st.number_input(label, low, high, default, step=1, key=key, bind="query-params", help=help)
    return _kept(key, int(chosen))


def between(
    label: str,
    low: float,
    high: float,
    key: str,
    *,
    step: float | None = None,
    format: str | None = None,  # noqa: A002
    help: str | None = None,  # noqa: A002
) -> tuple[float, float]:
    """Both ends of a range within `low` and `high`; the whole range by default."""
    end_of = _within(low, high, float)

    def fitting(value: Any) -> tuple[float, float] | None:
        ends = [end_of(end) for end in value] if isinstance(value, list | tuple) else []
        return (ends[0], ends[1]) if len(ends) == 2 and None not in ends and ends[0] <= ends[1] else None

    _prepare(key, fitting, "showing the whole range")
    ends = st.slider(label, low, high, (low, high), step=step, format=format, key=key, bind="query-params", help=help)
    return _kept(key, (float(ends[0]), float(ends[1])))


def toggle(label: str, key: str, *, default: bool = False) -> bool:
    """On or off; `true` or `false` in the URL."""
    names = {"true": True, "false": False, True: True, False: False}
    _prepare(key, lambda value: names.get(value.lower() if isinstance(value, str) else value), "using the default")
    return _kept(key, bool(st.toggle(label, default, key=key, bind="query-params")))


def run_box(runs: Sequence[Run]) -> Run:
    """The run in the URL's `run`, else the first."""
    by_id = {run.id: run for run in runs}
    return by_id[
        choose("Run", list(by_id), "run", help="Data set, n, norm power, attack, seed, and a digest of all settings.")
    ]


def epoch_slider(run: Run) -> int:
    """The epoch that the URL's `epoch` names, if the run has it; else its last."""
    if run.epoch == 1:
        st.caption("This run has one epoch so far.")
        return 1
    return number("Epoch", 1, run.epoch, run.epoch, "epoch")


# --- State without a widget ----------------------------------------------------------------------------------------


def ask(key: str, value: Any) -> None:
    """Preset the choice `key` to `value` for the next time it is drawn."""
    state.asked(key).set(value)


def param(key: str) -> str | None:
    """The value of `key` in the URL, else on an earlier page; unchecked."""
    if (asked := state.asked(key).take()) is not None:
        set_param(key, str(asked))
    value: str | None = st.query_params.get(key, state.kept(key).get())
    set_param(key, value)
    return value


def set_param(key: str, value: str | None) -> None:
    """Write `key` to the URL and keep it for other pages; None removes it."""
    state.kept(key).set(value)
    if value is None:
        if key in st.query_params:
            del st.query_params[key]
    elif st.query_params.get(key) != value:
        st.query_params[key] = value


# --- Between a widget, the URL and the previous page ---------------------------------------------------------------


def _prepare(key: str, fitting: Fitting, instead: str) -> None:
    """Give a widget what was chosen elsewhere: Streamlit forgets widgets, and their URL, on leaving a page.

    In this order: a value preset by `ask`, the widget's, the URL's, the previous page's.
    """
    state.BOUND.set(state.BOUND.get() | {key})
    widget, asked = state.widget(key), state.asked(key).take()
    linked = list(st.query_params.get_all(key)) if key in st.query_params else None
    if asked is None and not widget.there and linked is not None:
        value = linked if len(linked) != 1 else linked[0]
        fits = fitting(value)
        if fits is None:
            st.caption(
                f":material/link_off: The link says {plain(key)} = {plain(', '.join(linked)[:80])}, "
                f"which does not fit here; {instead}."
            )
        return
    value = asked if asked is not None else widget.get() if widget.there else state.kept(key).get()
    if value is None:
        return
    fits = fitting(value)
    if fits is not None:
        widget.set(fits)  # even if it is there: else the next page's widget ignores it
    else:
        widget.clear()


def _one_of(options: Sequence[str]) -> Fitting:
    return lambda value: value if value in options else None


def _within(low: Any, high: Any, kind: type) -> Fitting:
    def fitting(value: Any) -> Any:
        try:
            read = kind(value)
        except (TypeError, ValueError):
            return None
        return read if low <= read <= high else None

    return fitting


def _kept(key: str, chosen: Chosen) -> Chosen:
    state.kept(key).set(chosen)
    return chosen
