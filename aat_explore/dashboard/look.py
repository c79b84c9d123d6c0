"""How the dashboard looks around its widgets: spacing, colours, and one entry in the browser's history per page."""

import html
from collections.abc import Mapping

import streamlit as st

CSS = """
<style>
.stMainBlockContainer { padding: 3.9rem 1.5rem 2rem 1.5rem; max-width: none; }
[data-testid="stSidebarHeader"] { height: 2.6rem; padding-bottom: 0; margin-bottom: 0; }
[data-testid="stSidebarContent"] { padding: 0 0.5rem !important; }
[data-testid="stSidebarUserContent"] { padding: 0 0.5rem 2rem 0.5rem !important; }
[data-testid="stSidebarContent"] [data-testid="stVerticalBlock"] { gap: 0.5rem; }
[data-testid="stMain"] [data-testid="stVerticalBlock"] { gap: 0.5rem; }
[data-testid="stMain"] [data-testid="stHorizontalBlock"] { gap: 0.9rem; }
.stElementContainer:has(> .stHtml > style), .st-key-history, .stElementContainer:has(h1.unseen) { position: absolute; }
h1.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
[data-testid="stSidebar"] kbd, .st-key-actions kbd { display: none; }  /* buttons that say their keys on hovering */
[class*="st-key-choose"] button { justify-content: flex-start; text-align: left; padding: 0.3rem 0.6rem; }
[class*="st-key-choose"] button > div { justify-content: flex-start; }
[class*="st-key-choose"] button p { font-size: 0.85rem; line-height: 1.25; }
[data-testid="stPopoverButton"][kind="tertiary"] { min-height: 1.5rem; }
[data-testid="stSidebar"] button[data-variant="segmented_control"] {
  padding: 0.1rem 0.5rem; min-height: 1.9rem; min-width: 1.8rem;
}
[data-testid="stSidebar"] button[data-variant="segmented_control"] p { font-size: 0.82rem; }
[class*="st-key-statement"] { flex-wrap: nowrap; }  /* the help stays beside a statement of two lines */
[class*="st-key-statement"] > :first-child { min-width: 0; }
[class*="st-key-figure"] { position: relative; padding-right: 1.1rem; }  /* room for the download's button */
[class*="st-key-figure"] > .stElementContainer:last-child,
[class*="st-key-figure"] > div:last-child:has([data-testid="stPopover"]) {
  position: absolute; top: -0.4rem; right: -0.4rem; width: auto; z-index: 2; opacity: 0.75;
}
[class*="st-key-figure"] [data-testid="stPopover"] button > div > div:last-child { display: none; }
[class*="st-key-question"] h2 { font-size: 1rem; padding: 0 0 1rem 0; }
.stVegaLiteChart { user-select: none; }
/* The primary colour is dark enough for white text on it; as text on a dark page it would have too little contrast. */
button[data-variant="segmented_control"][data-selected="true"] p, [data-testid="stSliderThumbValue"] {
  color: light-dark(#2a639e, #9cc7f2);
}
button[kind="tertiary"]:is(:hover, :active, [aria-expanded="true"]) { color: light-dark(#2a639e, #9cc7f2); }
/* Streamlit's colours of code have too little contrast on either page. */
.stCode code .token { color: inherit; }
.stCode code :is(.token.comment, .token.punctuation) { color: light-dark(#5b606b, #a3a8b5); }
.stCode code .token.keyword { color: light-dark(#1a5fa8, #6db1f5); }
.stCode code .token.string { color: light-dark(#0b6b2e, #6fd08c); }
.stCode code :is(.token.number, .token.boolean) { color: light-dark(#8a3d00, #ffb37a); }
.stCode code .token.parameter { color: light-dark(#1d5a7d, #7cc9ea); }
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
    """Set the page's spacing and colours, and keep the history short."""
    st.html(CSS)
    _history(key="history", height="content")


def legend(colours: Mapping[str, str]) -> None:
    """One line that says what each colour stands for; charts too narrow for a legend of their own share it."""
    entries = "".join(
        f'<span style="white-space:nowrap"><span style="color:{colour}" aria-hidden="true">■</span> '
        f"{html.escape(label)}</span>"
        for label, colour in colours.items()
    )
    st.html(f'<div style="display:flex;flex-wrap:wrap;gap:2px 12px;font-size:12px">{entries}</div>')
