"""What the pages with test accuracies share: which runs, settings and test are shown, and the claims beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from aat_explore import command_lines
from aat_explore.config import RunConfig
from aat_explore.dashboard import choices, context, downloads, page, state
from aat_explore.dashboard.text import label
from aat_explore.store import Run
from aat_explore.views import frames, names
from aat_explore.views.frames import claims
from aat_explore.views.protocols import Frame
from aat_explore.views.recipes import Recipe, recipe

ICONS = {claims.HOLDS: ":green[:material/check:]", claims.FAILS: ":red[:material/close:]"}
UNKNOWN = ":orange[:material/question_mark:]"
POINTS = st.column_config.NumberColumn(format="%+.1f")
DETAILS = {
    "claim": st.column_config.NumberColumn(width=50),
    "panel": "norm",
    "what": st.column_config.TextColumn("what is compared", width=240),
    "value": st.column_config.NumberColumn("value", format="%+.2f", help="Points of accuracy, or a ratio of times"),
    "low": st.column_config.NumberColumn("from", format="%+.2f", help="95% interval"),
    "high": st.column_config.NumberColumn("to", format="%+.2f"),
    "means": st.column_config.TextColumn(width=190),
}
DETAILS_ORDER = ["claim", "panel", "what", "verdict", "value", "low", "high", "unit", "means", "seeds"]
WORKS = {
    "difference to all": POINTS,
    "difference": POINTS,
    "low": st.column_config.NumberColumn("from", format="%+.1f", help="95% interval"),
    "high": st.column_config.NumberColumn("to", format="%+.1f"),
    "time relative to all": st.column_config.NumberColumn(format="%.2f"),
}
FAILING = {
    "name": st.column_config.TextColumn("run", width=330),
    "failed": st.column_config.TextColumn("fails", width=330),
    "tested": st.column_config.TextColumn("tested at", width=170),
    "early": None,
    "run": None,
}


@dataclass(frozen=True)
class Shown:
    """What a figure is about: the runs that are offered, their accuracies, and the choices made among them."""

    runs: Sequence[Run]
    measured: Frame
    dataset: str
    chosen: Recipe
    test: str

    @property
    def configs(self) -> dict[str, RunConfig]:
        """Run id → settings."""
        return frames.results.configs_of(self.runs)

    @property
    def rows(self) -> Frame:
        """The accuracies of the chosen data set, settings and test."""
        return frames.figures.tested_with(frames.results.covered(self.measured, self.dataset, self.chosen), self.test)


def measured(runs: Sequence[Run]) -> Frame:
    """All test accuracies of these runs; stops if there are none, with the commands to measure them."""
    frame = page.remembered(frames.figures.evaluated, list(runs))
    if frame.empty:
        untested(frame, runs)
        st.info("No run in this cache has been evaluated on test images yet, so there is nothing to show.")
        st.stop()
    return frame


def untested(frame: Frame, runs: Sequence[Run]) -> None:
    """Name the runs without a test accuracy, folded, with the commands to measure it."""
    if missing := frames.figures.untested(frame, runs):
        word = "run has" if len(missing) == 1 else "runs have"
        with st.expander(f"{len(missing)} {word} no test accuracy yet", icon=":material/pending:"):
            st.write("To measure it:")
            st.code("\n".join(page.command(f"evaluate {run_id}") for run_id in missing), language="bash")


def offered(runs: Sequence[Run]) -> list[Run]:
    """`context.offered`, in the sidebar; runs ticked on the Runs page and those that a link needs are offered, too."""
    if choices.showing("runs"):
        return context.in_order(runs)
    linked, local = state.LINKED.get(), [run for run in runs if not run.showcase]
    if linked is not None and local:
        there = {run.config.dataset for run in local} | {str(recipe(run.config)) for run in local}
        wanted = {texts[-1] for key, texts in linked.items() if key == "dataset" or key.startswith("settings-")}
        if wanted - there:
            choices.ask("showcase", True)
    with st.sidebar:
        return context.offered(runs)


def choose(runs: Sequence[Run]) -> Shown:
    """The data set, settings and test asked for here; by default those of `_subject`."""
    frame = measured(runs)
    subject = _subject(frame, runs)
    usual = frames.results.usual(frame, subject)
    _follow(subject, usual)
    datasets = frames.figures.datasets(frame)
    named = {name: label(names.dataset_name(name)) for name in datasets}
    dataset = choices.choose("Data set", datasets, "dataset", names=named, default=usual[0], always=True)
    of_dataset = frame[frame["dataset"] == dataset]
    recipes = {str(each): each for each in frames.figures.recipes(frame, dataset)}
    usual = frames.results.usual(of_dataset, subject)
    named = frames.results.settings_names([run.config for run in runs], list(recipes.values()))
    chosen = recipes[
        choices.choose(
            "Settings",
            list(recipes),
            f"settings-{dataset}",
            names=named,
            default=str(usual[1]),
            always=True,
        )
    ]
    covered = frames.results.covered(frame, dataset, chosen)
    usual = frames.results.usual(covered, subject)
    tests = frames.results.ordered_tests(covered, usual[2])
    test = choices.choose("Tested with", tests, "test", default=usual[2], always=True)
    return Shown(runs, frame, dataset, chosen, test)


def _subject(frame: Frame, runs: Sequence[Run]) -> str | None:
    """The tested run whose figure is expected: the one last looked at on another page, else the newest local one."""
    tested = set(frame["run"])
    looked_at = choices.showing("run")
    if looked_at in tested:
        return looked_at
    return next((run.id for run in runs if not run.showcase and run.id in tested), None)


def _follow(subject: str | None, usual: tuple[str, Recipe, str]) -> None:
    """Show the figure of another run once that has been looked at, unless a link or a page asked for one."""
    before = state.SUBJECT.get()
    state.SUBJECT.set(subject)
    keys = ("dataset", f"settings-{usual[0]}", "test")
    if subject in (None, before) or state.LINKED.get() or any(state.asked(key).there for key in keys):
        return
    for key, value in zip(keys, (usual[0], str(usual[1]), usual[2]), strict=True):
        choices.ask(key, value)


def usual_epsilon(shown: Shown) -> float:
    """The tested ε nearest to that of training; 0 if only clean accuracy was tested."""
    trained = frames.results.training_epsilon(shown.rows)
    return min(frames.results.tested_epsilons(shown.rows) or [0.0], key=lambda tested: abs(tested - trained))


# --- Beside and under a figure ---------------------------------------------------------------------------------------


def claims_beside(shown: Shown, numbers: Sequence[int]) -> None:
    """Each of the paper's claims with these numbers: its verdict and what decides it, in a line each."""
    comparisons = claims.claims(shown.measured, {shown.dataset: shown.chosen}, shown.test)
    judged = claims.summary(comparisons).set_index("claim")["verdict"].to_dict()
    for number in numbers:
        if number in judged:
            _verdict(judged[number], claims.SHORT[number], claims.deciding(comparisons, number))
    about = [str(number) for number in numbers if number not in judged]
    if about and set(shown.rows.loc[shown.rows["n"] != "0", "attack"]) - {"fgsm"}:
        word = f"Claims {' and '.join(about)} are" if len(about) > 1 else f"Claim {about[0]} is"
        st.caption(f"{word} about training with FGSM, and not judged by these runs.")


