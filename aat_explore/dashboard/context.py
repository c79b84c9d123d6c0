"""The sidebar: what the pages share, always in the same order: run, second run, epoch, then a page's own filters."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import streamlit as st

from aat_explore import command_lines, datasets
from aat_explore.dashboard import choices, downloads, page, player
from aat_explore.errors import AATError
from aat_explore.store import Run
from aat_explore.views import frames, names

RUN_COLUMNS = {
    "name": st.column_config.TextColumn("run", width=430),
    "clean accuracy": st.column_config.NumberColumn("clean", format="%.1f%%", width=70),
    "robust accuracy": st.column_config.NumberColumn("robust", format="%.1f%%", width=70),
    "status": st.column_config.TextColumn(width=80),
    "flag": st.column_config.TextColumn("fails", width=140),
    "run": st.column_config.TextColumn("id", width=300),
}
RUN_ORDER = list(RUN_COLUMNS)


def choose_run(
    runs: Sequence[Run], *, prefer: Callable[[Run], bool] = lambda run: True, key: str = "run", label: str = "Run"
) -> Run:
    """The run that the sidebar names: any of `runs`, by default the first that `prefer` is true of.

    Local runs come first, newest on top; those of the showcase are offered behind a switch if there are others.
    """
    ordered = in_order(runs)
    default = next((run for run in ordered if prefer(run)), ordered[0])
    by_id = {run.id: run for run in ordered}
    asked = choices.param(key, default.id)
    if asked not in by_id:
        st.warning(
            f"The run {page.plain(str(asked)[:80])} is not in this cache; showing "
            f"{page.plain(names.full_name(default.config))} instead.",
            icon=choices.LINK_OFF,
        )
        choices.set_param(key, default.id)
    run = by_id.get(str(asked), default)
    with st.sidebar:
        st.caption(label)
        named = page.plain(names.full_name(run.config))
        if st.button(named, key=f"choose {key}", help="Choose another run", width="stretch", wrap=True):
            _find(ordered, key, replaced=run)
        _about(run, key)
    return run


def choose_others(run: Run, runs: Sequence[Run], *, key: str = "against", at_most: int = 3) -> list[Run]:
    """Up to `at_most` of `runs` to compare `run` with; none by default. The URL names their ids, with commas."""
    by_id = {other.id: other for other in in_order(runs) if other.id != run.id}
    asked = [run_id for run_id in (choices.param(key) or "").split(",") if run_id not in ("", run.id)]
    chosen = [run_id for run_id in dict.fromkeys(asked) if run_id in by_id][:at_most]
    if unknown := [run_id for run_id in asked if run_id not in by_id]:
        st.warning(
            f"The link compares with {page.plain(', '.join(unknown)[:80])}, which is no run with picks in this cache.",
            icon=choices.LINK_OFF,
        )
    choices.set_param(key, ",".join(chosen) or None)
    named = run_names([run, *(by_id[run_id] for run_id in chosen)])
    rest = [other for other in by_id.values() if other.id not in chosen]
    with st.sidebar:
        for at, run_id in enumerate(chosen):
            if at == 0:
                st.caption("Compare with")
            kept = chosen[:at] + chosen[at + 1 :]
            name, remove = st.columns([6, 1], gap="xxsmall", vertical_alignment="center")
            words = page.plain(named[run_id])
            if name.button(words, key=f"choose {key} {at}", help="Choose another run", width="stretch", wrap=True):
                _find([by_id[run_id], *rest], key, kept, replaced=by_id[run_id])
            if remove.button(":material/close:", key=f"remove {key} {at}", help="Remove", type="tertiary"):
                choices.ask(key, ",".join(kept))
                st.rerun()
        add = "Compare with another" if chosen else "Compare with a run"
        if rest and len(chosen) < at_most and st.button(add, icon=":material/add:", type="tertiary", key=f"add {key}"):
            _find(rest, key, chosen)
    return [by_id[run_id] for run_id in chosen]


def choose_epoch(run: Run) -> int:
    """The epoch that the sidebar's player stands at: by default the run's last."""
    with st.sidebar:
        return player.choose_epoch(run)


def picking_run(runs: Sequence[Run]) -> Run:
    """`recorded_run` for pages that show picks; for n = 0 the page says that there are none."""
    run = recorded_run(runs)
    if run.config.num_perturbed == 0:
        st.info("n = 0 is standard training: this run picked and perturbed nothing.")
        _instead(run, runs)
    return run


def recorded_run(runs: Sequence[Run]) -> Run:
    """`choose_run` for pages about the sampling; a summary keeps its place, and the page says what it lacks."""
    run = choose_run(runs, prefer=lambda run: run.recorded and run.config.samples)
    if not run.recorded:
        st.info(
            "This copy of the run is a summary: it has no record of what each epoch picked. Train it again to see its "
            "picks, or choose another run."
        )
        st.code(page.command(command_lines.train(run.config)), language="bash")
        _instead(run, runs)
    return run


def _instead(run: Run, runs: Sequence[Run]) -> NoReturn:
    """Buttons for up to three runs that have picks, of the same data set if there are any; the page ends here."""
    others = [other for other in in_order(runs) if other.recorded and other.config.samples]
    same = [other for other in others if other.config.dataset == run.config.dataset]
    for other in (same or others)[:3]:
        if st.button(
            page.plain(names.full_name(other.config)), key=f"instead {other.id}", icon=":material/arrow_forward:"
        ):
            choices.ask("run", other.id)
            st.rerun()
    st.stop()
    raise AssertionError("st.stop ends the script")


def run_names(runs: Sequence[Run]) -> dict[str, str]:
    """Run id → its name among these runs."""
    return names.names({run.id: run.config for run in runs})


def offered(runs: Sequence[Run]) -> list[Run]:
    """The runs to choose from, in order; showcase runs only if there is no other, or the switch says so."""
    ordered = in_order(runs)
    local = [run for run in ordered if not run.showcase]
    if not local or len(local) == len(ordered):
        return ordered
    wanted = choices.toggle("Showcase runs", "showcase", help="Include the runs that came with the project.")
    return ordered if wanted else local


def in_order(runs: Sequence[Run]) -> list[Run]:
    """Local runs, newest first; then the showcase: runs that sample, have picks, fail no check and have a large T.

    So the run that most pages open on in a fresh checkout has picks, and keeps its place from page to page.
    """
    by_id = {run.id: run for run in runs}
    return [by_id[run_id] for run_id in page.remembered(_order, list(runs))]


def _order(runs: Sequence[Run]) -> list[str]:
    return [run.id for run in sorted(runs, key=_rank)]


def _rank(run: Run) -> tuple[bool, float, bool, bool, bool, int, str]:
    if not run.showcase:
        return False, -run.modified, False, False, False, 0, run.id
    try:
        num_train = datasets.num_train(run.config.dataset, cache_dir=page.cache_dir())
    except AATError:  # a custom data set that is no longer there
        num_train = 0
    flagged = bool(page.run_summary(run)["flag"])
    return True, 0.0, not run.config.samples, not run.recorded, flagged, -num_train, run.id


def _about(run: Run, key: str) -> None:
    """The run's id, to copy; and the checks that it fails."""
    with st.container(horizontal=True, gap="xsmall"):
        with st.popover("Id", icon=":material/tag:", type="tertiary"):
            st.code(run.id, language=None)
        if key == "run" and (failed := page.run_summary(run)["flag"]):
            number = failed.count(", ") + 1
            label = f"{page.FLAG} fails {number} check{'s' if number > 1 else ''}"
            if st.button(label, type="tertiary", key="open checks", help=page.plain(failed)):
                page.open_page("checks", run=run.id)


