"""The measurements of `aat bench` and `aat fidelity` as tables: frames for the command line, Markdown for speed.md."""

import statistics
import sys
import textwrap
from pathlib import Path

import pandas as pd

from aat_explore.records import Benchmark, ScoringReport, Timing


def epochs(bench: Benchmark) -> pd.DataFrame:
    """One row per contender: median seconds, phases, ratio to a standard epoch, work, memory, shares of the rates."""
    standard = next(timing for timing in bench.timings if timing.name == "standard")
    rows = []
    for timing in bench.timings:
        if timing.kind not in ("ours", "instead"):
            continue
        seconds = statistics.median(timing.seconds)
        rows.append(
            {
                "epoch of": timing.name,
                "seconds": seconds,
                "× standard": _ratio(timing, standard)[0],
                "scoring": timing.phases.get("scoring"),
                "perturb": timing.phases.get("perturb"),
                "train": timing.phases.get("train"),
                "GFLOP": None if timing.flops is None else timing.flops / 1e9,
                "of matrix rate": None if timing.flops is None else timing.flops / seconds / bench.matrix_flops,
                "of copy rate": None if timing.bytes_moved is None else timing.bytes_moved / seconds / bench.copy_bytes,
                "MB": None if timing.peak_bytes is None else timing.peak_bytes / 1e6,
            }
        )
    return pd.DataFrame(rows)


def curves(bench: Benchmark) -> pd.DataFrame:
    """One row per way to compute the robustness curve: median seconds, ratio to ours, accuracy at each ε > 0."""
    timings = [timing for timing in bench.timings if timing.kind == "curve"]
    nested, budgets = timings[0], min(len(timing.robust_accuracy) for timing in timings)  # some omit ε = 0
    return pd.DataFrame(
        {
            "curve": timing.name,
            "seconds": statistics.median(timing.seconds),
            "÷ nested": _ratio(timing, nested)[0],
            "accuracy": " ".join(f"{accuracy:.1%}" for accuracy in timing.robust_accuracy[-budgets:]),
        }
        for timing in timings
    )


def targets(bench: Benchmark) -> pd.DataFrame:
    """One row per ratio with a target: its name, the bound, the measured median, least and most."""
    named = {timing.name: timing for timing in bench.timings}
    start, carried = (
        _row(bench, "AAT n=", scoring, 1) for scoring in ("epoch-start", "carry-over")
    )  # the second of three n
    pgd_carried = _row(bench, "AAT-PGD-10 n=", "carry-over", 0)
    curve = "PGD-40 curve, "
    aims: list[tuple[str, str, str, float | None]] = [
        (carried, "standard", "≤", 1.10),
        (start, "full FGSM", "≤", 1.02),
        (pgd_carried, "full PGD-10", "≤", 0.35),
        ("textbook", start, "≥", 2.5),
        ("foolbox", start, "", None),
        ("art", start, "", None),
        ("textbook", carried, "≥", 4.0),
        ("foolbox", carried, "", None),
        ("art", carried, "", None),
        (f"{curve}every image to the end", f"{curve}nested", "≥", 3.0),
        (f"{curve}independent", f"{curve}nested", "≥", 3.0),
    ]
    rows = []
    for numerator, denominator, sign, aim in aims:
        if numerator not in named or denominator not in named:
            continue
        median, least, most = _ratio(named[numerator], named[denominator])
        met = "" if aim is None else "yes" if (median <= aim if sign == "≤" else median >= aim) else "no"
        rows.append(
            {
                "ratio": f"{numerator} ÷ {denominator}",
                "target": "" if aim is None else f"{sign} {aim:g}",
                "measured": median,
                "rounds": f"{least:.2f}–{most:.2f}",
                "met": met,
            }
        )
    return pd.DataFrame(rows)


