"""Two or more runs side by side: settings, curves, what each drew, and differences paired by seed."""

from functools import partial

import streamlit as st

from aat_explore.dashboard import choices, downloads, page, sheet
from aat_explore.store import Run
from aat_explore.views import charts, frames
from aat_explore.views.protocols import Frame

AT_MOST = 6  # runs: as many as there are colours
PER_SHEET = 60  # images: five rows at 1280 px
PERCENT = st.column_config.NumberColumn(format="percent")
POINTS = "%+.2f"


def show() -> None:
    """Settings that differ, learning curves, overlap of drawn sets, samples only one run drew, and pairs by seed."""
    page.heading(
        "Compare",
        "How runs differ: their settings, their learning curves, which training samples each drew, and what the "
        "difference buys at equal seeds.",
        r"\mathrm{overlap}(e) = \frac{|K_e \cap K'_e|}{|K_e \cup K'_e|}",
        "K and K′ are the sets that two runs drew in epoch e; 1 if they are the same set, 0 if they share no sample. "
        "Two independent uniform draws of n from T share n²/T samples on average; the table has that overlap.",
    )
    offered = page.ticked_runs()
    by_id = {run.id: run for run in offered}
    chosen = choices.choose_many(
        "Runs",
        list(by_id),
        "compare",
        at_most=AT_MOST,
        default=frames.compare.first_pair(offered),
        help="Two to six; tick rows on the Runs page to narrow the list.",
    )
    runs = [by_id[run_id] for run_id in chosen]
    if len(runs) < 2:
        st.info(
            "Choose at least two runs to compare."
            if len(offered) > 1
            else "There is only one run here. To train the same with another seed:"
        )
        if len(offered) == 1:
            st.code(page.command("train --seed 1"), language="bash")
        st.stop()
    st.markdown(
        "  \n".join(f"**{name}** {page.plain(run_id)}" for run_id, name in frames.compare.letters(runs).items())
    )
    _settings(runs)
    _curves(runs)
    st.subheader("What they drew")
    pairs = frames.compare.pairs(runs)
    light = [run.id for run in runs if not run.recorded]
    if light:
        st.info(f"Light copies have no record of what each epoch drew: {page.plain(', '.join(light))}.")
    else:
        _overlap(runs)
    st.subheader("Pair")
    pair = choices.choose("Pair", list(pairs), "pair", help="The first and second run in what follows.")
    first, second = (by_id[run_id] for run_id in pairs[pair])
    names = (frames.compare.letters(runs)[first.id], frames.compare.letters(runs)[second.id])
    st.caption(f"First: {names[0]}, {page.plain(first.id)}. Second: {names[1]}, {page.plain(second.id)}.")
    _paired(offered, first, second, names)
    if first.recorded and second.recorded:
        _drawn_by_one(first, second, names)


def _settings(runs: list[Run]) -> None:
    st.subheader("Settings that differ")
    downloads.table(
        frames.compare.config_differences(runs), alt="Settings in which the runs differ, one column per run"
    )
    st.caption(
        "All other settings are equal. Settings of sampling and attack are listed for n = 0 too, where they have no "
        "effect."
    )


def _curves(runs: list[Run]) -> None:
    st.subheader("Learning curves")
    measure = choices.switch("Measure", frames.compare.CURVES, "curve")
    curves = page.remembered(frames.compare.curves, runs, measure)
    downloads.chart(
        partial(charts.compare.run_curves, curves, measure),
        curves,
        f"compare-{measure}",
        alt=f"{measure} by epoch, by run",
    )
    failed = dict(zip(curves["run"], curves["failed"], strict=True))
    if named := [f"{run} {page.plain(why)}" for run, why in failed.items() if why]:
        st.markdown(f"{page.FLAG} **Marked ✗ because they fail checks:** {'; '.join(named)}.")
    if measure != frames.compare.CURVES[0]:
        st.caption(
            "On validation images, after each epoch; robust accuracy at each run's training ε. FGSM accuracy alone "
            "proves nothing: a network can learn to resist FGSM alone, which PGD reveals."
        )


