"""Whether a run's robustness is real: every check, what it found, and what it means."""

import streamlit as st

from aat_explore import optional
from aat_explore.dashboard import choices, downloads, page
from aat_explore.views import checks

ICONS = {
    "fail": ":red[:material/close:]",
    "warn": ":orange[:material/priority_high:]",
    "pass": ":green[:material/check:]",
}


def show() -> None:
    """All checks of one run with their verdicts and numbers, and the explanation of one of them."""
    page.heading(
        "Checks",
        "Networks can look robust without being it: by hiding their gradients, by knowing the attack's mark, or by "
        "failing altogether. Each check looks for one sign of it.",
        r"\hat R(\text{PGD}) \;\ge\; \hat R(\text{all attacks}) \;\ge\; R",
        "The share R of images that no x′ within ε fools is what robustness means; the share that an attack leaves is "
        "only an upper bound of it. Each check asks whether the bound may be far off. None found is no proof.",
    )
    run = page.choose_run(page.picked_runs())
    found = page.remembered(checks.of_run, run)
    table = page.remembered(checks.table_of, run)
    legend = {"fail": "the run fails the check", "warn": "signs of it", "pass": "none found"}
    st.write("Each has the name of the trouble: " + ", ".join(f"{ICONS[status]} {legend[status]}" for status in ICONS))
    for row in table.itertuples(index=False, name=None):
        status, check, reason, seen_on = map(str, row)
        st.markdown(f"{ICONS[status]} **{page.plain(check)}** {page.plain(reason)} *({page.plain(seen_on)})*")
    with st.expander("As a table", icon=":material/table:"):
        downloads.table(table, alt="Checks of the run and what they found")
    if checks.reported(run) is None:
        st.info("The network itself has not been checked yet. This attacks it in every way there is:")
        st.code(page.command(f"check {run.id}"), language="bash")
    elif "evaluations" not in found:
        st.caption("AutoAttack, the field's standard, has not been tried on this run. This tries it on 200 images:")
        st.code(page.command(f"evaluate {run.id} --attack autoattack --images 200"), language="bash")
        if not optional.installed("pyautoattack"):
            st.caption(f"It needs `{optional.remedy('pyautoattack')}`, which is not installed here.")
    explained = checks.explanations()
    names = list(dict.fromkeys([*(name for name in table["check"] if name in explained), *explained]))
    st.subheader("What a check looks for")
    name = choices.choose("Check", names, "check")
    st.markdown(explained[name])
