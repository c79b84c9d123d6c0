"""The paper's five claims, tested by the runs in the cache, and whether picking by score beats picking at random."""

from collections.abc import Sequence

import streamlit as st

from aat_explore import command_lines
from aat_explore.dashboard import choices, downloads, figures, page
from aat_explore.store import Run
from aat_explore.views import frames
from aat_explore.views.frames import claims
from aat_explore.views.protocols import Frame
from aat_explore.views.recipes import Recipe, recipe

ICONS = {claims.HOLDS: ":green[:material/check:]", claims.FAILS: ":red[:material/close:]"}
UNKNOWN = ":orange[:material/question_mark:]"
NUMBER = st.column_config.NumberColumn(format="%+.2f")
DETAILS = {
    "claim": st.column_config.NumberColumn(width=50),
    "panel": "norm",
    "what": st.column_config.TextColumn("what is compared", width=190),
    "value": st.column_config.NumberColumn(format="%+.2f", help="Points of accuracy, or a ratio of times"),
    "low": st.column_config.NumberColumn("from", format="%+.2f", help="95 % interval"),
    "high": st.column_config.NumberColumn("to", format="%+.2f"),
    "unit": None,
    "seeds": st.column_config.NumberColumn(width=40),
    "means": st.column_config.TextColumn(width=165),
    "verdict": st.column_config.TextColumn(width=90),
}
ORDER = [*claims.COLUMNS[:4], "verdict", *claims.COLUMNS[4:-1]]
WORKS = {
    "difference to all": st.column_config.NumberColumn(format="%+.2f", help="Points"),
    "difference": st.column_config.NumberColumn("difference", format="%+.2f", help="Points"),
    "low": st.column_config.NumberColumn("from", format="%+.2f", help="95 % interval"),
    "high": st.column_config.NumberColumn("to", format="%+.2f"),
    "time relative to all": st.column_config.NumberColumn(format="%.2f"),
}


def show() -> None:
    """Each claim with its verdict for each data set, all comparisons behind it, and how small n may be."""
    page.heading(
        "Claims",
        "The paper's five claims, tested by the runs in this cache with the settings chosen here.",
        r"\Delta = \frac{1}{S}\sum_{s=1}^{S} (a_s - b_s) \;\pm\; t_{0.975,\,S-1}\,\frac{\mathrm{sd}}{\sqrt S}",
        "Accuracies a and b are paired by seed. A claim holds, or does not, where the whole 95 % interval says so; "
        "otherwise it is undecided. With fewer than three seeds the interval only covers the choice of test images, "
        "and is too narrow.",
    )
    runs = page.ticked_runs()
    measured, test = figures.measured(runs)
    names = [name for name in frames.figures.datasets(measured) if _samples(measured, name)]
    if not names:
        st.info("The claims compare runs that perturb n samples with n = 0 and n = all. To train them:")
        st.code(page.command("grid mini --epochs 15 --seeds 2"), language="bash")
        st.stop()
    chosen = {name: figures.choose_recipe(measured, name) for name in names}
    comparisons = claims.claims(measured, chosen, test)
    verdicts = claims.summary(comparisons)
    for claim, statement in claims.STATEMENTS.items():
        part = verdicts[verdicts["claim"] == claim]
        lines = "".join(
            f"  \n{ICONS.get(verdict, UNKNOWN)} {page.plain(dataset)}: **{verdict}**"
            for dataset, verdict in zip(part["dataset"], part["verdict"], strict=True)
        )
        st.markdown(f"**{claim}. {statement}**{lines}")
    st.subheader("What decides them")
    downloads.table(comparisons[ORDER], alt="Comparisons behind the claims", column_config=DETAILS)
    st.caption(
        "Our thresholds: comparable means at most five points of robust accuracy below, robust means ten points above "
        "n = 0. Where full FGSM training is not robust itself, being as robust proves nothing, so that is undecided. "
        "Claims 2 to 4 are about FGSM and not decided by runs with another attack; claim 2 is not decided for custom "
        "images. Seconds on machines that were busy with other work are not comparable."
    )
    _what_works(runs, measured, chosen, test)
    shown = frames.figures.tested_with(measured, test)
    figures.say_what_was_tested(shown[shown["dataset"].isin(names)], test)


def _samples(measured: Frame, dataset: str) -> bool:
    return bool((~measured.loc[measured["dataset"] == dataset, "n"].isin(("0", "all"))).any())


def _what_works(runs: Sequence[Run], measured: Frame, chosen: dict[str, Recipe], test: str) -> None:
    st.subheader("How small may n be?")
    dataset = choices.choose("Data set", list(chosen), "dataset")
    configs = [run.config for run in runs if run.config.dataset == dataset and recipe(run.config) == chosen[dataset]]
    like = max(configs, key=lambda config: config.samples)  # a missing run is trained like those it is compared with
    losses = claims.against_all(measured, dataset, chosen[dataset], test)
    if losses.empty:
        st.info("There is no run with n = all and the same settings and seed. To train one:")
        st.code(page.command(command_lines.train_like(like, num_perturbed="all")), language="bash")
    else:
        st.write(
            f"The smallest n whose robust accuracy is at most {claims.NEARLY:g} points below that of n = all. "
            f"{claims.smallest_enough(losses)}."
        )
        downloads.table(losses, alt="Robust accuracy of each n minus that of n = all", column_config=WORKS)
    st.subheader("Does picking by score beat picking at random?")
    pairs = claims.against_uniform(measured, dataset, chosen[dataset], test)
    if pairs.empty:
        st.info("There is no run that picks at random with the same settings, n and seed. To train one:")
        st.code(page.command(command_lines.train_like(like, norm_power=0.0)), language="bash")
        return
    downloads.table(
        pairs, alt="Robust accuracy when picking by norm minus that when picking at random", column_config=WORKS
    )
