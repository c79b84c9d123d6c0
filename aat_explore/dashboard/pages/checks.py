"""Whether a run's robustness is real: every check, its verdict, and what it means."""

import streamlit as st

from aat_explore import optional
from aat_explore.dashboard import background, choices, context, downloads, page
from aat_explore.jobs.job import Job
from aat_explore.store import Run
from aat_explore.views import checks
from aat_explore.views.protocols import Frame

MARKS = {  # of each verdict: an icon and the word in its colour
    "fail": ":red[:material/close: fail]",
    "warn": ":orange[:material/priority_high: warn]",
    "pass": ":green[:material/check: pass]",
    "not run": ":gray[:material/remove: not run]",
}
CHECKED = 1000  # images, as many as `aat check` takes
CSS = """
<style>
[class*="st-key-checks-"] table { width: 100%; font-size: 0.875rem; }
[class*="st-key-checks-"] :is(th, td) { padding: 0.28rem 0.6rem; border-width: 0 0 1px 0; }
[class*="st-key-checks-"] td:first-child { white-space: nowrap; }
</style>
"""


def show() -> None:
    """All checks of one run with verdicts and numbers, and beside them the explanation of one of them."""
    page.name("Checks")
    run = context.choose_run(page.ticked_runs())
    table = page.remembered(checks.table_of, run)
    page.statement(
        "Checks",
        _statement(table),
        r"\hat R(\text{PGD}) \;\ge\; \hat R(\text{all attacks}) \;\ge\; R",
        "Networks can look robust without being so: by hiding gradients, recognising the attack's traces, or failing "
        "altogether. Robustness is R, the share of images that no x′ within ε turns into an error. The share that "
        "survives an attack is only an upper bound. Each check asks whether that bound may be far off, and is named by "
        "the state in which it passes. Passing is no proof. *Not run* is neither good nor bad: nobody has looked.",
    )
    st.html(CSS)
    left, right = st.columns([3, 1], gap="medium")
    with left:
        for group in dict.fromkeys(table["group"]):  # the worst first, `not run` last
            _group(table, str(group))
        _not_made_yet(run)
        with st.expander("Download as a table", icon=":material/table:"):
            downloads.table(table.drop(columns=["figures", "group"]), alt="Checks of the run with verdict and numbers")
    with right:
        _explained(table)


def _statement(table: Frame) -> str:
    """How many checks pass, fail and were not run, in one line."""
    numbers = {verdict: int((table["verdict"] == verdict).sum()) for verdict in MARKS}
    made = len(table) - numbers["not run"]
    parts = [f"**{numbers['fail']} of {made} checks {'fails' if numbers['fail'] == 1 else 'fail'}**"]
    if numbers["warn"]:
        parts.append(f"{numbers['warn']} warning{'' if numbers['warn'] == 1 else 's'}")
    parts.append(f"{numbers['pass']} pass")
    if numbers["not run"]:
        parts.append(f"{numbers['not run']} not run")
    return " · ".join(parts)


def _group(table: Frame, group: str) -> None:
    rows = table[table["group"] == group]
    title = "not run" if group == "not run" else f"on {group}"
    lines = [f"| verdict | {title} | {'why' if group == 'not run' else 'numbers'} | on |", "|---|---|---|---|"]
    if group == "not run":
        for reason, of_reason in rows.groupby("numbers", sort=False):
            names = ", ".join(page.plain(check) for check in of_reason["check"])
            lines.append(f"| {MARKS[group]} | :gray[{names}] | :gray[{page.plain(str(reason))}] | |")
    else:
        for row in rows[["verdict", "check", "figures", "numbers", "on"]].itertuples(index=False, name=None):
            verdict, check, figures, reason, on = map(str, row)
            cells = [MARKS[verdict], f"**{page.plain(check)}**", page.plain(figures or reason), page.plain(on)]
            lines.append(f"| {' | '.join(cells)} |")
    with st.container(key=f"checks-{group.replace(' ', '-')}"):
        st.markdown("\n".join(lines))


def _explained(table: Frame) -> None:
    explained = checks.explanations()
    names = list(dict.fromkeys([*(name for name in table["check"] if name in explained), *explained]))
    name = choices.choose("What it looks for", names, "check")
    of_run = table[table["check"] == name]
    if len(of_run):
        st.markdown(f"{MARKS[of_run['verdict'].iloc[0]]} {page.plain(of_run['numbers'].iloc[0])}")
    st.markdown(explained[name])


def _not_made_yet(run: Run) -> None:
    """The commands that make the checks that have not been made."""
    if checks.reported(run) is None:
        st.info("Most checks have not been run. To attack this network in every available way:")
        if run.complete:
            job = Job(config=run.config, evaluate=False, check_images=CHECKED)
            background.offer(run, job, "Check in the background", "check this run")
        st.code(page.command(f"check {run.id}"), language="bash", wrap_lines=True)
    elif checks.BY_EVALUATION not in checks.of_run(run):
        st.caption("AutoAttack, the standard in the field, has not been tried on this run. To try it on 200 images:")
        command = f"evaluate {run.id} --attack autoattack --images 200"
        st.code(page.command(command), language="bash", wrap_lines=True)
        if not optional.installed("pyautoattack"):
            st.caption(f"It needs `{optional.remedy('pyautoattack')}`, which is not installed here.")
