"""The documentation that comes with the package, page by page."""

import streamlit as st

from aat_explore.dashboard import choices
from aat_explore.views import guide

KEY = "guide"  # in the URL


def show() -> None:
    """One page of the documentation, chosen above it or by a link from another."""
    title = choices.switch("Page", list(guide.titles().values()), KEY)
    st.title(title)
    for part in guide.parts(title, KEY):
        if isinstance(part, guide.Picture):
            st.image(part.path, caption=part.caption, alt=part.caption)
        else:
            st.markdown(part, unsafe_allow_html=True)  # for links; the text is part of the package
