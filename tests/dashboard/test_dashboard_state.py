"""What a browser session remembers stands in one module, entry by entry."""

import ast
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from aat_explore import dashboard
from aat_explore.dashboard import state

FOLDER = Path(dashboard.__file__).parent
OTHERS = [path for path in (*sorted(FOLDER.glob("*.py")), FOLDER.parents[1] / "app.py") if path.name != "state.py"]


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_only_the_module_of_state_touches_streamlits(path):
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert "session_state" not in names


def test_entries_are_told_apart_and_none_can_be_a_choice_in_the_url():
    entries = [value for value in vars(state).values() if isinstance(value, state.Entry)]
    entries += [make(name) for make in (state.asked, state.kept) for name in ("run", "epoch")]
    assert len({entry.key for entry in entries}) == len(entries) > 4
    assert all(" " in entry.key for entry in entries)
    documented = state.__doc__
    assert all(name in documented for name, value in vars(state).items() if isinstance(value, state.Entry))


def test_what_was_asked_for_is_given_once_and_goes_before_what_was_kept():
    def script():
        import streamlit as st

        from aat_explore.dashboard import choices, state

        state.kept("colour").set("red")
        choices.ask("colour", "green")
        st.write(choices.choose("Colour", ["blue", "red", "green"], "colour"))
        st.write(str(state.asked("colour").there))
        st.write(str(state.CHOSEN.get()))
        st.write(str(state.kept("colour").get()))

    texts = [element.value for element in AppTest.from_function(script).run().markdown]
    assert texts == ["green", "False", "{'colour': ['green']}", "green"]


def test_an_entry_is_empty_until_it_is_set_and_after_it_is_taken():
    def script():
        import streamlit as st

        from aat_explore.dashboard import state

        entry = state.Entry("state of a test", 0)
        said = [entry.there, entry.get(), entry.take()]
        entry.set(3)
        said += [entry.there, entry.take(), entry.there, entry.get()]
        entry.clear()
        st.write(repr(said))

    [text] = AppTest.from_function(script).run().markdown
    assert text.value == repr([False, 0, 0, True, 3, False, 0])
