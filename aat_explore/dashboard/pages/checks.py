"""Whether a run's robustness is real: every check, its result, and what it means."""

import streamlit as st

from aat_explore import optional
from aat_explore.dashboard import choices, context, downloads, page
from aat_explore.views import checks

ICONS = {
    "fail": ":red[:material/close:]",
    "warn": ":orange[:material/priority_high:]",
    "pass": ":green[:material/check:]",
}


def show() -> None:
    """All checks of one run with verdicts and numbers, and the explanation of one of them."""
    page.heading(
        "Checks",
        "Networks can look robust without being so: by hiding gradients, recognising the attack's traces, or failing "
        "altogether. Each check looks for one sign.",
        r"\hat R(\text{PGD}) \;\ge\; \hat R(\text{all attacks}) \;\ge\; R",
        "Robustness is R, the share of images that no x′ within ε turns into an error. The share that survives an "
        "attack is only an upper bound. Each check asks whether that bound may be far off. Passing is no proof.",
    )
    run = context.choose_run(page.ticked_runs())
    results = page.remembered(checks.of_run, run)
    table = page.remembered(checks.table_of, run)
    legend = {"fail": "found", "warn": "signs of it", "pass": "not found"}
    st.write(
        "Each check is named after what it looks for: "
        + ", ".join(f"{ICONS[status]} {legend[status]}" for status in ICONS)
    )
    for row in table.itertuples(index=False, name=None):
        status, check, reason, seen_on = map(str, row)
        st.markdown(f"{ICONS[status]} **{page.plain(check)}** {page.plain(reason)} *({page.plain(seen_on)})*")
    with st.expander("As a table", icon=":material/table:"):
        downloads.table(table, alt="Checks of the run and what they found")
    if checks.reported(run) is None:
        st.info("The network itself has not been checked yet. To attack it in every available way:")
        st.code(page.command(f"check {run.id}"), language="bash")
    elif "evaluations" not in results:
        st.caption("AutoAttack, the standard in the field, has not been tried on this run. To try it on 200 images:")
        st.code(page.command(f"evaluate {run.id} --attack autoattack --images 200"), language="bash")
        if not optional.installed("pyautoattack"):
            st.caption(f"It needs `{optional.remedy('pyautoattack')}`, which is not installed here.")
    explained = checks.explanations()
    names = list(dict.fromkeys([*(name for name in table["check"] if name in explained), *explained]))
    st.subheader("What a check looks for")
    name = choices.choose("Check", names, "check")
    st.markdown(explained[name])
