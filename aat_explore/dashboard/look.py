"""How the dashboard looks around its widgets: spacing, and one entry in the browser's history per page."""

import streamlit as st

CSS = """
<style>
.stMainBlockContainer { padding: 3.9rem 1.5rem 2rem 1.5rem; max-width: none; }
[data-testid="stSidebarHeader"] { height: 3rem; padding-bottom: 0; margin-bottom: 0; }
[data-testid="stSidebarUserContent"] { padding: 0 1rem 2rem 1rem; }
[data-testid="stSidebarContent"] [data-testid="stVerticalBlock"] { gap: 0.6rem; }
[data-testid="stMain"] [data-testid="stVerticalBlock"] { gap: 0.6rem; }
h1.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
[data-testid="stSidebar"] kbd { display: none; }  /* buttons of the player say their keys on hovering */
.stVegaLiteChart { user-select: none; }
</style>
"""

# Streamlit adds an entry to the history at each change of a parameter, so that Back would undo the steps of a slider.
# Changes within a page replace the entry; only another page adds one.
HISTORY = """
export default function () {
  if (window.aatHistory) return;
  window.aatHistory = true;
  const push = window.history.pushState.bind(window.history);
  window.history.pushState = (data, title, url) => {
    const here = window.location.pathname;
    const there = url === undefined || url === null ? here : new URL(url, window.location.href).pathname;
    if (there === here) window.history.replaceState(data, title, url);
    else push(data, title, url);
  };
}
"""

_history = st.components.v2.component("aat_history", js=HISTORY)


def apply() -> None:
    """Set the page's spacing, and keep the history short."""
    st.html(CSS)
    _history(key="history", height="content")
