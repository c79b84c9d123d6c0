"""The dashboard: `streamlit run app.py`, or `streamlit run app.py -- --cache-dir X`."""

import streamlit as st

from aat_explore.dashboard import accuracy, page, picks, robustness, runs

PAGES = [
    st.Page(runs.show, title="Runs", icon=":material/list:", url_path="runs", default=True),
    st.Page(picks.show, title="Picks", icon=":material/image_search:", url_path="picks"),
    st.Page(accuracy.show, title="Accuracy vs n", icon=":material/show_chart:", url_path="accuracy"),
    st.Page(robustness.show, title="Robustness vs ε", icon=":material/shield:", url_path="robustness"),
]

st.set_page_config(page_title="AAT explore", page_icon="🎯", layout="wide")
page.know_pages(PAGES)
with page.messages():
    st.navigation(PAGES).run()
