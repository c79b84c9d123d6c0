"""Choices kept in the URL and across pages: widgets, and state without a widget.

Every function takes `key`, the name in the URL. A value in a link that does not fit is replaced by the default, with a
note. `ask` presets a choice, from a callback or from another page.

The URL is written once, at the end of a page (`write_url`), with all that the page needs to be opened again: choices
that are `always` written (run, epoch, test, settings, whose defaults change as runs are trained) and all others that
differ from their default. A URL that the page did not write is a link: it decides everything, and what it does not name
has its default. But a change that is made while the page of a link is still being drawn is newer than the link, and one
that is made before the browser has taken over the URL comes with an earlier URL of the same page.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import streamlit as st

from aat_explore.dashboard import state
from aat_explore.dashboard.text import plain

LINK_OFF = ":material/link_off:"
LATE = 50  # URLs of a page that a slow browser may still send
Chosen = TypeVar("Chosen")
Number = TypeVar("Number", int, float)
Fitting = Callable[[Any], Any]  # the widget's value for one from anywhere; None if it does not fit


# --- Widgets -------------------------------------------------------------------------------------------------------


def choose(
    label: str,
    options: Sequence[str],
    key: str,
    *,
    names: Mapping[str, str] | None = None,
    help: str | None = None,  # noqa: A002
    default: str | None = None,
    always: bool = False,
    label_visibility: Any = "visible",
) -> str:
    """One of `options` (not empty), shown by its name in `names`; the first unless `default` names another."""
    first = default if default is not None and default in options else options[0]
    shown = {option: option for option in options} if names is None else names
    _prepare(key, _one_of(options), f"showing {plain(shown[first])}")
    if len(options) == 1:
        return _kept(key, first, first, always)
    chosen = st.selectbox(
        label,
        options,
        index=options.index(first),
        format_func=lambda option: shown.get(option, option),
        key=key,
        help=help,
        label_visibility=label_visibility,
    )
    return _kept(key, chosen if chosen in options else first, first, always)


def switch(
    label: str, options: Sequence[str], key: str, *, default: str | None = None, label_visibility: Any = "visible"
) -> str:
    """One of a few short `options`, trusted Markdown, side by side; the first unless `default` names another."""
    first = options[0] if default is None else default
    _prepare(key, _one_of(options), f"showing {plain(first)}")
    chosen = st.segmented_control(
        label, options, default=first, required=True, key=key, label_visibility=label_visibility
    )
    return _kept(key, chosen if chosen in options else first, first)


def choose_many(
    label: str,
    options: Sequence[str],
    key: str,
    *,
    names: Mapping[str, str] | None = None,
    help: str | None = None,  # noqa: A002
    at_most: int | None = None,
    default: Sequence[str] = (),
    always: bool = False,
) -> list[str]:
    """Any of `options`, in the order chosen; for a filter, none chosen means no filter."""

    def fitting(value: Any) -> list[str] | None:
        named = [value] if isinstance(value, str) else list(value)
        known = [option for option in named if option in options][:at_most]
        return known if known or not named else None

    _prepare(key, fitting, "using the default")
    given = [option for option in default if option in options]
    shown = {option: option for option in options} if names is None else names
    chosen = st.multiselect(
        label,
        options,
        default=given,
        format_func=lambda option: shown.get(option, option),
        key=key,
        help=help,
        max_selections=at_most,
    )
    return _kept(key, list(chosen), given, always)


def number(
    label: str,
    low: Number,
    high: Number,
    default: Number,
    key: str,
    *,
    step: float = 1,
    help: str | None = None,  # noqa: A002
    always: bool = False,
    format: str | None = None,  # noqa: A002
) -> Number:
    """A slider from `low` to `high`, both included; whole numbers if `default` is one."""
    _prepare(key, _within(low, high, type(default)), f"showing {default}")
    if low == high:
        return _kept(key, low, low, always)
    chosen: Any = st.slider(label, low, high, default, step=step, key=key, help=help, format=format)
    return _kept(key, type(default)(chosen), default, always)


def along(
    label: str,
    stops: Sequence[float],
    default: float,
    key: str,
    *,
    help: str | None = None,  # noqa: A002
) -> float:
    """A slider over a few numbers in ascending order (not empty); the one nearest to `default` at first."""
    first = min(stops, key=lambda stop: abs(stop - default))

    def fitting(value: Any) -> float | None:
        try:
            nearest = min(stops, key=lambda stop: abs(stop - float(value)))
        except (TypeError, ValueError):
            return None
        return nearest if abs(nearest - float(value)) < 1e-6 else None

    _prepare(key, fitting, f"showing {first:g}")
    if len(stops) == 1:
        return _kept(key, first, first)
    chosen = st.select_slider(
        label, list(stops), value=first, format_func=lambda stop: f"{stop:.3g}", key=key, help=help
    )
    return _kept(key, chosen, first)


def whole(
    label: str,
    low: int,
    high: int,
    default: int,
    key: str,
    *,
    help: str | None = None,  # noqa: A002
    always: bool = False,
) -> int:
    """A typed whole number from `low` to `high`, both included."""
    _prepare(key, _within(low, high, int), f"showing {default}")
    chosen = st.number_input(label, low, high, default, step=1, key=key, help=help)
    return _kept(key, int(chosen), default, always)


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
    ends = st.slider(label, low, high, (low, high), step=step, format=format, key=key, help=help)
    return _kept(key, (float(ends[0]), float(ends[1])), (float(low), float(high)))


def toggle(label: str, key: str, *, default: bool = False, help: str | None = None) -> bool:  # noqa: A002
    """On or off; `true` or `false` in the URL."""
    names = {"true": True, "false": False, True: True, False: False}
    _prepare(key, lambda value: names.get(value.lower() if isinstance(value, str) else value), "using the default")
    return _kept(key, bool(st.toggle(label, default, key=key, help=help)), default)


def text(label: str, key: str, *, placeholder: str = "", label_visibility: Any = "visible") -> str:
    """A line of text, empty by default."""
    _prepare(key, lambda value: value if isinstance(value, str) else None, "using the default")
    written = st.text_input(label, key=key, placeholder=placeholder, label_visibility=label_visibility)
    return _kept(key, written, "")


# --- State without a widget ----------------------------------------------------------------------------------------


def ask(key: str, value: Any) -> None:
    """Preset the choice `key` to `value` for the next time it is drawn."""
    state.asked(key).set(value)


def param(key: str, default: str | None = None) -> str | None:
    """The value of `key`, which no widget shows: preset by `ask`, in a link, or kept from before; unchecked."""
    linked = _link(key)
    if (asked := state.asked(key).take()) is not None:
        value: str | None = str(asked)
    elif linked is not None:
        value = linked[key][-1] if linked.get(key) else default
    else:
        value = state.kept(key).get() or default
    set_param(key, value)
    return value


def showing(key: str) -> str | None:
    """What the choice `key` will be if it fits, before it is drawn; unchecked."""
    asked, linked = state.asked(key).get(), _link(key)
    if asked is not None:
        return str(asked)
    if linked is not None:
        return linked[key][-1] if linked.get(key) else None
    widget = state.widget(key)
    value = widget.get() if widget.there else state.kept(key).get()
    return None if value is None else as_link(value)[0]


def set_param(key: str, value: str | None) -> None:
    """Keep `key` for this and other pages, and write it to the URL; None removes it."""
    state.asked(key).clear()
    state.kept(key).set(value)
    chosen = state.CHOSEN.get()
    state.CHOSEN.set({name: texts for name, texts in chosen.items() if name != key})
    if value is not None:
        state.CHOSEN.set(state.CHOSEN.get() | {key: [value]})


# --- The URL ---------------------------------------------------------------------------------------------------------


def begin() -> None:
    """Before a page is drawn: find out whether a link was opened."""
    url, linked = _url(), state.LINKED.get()
    state.CHOSEN.set({})
    if url and url == linked:  # the page was interrupted: what it drew has changed since
        return
    state.LINKED.clear()
    if not url:  # another page was opened
        state.URLS.clear()
    elif url not in state.URLS.get():
        state.LINKED.set(url)
        state.URLS.set([url])
        state.forget_kept()


def write_url() -> None:
    """After a page is drawn: write its choices to the URL, so that it opens the same again."""
    chosen = state.CHOSEN.get()
    state.LINKED.clear()
    state.URLS.set([*state.URLS.get()[1 - LATE :], chosen])
    if chosen != _url():
        st.query_params.from_dict(chosen)


def _link(key: str) -> state.Link | None:
    """The link just opened, until it has decided the choice `key`."""
    return None if state.kept(key).there else state.LINKED.get()


def _url() -> state.Link:
    return {key: list(st.query_params.get_all(key)) for key in st.query_params}


def as_link(value: Any) -> list[str]:
    """A choice's value as the texts of its parameter in a URL."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, list | tuple):
        return [text for part in value for text in as_link(part)]
    return [f"{value:.10g}" if isinstance(value, float) else str(value)]