def what_works(shown: Shown) -> None:
    """Whether picking by norm beats picking at random, and how small n may be, in a line each."""
    pairs = claims.against_uniform(shown.measured, shown.dataset, shown.chosen, shown.test)
    if len(pairs):
        verdict, words = claims.better_than_random(pairs)
        _verdict(verdict, "Picking by norm is more robust than picking at random", words)
    losses = claims.against_all(shown.measured, shown.dataset, shown.chosen, shown.test)
    if len(losses):
        st.markdown(
            f":material/straighten: Smallest n at most {claims.NEARLY:g} points less robust than all  \n"
            f":small[{page.plain(claims.smallest_enough(losses))}]"
        )


def _verdict(verdict: str, statement: str, decided: str) -> None:
    detail = f"  \n:small[{page.plain(decided)}]" if decided else ""
    st.markdown(f"{ICONS.get(verdict, UNKNOWN)} **{verdict}** · {page.plain(statement)}{detail}")


def details(shown: Shown, numbers: Sequence[int]) -> None:
    """Every comparison behind the claims, folded."""
    comparisons = claims.claims(shown.measured, {shown.dataset: shown.chosen}, shown.test)
    comparisons = comparisons[comparisons["claim"].isin(numbers)]
    losses = claims.against_all(shown.measured, shown.dataset, shown.chosen, shown.test)
    pairs = claims.against_uniform(shown.measured, shown.dataset, shown.chosen, shown.test)
    if comparisons.empty and losses.empty and pairs.empty:
        return
    with st.expander("What decides the claims", icon=":material/gavel:"):
        if len(comparisons):
            downloads.table(comparisons[DETAILS_ORDER], alt="Comparisons behind the claims", column_config=DETAILS)
        if len(losses):
            st.caption("Robust accuracy at the training ε minus that of n = all, in points")
            downloads.table(losses, alt="Robust accuracy of each n minus that of n = all", column_config=WORKS)
        if len(pairs):
            st.caption("Robust accuracy of picking by norm minus that of picking at random, in points")
            downloads.table(pairs, alt="Picking by norm minus picking at random", column_config=WORKS)


