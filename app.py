"""The dashboard: `streamlit run app.py`, or `streamlit run app.py -- --cache-dir X`."""

import streamlit as st

from aat_explore.dashboard import look, page
from aat_explore.dashboard.pages import (
    accuracy,
    attack,
    checks,
    claims,
    compare,
    dynamics,
    guide,
    picks,
    robustness,
    runs,
    sample,
    train,
)

PAGES = {
    "": [
        st.Page(picks.show, title="Picks", icon=":material/image_search:", url_path="picks"),
        st.Page(sample.show, title="Sample", icon=":material/image:", url_path="sample"),
        st.Page(dynamics.show, title="Sampler", icon=":material/insights:", url_path="dynamics"),
        st.Page(accuracy.show, title="Accuracy vs n", icon=":material/show_chart:", url_path="accuracy"),
        st.Page(compare.show, title="Compare", icon=":material/compare_arrows:", url_path="compare"),
        st.Page(runs.show, title="Runs", icon=":material/list:", url_path="runs", default=True),
        st.Page(train.show, title="Train", icon=":material/model_training:", url_path="train"),
    ],
    "More": [
        st.Page(robustness.show, title="Robustness vs ε", icon=":material/shield:", url_path="robustness"),
        st.Page(claims.show, title="Claims", icon=":material/gavel:", url_path="claims"),
        st.Page(checks.show, title="Checks", icon=":material/fact_check:", url_path="checks"),
        st.Page(attack.show, title="Attack lab", icon=":material/science:", url_path="attack"),
        st.Page(guide.show, title="Guide", icon=":material/menu_book:", url_path="guide"),
    ],
}

st.set_page_config(page_title="AAT explore", page_icon="🎯", layout="wide", initial_sidebar_state=260)
look.apply()
page.know_pages([entry for group in PAGES.values() for entry in group])
with page.drawing():
    st.navigation(PAGES, position="top").run()