# --- Between a widget, the URL and the previous page ---------------------------------------------------------------


def _prepare(key: str, fitting: Fitting, instead: str) -> None:
    """Give a widget what was chosen elsewhere: Streamlit forgets widgets on leaving a page.

    In this order: a value preset by `ask`, a link's, the widget's, the previous page's.
    """
    widget, asked, link = state.widget(key), state.asked(key).take(), _link(key)
    linked = None if link is None or asked is not None else link.get(key)
    if asked is not None:
        value = asked
    elif link is not None:
        value = None if not linked else linked if len(linked) != 1 else linked[0]
    else:
        value = widget.get() if widget.there else state.kept(key).get()
    fits = None if value is None else fitting(value)
    if fits is not None:
        widget.set(fits)  # even if it is there: else the next page's widget ignores it
    else:
        widget.clear()
    if linked and fits is None:
        said = plain(", ".join(linked)[:80])
        st.warning(f"The link says {plain(key)} = {said}, which does not fit here; {instead}.", icon=LINK_OFF)


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


def _kept(key: str, chosen: Chosen, default: Chosen, always: bool = False) -> Chosen:
    state.kept(key).set(chosen)
    if always or chosen != default:
        state.CHOSEN.set(state.CHOSEN.get() | {key: as_link(chosen)})
    return chosen