@st.dialog("Choose a run", width="large")
def _find(runs: Sequence[Run], key: str, kept: Sequence[str] = (), *, replaced: Run | None = None) -> None:
    """A searchable table of runs; a click on a cell chooses its run, in addition to those whose ids are `kept`.

    `replaced` is the run shown so far, in whose place the other comes.
    """
    query = st.text_input("Search: words in any order", placeholder="pgd-7 10,000 squared", key="find words")
    listed = offered(runs)
    table = page.remembered(frames.runs.runs_table, listed)
    named = run_names(listed)
    table.insert(1, "name", [named[run_id] for run_id in table["run"]])
    is_match = [names.matches(query, " ".join(map(str, row))) for row in table.itertuples(index=False)]
    shown = table[is_match].reset_index(drop=True)
    place = "" if replaced is None else f" in place of {page.plain(names.full_name(replaced.config))}"
    st.caption(f"{len(shown):,} of {len(table):,} runs. Click one to show it{place}.")
    in_percent = {column: 100 * shown[column].astype(float) for column in ("clean accuracy", "robust accuracy")}
    selection = downloads.table(
        shown.assign(**in_percent),
        alt="Runs to choose from",
        column_config=RUN_COLUMNS,
        column_order=RUN_ORDER,
        key=f"find table {query}",
        on_select="rerun",
        selection_mode=["single-row", "single-cell"],
        height=420,
    )["selection"]
    at = next((int(row) for row in [*selection["rows"], *(cell[0] for cell in selection["cells"])]), None)
    if at is not None and at < len(shown):
        choices.ask(key, ",".join([*kept, str(shown["run"].iloc[at])]))
        st.rerun()
