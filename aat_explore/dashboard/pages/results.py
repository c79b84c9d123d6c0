"""What picking buys: clean and robust accuracy against n, against ε and against time, and the paper's claims."""

from functools import partial

import streamlit as st

from aat_explore.budgets import epsilon_text
from aat_explore.dashboard import choices, downloads, figures, page
from aat_explore.views import charts, frames, names
from aat_explore.views.frames import claims
from aat_explore.views.protocols import Frame
from aat_explore.views.recipes import norm_name

BY_N, BY_EPSILON, BY_SECONDS = "against n", "against ε", "against seconds"
VIEWS = (BY_N, BY_EPSILON, BY_SECONDS)
AAT, PGD = "Fig. 1–3: adaptive training", "Fig. 5: PGD on all samples"
CLAIMS = {BY_N: (1, 2, 3), BY_EPSILON: (4,), BY_SECONDS: (5,)}
BESIDE = [0.74, 0.26]  # widths of the figure and of the claims beside it
HEIGHT = 430
MEANS = {
    "mean": st.column_config.NumberColumn("accuracy", format="percent"),
    "low": st.column_config.NumberColumn("from", format="percent", help="95% interval"),
    "high": st.column_config.NumberColumn("to", format="percent"),
    "epsilon": st.column_config.NumberColumn("ε", format="%.4g"),
    "seconds": st.column_config.NumberColumn(format="%.0f", help="Of training, without validation; mean over runs"),
    "place": None,
    "position": None,
    "summary": None,
}
EQUATION = (
    r"\mathrm{accuracy}(\varepsilon) = \frac{1}{N}\sum_{i=1}^{N} \mathbb{1}\left[\hat y(x_i') = y_i\right],\qquad "
    r"\lVert x_i' - x_i\rVert_\infty \le \varepsilon"
)
EXPLANATION = (
    "N is the number of test images. Accuracy at ε = 0 is *clean* accuracy; at ε > 0 an image counts only if every "
    "attempt of the attack within ε fails, which is an upper bound on robust accuracy: a stronger attack may fool the "
    "network on more images. Points are single runs, lines their means over seeds, bands and bars 95% intervals: "
    "Student's t over seeds from three seeds on, else only over the choice of test images, which is too narrow. "
    "n = 0 (standard training) and n = all sample nothing, so they belong to every norm. The axis of n is logarithmic, "
    "with 0 at its start.\n\n"
    "**Nested**: the ε are tried in ascending order, and an image fooled at one ε stays fooled at all larger ones, so "
    "that the curve cannot rise. **Restarts**: an image counts only if all of them fail. n = all: by default x′ of "
    "all is made once per epoch by the network at its start, which is weaker than the training of Madry et al. (2018); "
    "settings that say *on-the-fly* make it in each batch by the current network.\n\n"
    "**Claims**: a claim holds, or does not, where the whole 95% interval of the differences, paired by seed, says "
    "so; otherwise it is undecided."
)


def show() -> None:
    """One figure of one data set and settings, with the claims about it beside it."""
    runs = figures.offered(page.ticked_runs())
    line = st.container()
    with st.container(horizontal=True, vertical_alignment="top", gap="small"):
        view = choices.switch("Accuracy", VIEWS, "accuracy")
        shown = figures.choose(runs)
        epsilon = _choose_epsilon(shown)
    attack = page.plain(shown.test.split(",")[0])
    points = frames.results.accuracies(shown.measured, shown.dataset, shown.chosen, shown.test, epsilon, shown.configs)
    means = frames.results.with_intervals(points, ["measure", "norm", "n", "place"])
    statements = "\n".join(f"- Claim {number}: {statement}" for number, statement in claims.STATEMENTS.items())
    with line:
        page.heading(
            "Results",
            f"{page.plain(names.dataset_name(shown.dataset))}, {attack} at ε {epsilon_text(epsilon)} · "
            + page.line(frames.results.statement(means, *_looked_at(shown))),
            EQUATION,
            f"{EXPLANATION}\n\n{statements}",
        )
    if view == BY_N:
        _against_n(shown, points, means)
    elif view == BY_EPSILON:
        _against_epsilon(shown, epsilon)
    else:
        _against_seconds(shown, points)
    figures.failing(points)
    figures.details(shown, CLAIMS[view])
    figures.lacking(shown)
    figures.untested(shown.measured, runs)


def _looked_at(shown: figures.Shown) -> tuple[str, str] | tuple[()]:
    """Norm and n of the run last looked at, if it is among those shown."""
    run = choices.showing("run")
    if run is None or run not in set(shown.rows["run"]):
        return ()
    config = shown.configs[run]
    return norm_name(config.norm_power, config.canonical().score), str(config.num_perturbed)


def _choose_epsilon(shown: figures.Shown) -> float:
    stops = frames.results.tested_epsilons(shown.rows) or [0.0]
    trained = frames.results.training_epsilon(shown.rows)
    words = f"These settings train at ε = {trained:g}"
    return choices.along("ε of the attack", stops, figures.usual_epsilon(shown), "eps", help=words)


