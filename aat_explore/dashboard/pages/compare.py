"""Two or three runs side by side: results, curves, which samples each picked, and differences paired by seed."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from aat_explore.budgets import epsilon_text
from aat_explore.dashboard import choices, context, downloads, page, sheet, state
from aat_explore.dashboard.labels import LABELS
from aat_explore.dashboard.text import duration
from aat_explore.readings import BOOKKEEPING
from aat_explore.store import Run
from aat_explore.views import charts, frames
from aat_explore.views.protocols import Frame

PER_SHEET = 40  # images of each run: five rows of eight beside one another at 1440 px
CHART_HEIGHT = 205
PERCENT = st.column_config.NumberColumn(format="percent")
POINTS = "%+.2f"
LOSS, CLEAN, FGSM, PGD = frames.compare.CURVES
SIDES = {"only one picked": "only", "most unequally": "either"}
CSS = """
<style>
.st-key-compared table { width: 100%; font-size: 0.875rem; }
.st-key-compared :is(th, td) { padding: 0.25rem 0.6rem; border-width: 0 0 1px 0; }
.st-key-compared td:not(:last-child) { white-space: nowrap; }
</style>
"""


def show() -> None:
    """Results, curves, overlap of picks and samples that only one picked; folded: settings, and pairs by seed."""
    page.name("Compare")
    offered = page.ticked_runs()
    runs = _chosen(offered)
    letters = frames.compare.letters(runs)
    named = context.run_names(runs)
    titles = {letters[run.id]: f"{letters[run.id]} · {named[run.id]}" for run in runs}
    page.statement(
        "Compare",
        _difference(runs),
        r"\mathrm{overlap}(e) = \frac{|K_e \cap K'_e|}{|K_e \cup K'_e|}",
        "K and K′ are the sets that two runs picked in epoch e; 1 if they are the same set, 0 if they share no sample. "
        "The dotted line is the overlap expected by chance of two independent uniform draws of these sizes. Runs with "
        "one seed draw with the same random numbers and so overlap more: where p is equal too, the smaller set lies "
        "within the larger.\n\n"
        "Curves are of training loss, and of accuracies on validation images after each epoch, robust ones at each "
        "run's training ε. FGSM accuracy alone proves nothing: a network can learn to resist FGSM alone, which PGD "
        "reveals. ✗ marks runs that fail checks.",
    )
    with st.sidebar:
        robust = choices.switch("Robust curves by", ("PGD", "FGSM"), "curve")
        test, epsilon = _test(runs)
        pair = _pair(runs)
    _results(runs, titles, test, epsilon)
    _curves(runs, PGD if robust == "PGD" else FGSM)
    first, second = pair
    _picked_by_one(first, second, (letters[first.id], letters[second.id]))
    _paired(offered, first, second, (letters[first.id], letters[second.id]), test, epsilon)
    with st.expander("All settings that differ", icon=":material/tune:"):
        downloads.table(
            frames.compare.config_differences(runs), alt="Settings in which the runs differ, one column per run"
        )
        st.caption(
            "All other settings are equal. Settings of sampling and attack are listed for n = 0 too, where they have "
            "no effect."
        )


# --- Which runs ------------------------------------------------------------------------------------------------------


def _chosen(offered: Sequence[Run]) -> list[Run]:
    """The open run, the one to compare it with (by default its nearest neighbour), and a third if asked for."""
    picking = [run.config.dataset for run in offered if run.recorded and run.config.samples]
    run = context.choose_run(
        offered, prefer=lambda run: run.recorded and run.config.samples and picking.count(run.config.dataset) > 1
    )
    nearest = page.remembered(_nearest, run, context.in_order(offered))
    if not nearest:
        st.info("There is only one run here. To train the same with another seed:")
        st.code(page.command("train --seed 1"), language="bash")
        st.stop()
    _follow_the_open_run(run, nearest[0])
    runs = [run, context.choose_run(offered, prefer=lambda run: run.id == nearest[0], key="with", label="Compare with")]
    third = choices.param("third")
    with st.sidebar:
        if third and st.button("Remove the third", icon=":material/close:", type="tertiary", key="remove third"):
            choices.ask("third", "")
            st.rerun()
        unused = [run_id for run_id in nearest if run_id not in {run.id for run in runs}]
        if not third and unused and st.button("Add a third run", icon=":material/add:", type="tertiary"):
            choices.ask("third", unused[0])
            st.rerun()
    if third:
        choices.ask("third", third)
        runs.append(context.choose_run(offered, key="third", label="And with"))
    else:
        choices.set_param("third", None)
    distinct = list({run.id: run for run in runs}.values())
    if len(distinct) < 2:
        st.info("Both are the same run; choose another to compare it with.")
        st.stop()
    return distinct


def _nearest(run: Run, runs: Sequence[Run]) -> list[str]:
    return frames.compare.nearest_runs(run.config, [other for other in runs if other.id != run.id])


def _follow_the_open_run(run: Run, nearest: str) -> None:
    """Compare with the nearest neighbour of a run just opened elsewhere, unless another was chosen or linked."""
    before = state.COMPARED_WITH.get()
    state.COMPARED_WITH.set(nearest)
    shown = choices.showing("with")
    if shown == run.id or (state.LINKED.get() is None and shown == before != nearest):
        choices.ask("with", nearest)


def _pair(runs: Sequence[Run]) -> tuple[Run, Run]:
    """The two runs whose samples and seeds are compared: the first two, or those chosen among three."""
    by_id = {run.id: run for run in runs}
    pairs = frames.compare.pairs(runs)
    first, second = pairs[choices.choose("Samples and seeds of", list(pairs), "pair")]
    return by_id[first], by_id[second]


def _test(runs: Sequence[Run]) -> tuple[str | None, float | None]:
    """A test that all the runs share, and an ε of it; None, None if they share none."""
    tested = page.remembered(frames.compare.tested_alike, list(runs))
    if not tested:
        return None, None
    test = choices.choose("Tested with", list(tested), "test")
    budgets = {f"{epsilon:.4g}": epsilon for epsilon in tested[test]}
    named = {name: epsilon_text(epsilon) for name, epsilon in budgets.items()}
    default = f"{runs[0].config.epsilon:.4g}"
    return test, budgets[choices.choose("Robust accuracy at ε", list(budgets), "at", names=named, default=default)]


def _difference(runs: Sequence[Run]) -> str:
    """In what the runs differ, in one line."""
    differing = frames.compare.config_differences(runs)
    differing = differing[~differing["setting"].isin(BOOKKEEPING)]
    if len(differing) == 0:
        return "These runs have the **same settings**."
    if len(differing) > 3:
        listed = ", ".join(page.plain(LABELS.get(name, name.replace("_", " "))) for name in differing["setting"][:3])
        return f"These runs differ in **{len(differing)} settings**: {listed}, …"
    parts = []
    for name, *values in differing.itertuples(index=False, name=None):
        label = LABELS.get(name, name.replace("_", " "))
        of_each = ", ".join(f"{value} ({letter})" for value, letter in zip(values, differing.columns[1:], strict=True))
        parts.append(f"**{page.plain(label)}**: {page.plain(of_each)}")
    return "These runs differ in " + " · ".join(parts)


# --- Results and curves ----------------------------------------------------------------------------------------------


def _results(runs: list[Run], titles: dict[str, str], test: str | None, epsilon: float | None) -> None:
    """A row for each run, and a row for each difference to the first, in points."""
    table = page.remembered(frames.compare.results, runs, test, epsilon)
    robust = "robust" if test is None or epsilon is None else f"robust ({page.plain(test)}, ε {epsilon_text(epsilon)})"
    lines = [f"| run | clean | {robust} | per epoch | in all | fails |", "|---|---:|---:|---:|---:|---|"]
    for row in table.to_dict("records"):
        at = ord(row["letter"]) - ord("A")
        mark = f":{'blue' if at == 0 else 'orange' if at == 1 else 'red'}[■]"
        cells = [f"{mark} {page.plain(titles[row['letter']])}", _share(row["clean"]), _share(row["robust"])]
        cells += [duration(row["epoch"]), duration(row["total"]), page.plain(row["flag"]) or "–"]
        lines.append(f"| {' | '.join(cells)} |")
    for row in table.to_dict("records")[1:]:
        cells = [f"*{row['letter']} − A*", _points(row["clean more"]), _points(row["robust more"])]
        cells += [_seconds(row["epoch more"]), _seconds(row["total more"]), ""]
        lines.append(f"| {' | '.join(cells)} |")
    st.html(CSS)
    with st.container(key="compared"):
        st.markdown("\n".join(lines))
    if test is None:
        st.caption(
            "These runs have no evaluation on test images in common: each has its own latest, at its training ε. To "
            "evaluate them alike:"
        )
        st.code("\n".join(page.command(f"evaluate {run.id}") for run in runs), language="bash", wrap_lines=True)


def _share(value: float) -> str:
    return "–" if value != value else f"{value:.1%}"


def _points(value: float) -> str:
    return "–" if value != value else f"**{100 * value:+.1f} points**".replace("-", "−")


def _seconds(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{duration(abs(value))}"


def _curves(runs: list[Run], robust: str) -> None:
    """Loss, clean and robust accuracy, and the overlap of picks: one chart each, a colour per run."""
    places = st.columns(4)
    for place, measure in zip(places, (LOSS, CLEAN, robust), strict=False):
        with place:
            curves = page.remembered(frames.compare.curves, runs, measure)
            downloads.chart(
                partial(charts.compare.run_curves, curves, measure, dark=page.dark()),
                curves,
                f"compare-{measure}",
                alt=f"{measure} by epoch, by run",
                height=CHART_HEIGHT,
            )
    with places[3]:
        _overlap(runs)


def _overlap(runs: list[Run]) -> None:
    if unrecorded := [run for run in runs if not run.recorded]:
        letters = frames.compare.letters(runs)
        word = "is a summary" if len(unrecorded) == 1 else "are summaries"
        which = " and ".join(letters[run.id] for run in unrecorded)
        st.info(f"{which} {word}, without a record of what each epoch picked.")
        return
    overlap = page.remembered(frames.compare.overlap, runs)
    if different := sorted({run.config.dataset for run in runs[1:]} - {runs[0].config.dataset}):
        st.info(
            f"Runs of {page.plain(runs[0].config.dataset)} and of {page.plain(', '.join(different))} pick from "
            "different training images: row 7 of one is not row 7 of the other."
        )
    if overlap.empty:
        if not different:
            st.info("No two of these runs picked samples in the same epoch; n = 0 and warm-up pick none.")
        return
    downloads.chart(
        partial(charts.compare.drawn_overlap, overlap, dark=page.dark()),
        overlap,
        "compare-overlap",
        alt="Overlap of the picks by epoch, by pair",
        height=CHART_HEIGHT,
    )


# --- Samples ---------------------------------------------------------------------------------------------------------


def _picked_by_one(first: Run, second: Run, names: tuple[str, str]) -> None:
    if not (first.recorded and second.recorded):
        return
    if first.config.dataset != second.config.dataset:
        st.info(
            "The two have different training images, so there is no sample that only one of them could have picked."
        )
        return
    counts = page.remembered(frames.compare.times_drawn_by_each, first, second)
    epochs = min(first.epoch, second.epoch)
    with st.sidebar:
        kind = SIDES[choices.switch("Samples", tuple(SIDES), "only")]
    if kind == "only":
        groups = {
            f"only {name} picked": frames.compare.draw_differences(counts, side)
            for name, side in zip(names, ("first", "second"), strict=True)
        }
    else:
        groups = {"picked most unequally": frames.compare.draw_differences(counts, "either")}
    widths = [3 if len(ranked) else 1 for ranked in groups.values()]  # an empty side leaves its place to the other
    per_sheet = PER_SHEET if widths == [3, 3] else 7 * PER_SHEET // 4
    sheets = max(1, *(-(-len(ranked) // per_sheet) for ranked in groups.values()), 1)
    with st.sidebar:
        at = per_sheet * (choices.whole("Page of samples", 1, sheets, 1, "sheet") - 1) if sheets > 1 else 0
    for place, (title, ranked) in zip(st.columns(widths), groups.items(), strict=True):
        with place:
            part = ranked[at : at + per_sheet]
            shown = f": {at + 1:,} to {at + len(part):,}" if len(part) < len(ranked) and len(part) else ""
            st.markdown(
                f"**{len(ranked):,} samples {title}** :small[in epochs 1 to {epochs}{shown}; the number is how often]"
            )
            if len(part) and not _gallery(part, first, second, names, title):
                downloads.table(part, alt="Samples, and how often each run picked them")


def _gallery(part: Frame, first: Run, second: Run, names: tuple[str, str], title: str) -> bool:
    """Show a sheet of these samples; False if their images are not on this machine."""
    dataset = page.dataset_of(first)
    if dataset is None:
        return False
    rows = list(part["image"])
    tiles = {"clean": frames.sample.clean_images(first, dataset, rows)}
    captions, titles = frames.compare.count_captions(part, names)
    clicked = sheet.show(tiles, captions, titles, f"compare-sheet {title}")
    if clicked is not None:
        run = second if part["difference"].iloc[clicked] > 0 else first
        page.open_page("sample", run=run.id, image=str(rows[clicked]))
    return True


# --- Pairs with the same seed ----------------------------------------------------------------------------------------


def _paired(
    offered: list[Run], first: Run, second: Run, names: tuple[str, str], test: str | None, epsilon: float | None
) -> None:
    """The difference at equal seeds, over all runs like these two."""
    with st.expander(f"{names[1]} − {names[0]} at equal seeds", icon=":material/balance:"):
        if frames.compare.repetitions(first, second):
            st.info(
                "The two differ in no more than the seed and bookkeeping, so there is no setting to compare at equal "
                "seeds."
            )
            return
        if test is None or epsilon is None:
            st.info("The two have no evaluation on test images in common.")
            return
        paired = page.remembered(frames.compare.paired_by_seed, offered, first, second, test, epsilon)
        if paired.empty:
            st.info(
                "There is no seed with a run of both kinds: a pair has the settings of these two and a common seed. "
                "Train one of them with the other's seed, and evaluate both."
            )
            return
        downloads.table(
            frames.compare.in_points(paired),
            alt=f"Clean and robust accuracy of pairs of runs with the same seed, {names[0]} and {names[1]}",
            column_config=_paired_columns(names),
        )
        downloads.table(
            frames.compare.in_points(frames.compare.mean_differences(paired)),
            alt="Mean difference over seeds",
            column_config={
                "mean difference": st.column_config.NumberColumn("mean difference (points)", format=POINTS),
                "sd": st.column_config.NumberColumn("sd (points)", format="%.2f"),
            },
        )
        st.caption(
            f"Differences in points, {names[1]} minus {names[0]}, for all pairs among the {len(offered)} runs that "
            f"have the settings of {names[0]} and of {names[1]} and share a seed; mean and standard deviation over "
            f"seeds. Robust accuracy: {page.plain(test)}, ε = {epsilon_text(epsilon)}; an upper bound, as a stronger "
            "attack may do better."
        )


def _paired_columns(names: tuple[str, str]) -> dict[str, object]:
    columns: dict[str, object] = {"seed": st.column_config.NumberColumn(format="%d")}
    for kind in ("clean", "robust"):
        for place, name in zip(("first", "second"), names, strict=True):
            columns[f"{kind} accuracy {place}"] = st.column_config.NumberColumn(
                f"{kind} {name}", format="percent", help=f"{kind.capitalize()} accuracy on test images, run {name}"
            )
        columns[f"{kind} accuracy difference"] = st.column_config.NumberColumn(
            f"{kind} {names[1]} − {names[0]}", format=POINTS, help="Points of accuracy"
        )
    return columns