def _overlap(runs: list[Run]) -> None:
    if different := sorted({run.config.dataset for run in runs[1:]} - {runs[0].config.dataset}):
        st.info(
            f"Runs of {page.plain(runs[0].config.dataset)} and of {page.plain(', '.join(different))} draw from "
            "different training images: row 7 of one is not row 7 of the other. Overlap and galleries only cover pairs "
            "within one data set."
        )
    overlap = page.remembered(frames.compare.overlap, runs)
    if overlap.empty:
        st.info("No two of these runs drew samples of one data set in the same epoch; n = 0 and warm-up draw none.")
        return
    downloads.chart(
        partial(charts.compare.drawn_overlap, overlap),
        overlap,
        "compare-overlap",
        alt="Overlap of the drawn sets by epoch, by pair",
    )
    st.caption(
        "Small dots: the overlap expected by chance of two independent uniform draws of these sizes. Runs with one "
        "seed draw with the same random numbers and so overlap more: where p is equal too, the smaller set lies "
        "within the larger."
    )
    with st.expander("The numbers", icon=":material/table:"):
        downloads.table(
            overlap,
            alt="Overlap of the drawn sets by epoch",
            column_config={"overlap": PERCENT, "chance": st.column_config.NumberColumn("by chance", format="percent")},
        )


def _paired(offered: list[Run], first: Run, second: Run, names: tuple[str, str]) -> None:
    st.markdown("**Paired by seed**")
    if frames.compare.repetitions(first, second):
        st.info(
            "The two differ in no more than the seed and bookkeeping, so there is no setting to compare at equal seeds."
        )
        return
    tested = page.remembered(frames.compare.tested_alike, [first, second])
    if not tested:
        st.info("The two have no evaluation on test images in common. To evaluate both alike:")
        st.code("\n".join(page.command(f"evaluate {run.id}") for run in (first, second)), language="bash")
        return
    test = choices.choose("Tested with", list(tested), "test")
    budgets = {f"{epsilon:.4g}": epsilon for epsilon in tested[test]}
    epsilon = choices.choose("Robust accuracy at ε", list(budgets), "at", default=f"{second.config.epsilon:.4g}")
    paired = page.remembered(frames.compare.paired_by_seed, offered, first, second, test, budgets[epsilon])
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
        f"Differences in points, {names[1]} minus {names[0]}, for all pairs among the {len(offered)} runs listed that "
        f"have the settings of {names[0]} and of {names[1]} and share a seed; mean and standard deviation over seeds. "
        f"Robust accuracy: {page.plain(test)}, ε = {epsilon}; an upper bound, as a stronger attack may do better."
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


def _drawn_by_one(first: Run, second: Run, names: tuple[str, str]) -> None:
    st.markdown("**Samples that only one of the two drew**")
    if first.config.dataset != second.config.dataset:
        st.info("The two have different training images, so there is no sample that only one of them could have drawn.")
        return
    counts = page.remembered(frames.compare.times_drawn_by_each, first, second)
    sides = {f"only {names[0]}": "first", f"only {names[1]}": "second", "most unequally": "either"}
    runs = {"first": f"{names[0]} alone", "second": f"{names[1]} alone", "either": "either"}
    kind = choices.switch("Drawn by", tuple(sides), "only")
    ranked, drawer = frames.compare.draw_differences(counts, sides[kind]), runs[sides[kind]]
    epochs = min(first.epoch, second.epoch)
    if ranked.empty:
        st.info(f"In epochs 1 to {epochs} no sample was drawn by {drawer}.")
        return
    sheets = -(-len(ranked) // PER_SHEET)
    at = PER_SHEET * (choices.whole("Sheet", 1, sheets, 1, "sheet") - 1) if sheets > 1 else 0
    part = ranked[at : at + PER_SHEET]
    st.caption(
        f"Showing {len(part):,} of {len(ranked):,} samples ({at + 1:,} to {at + len(part):,}), drawn by {drawer} in "
        f"epochs 1 to {epochs}, by decreasing difference; beneath each, how often {names[0]} and {names[1]} drew it. "
        "Click one to follow it through the run that drew it more often."
    )
    if not _gallery(part, first, second, names):
        downloads.table(part, alt="Samples, and how often each run drew them")


def _gallery(part: Frame, first: Run, second: Run, names: tuple[str, str]) -> bool:
    """Show a sheet of these samples; False if their images are not on this machine."""
    dataset = page.dataset_of(first)
    if dataset is None:
        return False
    rows = list(part["image"])
    tiles = {"clean": frames.sample.clean_images(first, dataset, rows)}
    captions, titles = frames.compare.count_captions(part, names)
    clicked = sheet.show(tiles, captions, titles, "compare-sheet")
    if clicked is not None:
        run = second if part["difference"].iloc[clicked] > 0 else first
        page.open_page("sample", run=run.id, image=str(rows[clicked]))
    return True
