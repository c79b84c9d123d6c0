"""The dashboard: `streamlit run app.py`, or `streamlit run app.py -- --cache-dir X`."""

import streamlit as st

from aat_explore.dashboard import look, page
from aat_explore.dashboard.pages import (
    attack,
    checks,
    compare,
    dynamics,
    guide,
    overview,
    picks,
    results,
    runs,
    sample,
    train,
)

PAGES = {
    "": [
        st.Page(overview.show, title="Overview", icon=":material/dashboard:", default=True),
        st.Page(picks.show, title="Picks", icon=":material/image_search:", url_path="picks"),
        st.Page(sample.show, title="Sample", icon=":material/image:", url_path="sample"),
        st.Page(dynamics.show, title="Sampler", icon=":material/insights:", url_path="dynamics"),
        st.Page(results.show, title="Results", icon=":material/show_chart:", url_path="results"),
        st.Page(compare.show, title="Compare", icon=":material/compare_arrows:", url_path="compare"),
        st.Page(runs.show, title="Runs", icon=":material/list:", url_path="runs"),
        st.Page(train.show, title="Train", icon=":material/model_training:", url_path="train"),
    ],
    "More": [
        st.Page(checks.show, title="Checks", icon=":material/fact_check:", url_path="checks"),
        st.Page(attack.show, title="Attack lab", icon=":material/science:", url_path="attack"),
        st.Page(guide.show, title="Guide", icon=":material/menu_book:", url_path="guide"),
        st.Page(overview.from_its_name, title="Overview", url_path="overview", visibility="hidden"),
        st.Page(results.from_accuracy, title="Accuracy vs n", url_path="accuracy", visibility="hidden"),
        st.Page(results.from_robustness, title="Robustness vs ε", url_path="robustness", visibility="hidden"),
        st.Page(results.from_claims, title="Claims", url_path="claims", visibility="hidden"),
    ],
}

st.set_page_config(page_title="AAT explore", page_icon="🎯", layout="wide", initial_sidebar_state=260)
look.apply()
page.know_pages([entry for group in PAGES.values() for entry in group])
with page.drawing():
    st.navigation(PAGES, position="top").run()
