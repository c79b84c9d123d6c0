"""Everything a browser session remembers: each entry with its type, its meaning and who clears it.

    entry            meaning                                      written by            cleared by
    asked(name)      value preset from elsewhere                  choices.ask           the choice when it is drawn
    kept(name)       last value of a choice, for other pages      choices               choices, when a link is opened
    widget(key)      value of the widget `key`                    Streamlit, choices    Streamlit, on leaving the page
    LINKED           a link just opened, until its page is drawn  choices.begin         choices
    CHOSEN           choices of this run of the page, for its URL choices               choices.begin
    URLS             the page's URLs, latest last                 choices               choices, on leaving the page
    PAGES            the app's pages by their name in the URL     page.know_pages       never; written at each run
    PLAYING          id of the run whose epochs are playing       player                player, at the end or on Pause
    STEPPED_FROM     epoch at which the player waits              player                player, on Play and Pause
    SELECTED         data set, and its selected rows              selection             selection
    LIST             data set, name and rows to step through      steps                 steps, at the next list
    COMPARED_WITH    nearest neighbour of the run last compared   compare               never
    SUBJECT          run whose figure Results showed last         figures               never
    TICKS_ANSWERED   time of the last tick in the table of runs   run_list              never
    TRAIN_PRESET     preset that last filled the form             train_form            never
    TRAIN_REFUSED    why a button of a job did nothing            background            background, once shown
    WORKER_STARTED   when the queue's worker was last started     background            never

No other module of the dashboard touches `st.session_state`; only widgets have keys besides these.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import streamlit as st

Value = TypeVar("Value")
Link = dict[str, list[str]]  # a URL's parameters


@dataclass(frozen=True)
class Entry(Generic[Value]):
    """One entry of the session: its `key` in Streamlit's state, and `empty`, its value while unset."""

    key: str
    empty: Value

    @property
    def there(self) -> bool:
        """Whether it has been written and not cleared since."""
        return self.key in st.session_state

    def get(self) -> Value:
        """Its value, or `empty`."""
        value: Value = st.session_state.get(self.key, self.empty)
        return value

    def set(self, value: Value) -> None:
        """Write it; for a widget, before the widget is drawn."""
        st.session_state[self.key] = value

    def clear(self) -> None:
        """Forget it."""
        if self.there:
            del st.session_state[self.key]

    def take(self) -> Value:
        """Its value, or `empty`, which is then cleared."""
        value = self.get()
        self.clear()
        return value


LINKED: Entry[Link | None] = Entry("state linked", None)
CHOSEN: Entry[Link] = Entry("state chosen", {})
URLS: Entry[list[Link]] = Entry("state urls", [])
PAGES: Entry[dict[str, Any]] = Entry("state pages", {})  # of st.Page, which has no public type
PLAYING: Entry[str | None] = Entry("state playing", None)
STEPPED_FROM: Entry[int | None] = Entry("state stepped from", None)
SELECTED: Entry[tuple[str, tuple[int, ...]] | None] = Entry("state selected", None)
LIST: Entry[tuple[str, str, tuple[int, ...]] | None] = Entry("state list", None)
COMPARED_WITH: Entry[str | None] = Entry("state compared with", None)
SUBJECT: Entry[str | None] = Entry("state subject", None)
TICKS_ANSWERED: Entry[float] = Entry("state ticks answered", 0)
TRAIN_PRESET: Entry[str | None] = Entry("state train preset", None)
TRAIN_REFUSED: Entry[str | None] = Entry("state train refused", None)
WORKER_STARTED: Entry[float] = Entry("state worker started", 0.0)


def asked(name: str) -> Entry[Any]:
    """The value preset for the choice `name`, or None."""
    return Entry(f"asked {name}", None)


def kept(name: str) -> Entry[Any]:
    """The last value of the choice `name`, or None; Streamlit forgets its widget on leaving a page."""
    return Entry(f"kept {name}", None)


def forget_kept() -> None:
    """Clear every `kept` choice: a link says all."""
    for key in [key for key in st.session_state if isinstance(key, str) and key.startswith("kept ")]:
        del st.session_state[key]


def widget(key: str) -> Entry[Any]:
    """The value of the widget `key`, or None."""
    return Entry(key, None)


def component(key: str) -> dict[str, Any]:
    """The values that the component `key` just set, by name; for its callbacks."""
    values: dict[str, Any] = st.session_state.get(key, {})
    return values


def selection(key: str) -> dict[str, Any]:
    """The selections in the chart `key`, by name; for its `on_select` callback."""
    chosen: dict[str, Any] = st.session_state[key]["selection"]
    return chosen