def fidelity(report: ScoringReport) -> pd.DataFrame:
    """One row per attack and way of scoring: closeness to the paper's scores, final accuracies; means over seeds."""
    rows = []
    for run in report.runs:
        epochs_after_first = [epoch for epoch in run.epochs if epoch.epoch > 1]  # in the first all score alike
        rows.append(
            {
                "attack": str(run.config["attack"]["kind"]).upper(),
                "scoring": run.scoring,
                "rank correlation": statistics.fmean(epoch.rank_correlation for epoch in epochs_after_first),
                "total variation": statistics.fmean(epoch.total_variation for epoch in epochs_after_first),
                "overlap": statistics.fmean(epoch.overlap for epoch in epochs_after_first),
                "of": statistics.fmean(epoch.overlap_exact for epoch in epochs_after_first),
                "clean": run.clean_accuracy,
                "robust": run.robust_accuracy,
            }
        )
    frame = pd.DataFrame(rows)
    grouped = frame.groupby(["attack", "scoring"], sort=False)
    table = grouped.mean()
    for column in ("clean", "robust"):
        table[f"{column} sd"] = grouped[column].std()
    table.insert(0, "seeds", grouped.size())
    return table.reset_index()


def markdown(frame: pd.DataFrame) -> str:
    """Return a frame as a Markdown table, numbers to three significant figures."""
    lines = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


def section(bench: Benchmark, report: ScoringReport) -> str:
    """Return the tables of `docs/speed.md`."""
    table = epochs(bench)[["epoch of", "seconds", "× standard", "scoring", "perturb", "train", "GFLOP", "MB"]]
    (record,) = (timing for timing in bench.timings if timing.kind == "record")
    milliseconds = 1000 * statistics.median(record.seconds)
    matrix, copy, config = bench.matrix_flops / 1e9, bench.copy_bytes / 1e9, report.runs[0].config
    compared = (
        f"{report.dataset}, T = {report.num_train:,}, n = {config['num_perturbed']:,}, ε = {config['epsilon']:g}, "
        f"{config['epochs']} epochs"
    )
    return "\n\n".join(
        [
            _filled(f"{setting(bench)}. Matrix products: {matrix:,.0f} GFLOP/s; copies: {copy:,.0f} GB/s. Seconds:"),
            markdown(table),
            markdown(targets(bench)),
            f"A robustness curve of {bench.num_attacked:,} images, with the accuracy each way finds at each ε > 0:",
            markdown(curves(bench)),
            f"Writing a record takes {milliseconds:.2g} ms (T = {bench.num_train:,}), while the next epoch trains.",
            _filled(
                f"`aat fidelity` ({compared}; means over seeds and epochs after the first, accuracies after the last "
                f"on {report.num_test:,} test images, clean and under PGD-40 at that ε):"
            ),
            markdown(fidelity(report)),
        ]
    )


def cell(value: object) -> str:
    """Return a value as text: three significant figures, a dash if it is missing."""
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        if 0 < abs(value) < 0.001:
            return "< 0.001"
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def setting(bench: Benchmark) -> str:
    """Return one sentence on what was measured where."""
    threads = f", {bench.num_threads} threads" if bench.device.startswith("cpu") else ""
    libraries = ", ".join(f"{name} {version}" for name, version in bench.versions.items() if name != "aat-explore")
    return (
        f"{bench.dataset}, T = {bench.num_train:,}, {bench.model}, {bench.cpu}, {bench.device}{threads}, {libraries}, "
        f"medians of {bench.rounds} interleaved rounds, {bench.created[:10]}"
    )


def main() -> None:
    """Print the tables of `docs/speed.md` from two JSON files: `python -m aat_explore.bench.tables SPEED SCORING`."""
    bench, report = (Path(name).read_text(encoding="utf-8") for name in sys.argv[1:3])
    print(section(Benchmark.model_validate_json(bench), ScoringReport.model_validate_json(report)))


def _filled(paragraph: str) -> str:
    return textwrap.fill(paragraph, 120, break_long_words=False, break_on_hyphens=False)


def _row(bench: Benchmark, start: str, scoring: str, index: int) -> str:
    """Return the name of one of the rows with this start and scoring; empty if there are fewer."""
    names = [timing.name for timing in bench.timings]
    names = [name for name in names if name.startswith(start) and name.endswith(f", {scoring}")]
    return names[index] if len(names) > index else ""


def _ratio(numerator: Timing, denominator: Timing) -> tuple[float, float, float]:
    """Return the median, least and most of the ratios within a round."""
    ratios = [a / b for a, b in zip(numerator.seconds, denominator.seconds, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


if __name__ == "__main__":
    main()