def failing(points: Frame) -> None:
    """How many runs of a figure fail checks, folded: which, and why; a row opens the run's checks."""
    table = frames.results.flagged(points)
    if table.empty:
        return
    total, failed = points["run"].nunique(), int((table["failed"] != "").sum())
    early = int(table["early"].sum())
    parts = [f"{failed} of {total} runs {'fails' if failed == 1 else 'fail'} a check"] if failed else []
    parts += [f"{early} tested before the last epoch"] if early else []
    with st.expander(" · ".join(parts), icon=":material/flag:"):
        chosen = downloads.table(
            table, alt="Runs that fail checks", column_config=FAILING, key="failing", on_select="rerun",
            selection_mode="single-row",
        )["selection"]["rows"]  # fmt: skip
        st.caption("They are crosses in the figure. Select a row to open the run's checks.")
    if chosen and chosen[0] < len(table):
        page.open_page("checks", run=str(table["run"].iloc[chosen[0]]))


def lacking(shown: Shown) -> None:
    """The commands that train what the figure has no run for: n = 0, n = all, picking at random; folded."""
    rows = shown.rows
    configs = [shown.configs[run_id] for run_id in rows["run"].unique()]
    like = max(configs, key=lambda config: (config.samples, config.num_perturbed != 0))
    there = set(rows["n"])
    uniform = ((rows["norm_power"] == 0) & ~rows["n"].isin(frames.figures.BASELINES)).any()
    wanted: dict[str, dict[str, object]] = {
        "n = 0": {} if "0" in there else {"num_perturbed": 0},
        "n = all": {} if "all" in there else {"num_perturbed": "all"},
        "picking samples": {} if there - {"0", "all"} else {"num_perturbed": 1000},
        "picking at random": {} if uniform or not like.samples else {"norm_power": 0.0},
    }
    missing = {name: fields for name, fields in wanted.items() if fields}
    if missing:
        with st.expander(f"No run here with {', '.join(missing)}", icon=":material/add:"):
            st.write("To train and test one of each:")
            commands = [page.command(command_lines.train_like(like, **fields)) for fields in missing.values()]
            st.code("\n".join(commands), language="bash")