def _against_n(shown: figures.Shown, points: Frame, means: Frame) -> None:
    figure, beside = st.columns(BESIDE)
    by = ["measure", "norm", "n", "place"]
    single = frames.results.with_means(points, means, by)
    with figure:
        draw = partial(charts.results.accuracy_against_n, single, means, dark=page.dark())
        alt = f"Clean and robust accuracy against n: {'; '.join(frames.results.statement(means))}"
        downloads.chart(draw, single, "accuracy-against-n", alt=alt, height=HEIGHT)
        _table(means)
    with beside:
        figures.claims_beside(shown, CLAIMS[BY_N])
        figures.what_works(shown)


def _against_epsilon(shown: figures.Shown, epsilon: float) -> None:
    if choices.switch("Figure", (AAT, PGD), "figure", label_visibility="collapsed") == PGD:
        _trained_by_pgd(shown, epsilon)
        return
    figure, beside = st.columns(BESIDE)
    runs = frames.results.over_epsilon(shown.measured, shown.dataset, shown.chosen, shown.test, shown.configs)
    means = frames.results.with_intervals(runs, ["norm", "n", "epsilon"])
    single = frames.results.with_means(runs, means, ["norm", "n", "epsilon"])
    norms = list(dict.fromkeys(runs["norm"]))
    every = tuple(dict.fromkeys(runs["n"]))
    with figure:
        for place, norm in zip(st.columns(len(norms)), norms, strict=True):
            with place:
                of_norm = single[single["run"].isin(runs.loc[runs["norm"] == norm, "run"])]
                draw = partial(
                    charts.results.accuracy_against_epsilon, of_norm, means[means["norm"] == norm], "n", epsilon,
                    title=norm, every=every, dark=page.dark(),
                )  # fmt: skip
                downloads.chart(
                    draw, of_norm, f"robustness-against-epsilon-{norm}", height=HEIGHT - 40,
                    alt=f"Accuracy under {shown.test} against ε, picking by {norm}, a line for each n",
                )  # fmt: skip
        _table(means)
    with beside:
        figures.claims_beside(shown, CLAIMS[BY_EPSILON])
        st.markdown(f"**At ε {epsilon_text(epsilon)}**")
        for words in frames.results.at_epsilon(means, epsilon):
            st.markdown(page.plain(words))


def _trained_by_pgd(shown: figures.Shown, epsilon: float) -> None:
    recipes = frames.figures.recipes(shown.measured, shown.dataset)
    settings = frames.results.settings_names(list(shown.configs.values()), recipes)
    runs = frames.results.trained_by_pgd(shown.measured, shown.dataset, shown.test, shown.configs, settings)
    if runs.empty:
        st.info("No run of this data set was trained with PGD on all samples and tested so. To train and test one:")
        st.code(page.command("train --num-perturbed all --attack.kind pgd"), language="bash")
        return
    means = frames.results.with_intervals(runs, ["settings", "epsilon"])
    single = frames.results.with_means(runs, means, ["settings", "epsilon"])
    draw = partial(charts.results.accuracy_against_epsilon, single, means, "settings", epsilon, dark=page.dark())
    downloads.chart(
        draw, single, "robustness-of-pgd-training", height=HEIGHT,
        alt=f"Accuracy under {shown.test} against ε of networks trained with PGD on all samples",
    )  # fmt: skip
    _table(means)


def _against_seconds(shown: figures.Shown, points: Frame) -> None:
    machines = frames.results.machines(points)
    machine = choices.choose("Machine", machines, "machine")
    means = frames.results.in_time(points, machine)
    by = ["measure", "norm", "n"]
    single = frames.results.with_means(points[points["machine"] == machine], means, by)
    figure, beside = st.columns(BESIDE)
    with figure:
        draw = partial(charts.results.accuracy_against_seconds, single, means, dark=page.dark())
        alt = f"Clean and robust accuracy against seconds of training on {machine}, with n beside each mean"
        downloads.chart(draw, single, "accuracy-against-seconds", alt=alt, height=HEIGHT)
        _table(means)
    with beside:
        figures.claims_beside(shown, CLAIMS[BY_SECONDS])
        st.caption(
            f"Scoring, drawing, perturbing and training up to the epoch tested, on {page.plain(machine)}, as recorded; "
            "a machine busy with other work is slower."
        )
        if len(machines) > 1:
            st.caption(
                f"Seconds on different machines are not comparable: runs on "
                f"{len(machines) - 1} other{'s' if len(machines) > 2 else ''} are left out."
            )


def _table(means: Frame) -> None:
    with st.expander("Numbers", icon=":material/table:"):
        downloads.table(means, alt="Mean accuracies with 95% intervals", column_config=MEANS)


# --- Where the figures stood before ----------------------------------------------------------------------------------


def from_accuracy() -> None:
    """Open a link to the former page Accuracy vs n."""
    in_time = st.query_params.get("axis") == "training seconds"
    _redirect(BY_SECONDS if in_time else BY_N)


def from_robustness() -> None:
    """Open a link to the former page Robustness vs ε."""
    _redirect(BY_EPSILON)


def from_claims() -> None:
    """Open a link to the former page Claims."""
    _redirect(BY_N)


def _redirect(view: str) -> None:
    """Show the results with the choices of this link that they still have."""
    kept = {key: st.query_params[key] for key in st.query_params if key not in ("axis", "measure", "accuracy")}
    page.open_page("results", **{"accuracy": view, **kept})
