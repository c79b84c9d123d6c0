"""The bench measures what it says: operations counted exactly, rounds interleaved, ratios within a round."""

import statistics

import pytest
import torch
from networks import fresh, mini_set

from aat_explore.bench import contenders as engine_bench
from aat_explore.bench import fidelity
from aat_explore.bench import tables as speed
from aat_explore.bench.contenders import Contender, our_rows
from aat_explore.bench.machine import Operations, copy_rate, counted, matrix_rate, processor
from aat_explore.cli import main
from aat_explore.cli.arguments import parse
from aat_explore.cli.commands.bench import Bench, Fidelity
from aat_explore.engine.batches import ImageSet
from aat_explore.errors import AATError
from aat_explore.presets import preset
from aat_explore.records import Benchmark, ScoringReport, Timing
from aat_explore.views import charts

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def training() -> ImageSet:
    return mini_set(0, 300)


# --- measures --------------------------------------------------------------------------------------------------------


def test_a_matrix_product_counts_two_operations_a_multiply_and_the_bytes_of_its_three_matrices():
    one, other = torch.rand(20, 30), torch.rand(30, 40)
    with Operations() as seen:
        one @ other
    assert seen.flops == 2 * 20 * 30 * 40
    assert seen.bytes_moved == 4 * (20 * 30 + 30 * 40 + 20 * 40)


def test_a_view_moves_nothing():
    matrix = torch.rand(4, 4)
    with Operations() as seen:
        matrix.view(2, 8)[:1].t().detach()
    assert seen.bytes_moved == 0


def test_a_forward_pass_of_stdcnn_counts_its_layers():
    network = fresh("StdCNN").eval()
    macs = 26**2 * 9 * 10 + 24**2 * 90 * 10 + 10**2 * 90 * 20 + 8**2 * 180 * 20 + 320 * 50 + 50 * 10
    with torch.no_grad(), Operations() as seen:
        network(torch.rand(3, 1, 28, 28))
    assert seen.flops == 2 * 3 * macs


def test_work_is_counted_once_even_if_it_is_done_twice():
    calls = []

    def work() -> None:
        calls.append(torch.ones(8, 8) @ torch.ones(8, 8))

    assert counted(work, CPU).flops == counted(work, CPU, again=True).flops == 2 * 8**3
    assert len(calls) == 3


def test_the_peak_is_what_work_adds_on_linux():
    found = counted(lambda: torch.ones(30_000_000).sum(), CPU).peak_bytes
    if found is None:
        pytest.skip("this system tells no peak")
    assert 0.9 * 120e6 < found < 2 * 120e6


def test_rates_are_of_this_century():
    assert 1e8 < matrix_rate(CPU) < 1e15
    assert 1e8 < copy_rate(CPU) < 1e14
    assert processor()


# --- rounds ----------------------------------------------------------------------------------------------------------


def test_rounds_are_interleaved_after_a_warm_up():
    calls: list[str] = []

    def runner(name: str):
        def run() -> dict[str, float]:
            calls.append(name)
            return {"train": float(len(calls))}

        return run

    contenders = [Contender(name, "ours", {}, runner(name)) for name in "ab"]
    one, two = engine_bench._interleaved(contenders, 3, CPU, lambda name: None)
    assert calls == [*"ab", *"ab", *"ab", *"ab"]
    assert one.phases["train"] == statistics.median([3, 5, 7])
    assert len(one.seconds) == len(two.seconds) == 3


def test_n_is_the_papers_share():
    rows = our_rows(5500)
    assert {row["num_perturbed"] for row in rows.values()} == {0, 10, 100, 1000, "all"}
    assert rows["AAT n=100, carry-over"] == {"num_perturbed": 100, "scoring": "carry-over"}
    assert our_rows(20)["AAT n=1, epoch-start"]["num_perturbed"] == 1


@pytest.mark.slow
def test_a_small_bench_measures_everything(training):
    heard = []
    report = engine_bench.measure(
        preset("mini", epochs=9999), training, training.first(12), num_classes=10, rounds=1,
        progress=lambda done, total, part: heard.append((done, total)),
    )  # fmt: skip
    named = {timing.name: timing for timing in report.timings}
    assert heard == [(done, len(heard)) for done in range(len(heard))]
    assert {"standard", "full PGD-10", "textbook", "foolbox"} <= named.keys()
    assert all(timing.seconds[0] > 0 and timing.flops > 0 for timing in report.timings)
    passes = {name: named[name].flops / named["standard"].flops for name in named}
    # Forward, input-backward and weight-backward count one each; and the first layer's input gradient is extra.
    assert 5 / 3 <= passes["full FGSM"] < 5 / 3 + 0.15
    assert 23 / 3 <= passes["full PGD-10"] < 23 / 3 + 1.2
    nested, independent = (named[f"PGD-40 curve, {name}"].robust_accuracy for name in ("nested", "independent"))
    assert all(one <= other for one, other in zip(nested, independent, strict=True))
    assert Benchmark.model_validate_json(report.model_dump_json()) == report


def test_a_bench_of_no_rounds_is_refused(training):
    with pytest.raises(AATError, match="rounds=0 is less than 1"):
        engine_bench.measure(preset("mini"), training, training, num_classes=10, rounds=0)


# --- tables ----------------------------------------------------------------------------------------------------------


def timing(name: str, seconds: tuple[float, ...], kind: str = "ours", **fields) -> Timing:
    usual = {"phases": {}, "peak_bytes": None, "flops": 1e9, "bytes_moved": 1e9, "config": {}}
    return Timing(name=name, kind=kind, seconds=seconds, **usual | fields)


def made_up(*timings: Timing) -> Benchmark:
    return Benchmark(
        dataset="made-up", num_train=55_000, num_attacked=10, model="StdCNN", rounds=3, device="cpu (x)", cpu="X 1",
        num_threads=2, versions={"torch": "2"}, created="2026-01-01T00:00:00", matrix_flops=2e9, copy_bytes=4e9,
        timings=timings, left_out={},
    )  # fmt: skip


AATS = [
    timing(f"AAT n={n}, {scoring}", seconds)
    for n in ("100", "1,000", "10,000")
    for scoring, seconds in (("epoch-start", (2.0, 4.0, 9.0)), ("carry-over", (1.1, 2.0, 4.4)))
]


def test_ratios_are_taken_within_a_round():
    """The machine slows down twofold each round: medians of times apart would say the same, their extremes not."""
    report = made_up(timing("standard", (1.0, 2.0, 4.0)), *AATS, timing("textbook", (5.0, 10.0, 20.0), "instead"))
    found = speed.targets(report).set_index("ratio")
    row = found.loc["AAT n=1,000, carry-over ÷ standard"]
    assert (row["measured"], row["rounds"], row["met"]) == (pytest.approx(1.1), "1.00–1.10", "yes")
    assert found.loc["textbook ÷ AAT n=1,000, epoch-start", "met"] == "yes"  # 2.5, 2.5, 2.22
    assert found.loc["textbook ÷ AAT n=1,000, carry-over", "measured"] == pytest.approx(4.545, abs=1e-3)


def test_a_missed_target_is_said_to_be_missed():
    report = made_up(timing("standard", (1.0, 1.0, 1.0)), *AATS)
    assert speed.targets(report).set_index("ratio").loc["AAT n=1,000, carry-over ÷ standard", "met"] == "no"


def test_the_table_gives_shares_of_the_machines_rates():
    row = speed.epochs(made_up(timing("standard", (1.0, 2.0, 4.0)))).iloc[0]
    assert (row["seconds"], row["of matrix rate"], row["of copy rate"]) == (2.0, 0.25, 0.125)


def test_markdown_has_a_line_a_row_and_a_dash_for_what_is_missing():
    text = speed.markdown(speed.epochs(made_up(timing("standard", (1.0,)))))
    assert text.splitlines()[0].startswith("| epoch of | seconds |")
    assert "| standard | 1 | 1 | – |" in text


@pytest.mark.parametrize("suffix", [".svg", ".png", ".html"])
def test_the_chart_is_drawn_into_a_file_that_needs_no_network(tmp_path, suffix):
    path = tmp_path / f"speed{suffix}"
    charts.files.save(charts.runs.speed(speed.epochs(made_up(timing("standard", (1.0, 1.0, 1.0)), *AATS))), path)
    assert path.stat().st_size > 1000
    if suffix == ".html":
        assert 'src="http' not in path.read_text(encoding="utf-8")


# --- fidelity --------------------------------------------------------------------------------------------------------


def test_rank_correlation_is_spearmans():
    from scipy.stats import spearmanr

    one, other = torch.rand(200, dtype=torch.float64), torch.rand(200, dtype=torch.float64)
    assert fidelity.rank_correlation(one, other) == pytest.approx(spearmanr(one, other)[0], abs=1e-9)
    assert fidelity.rank_correlation(one, one.exp()) == pytest.approx(1)
    assert fidelity.rank_correlation(one, torch.ones(200)) == 0


def test_the_papers_scoring_is_itself(training):
    config = preset("mini", num_perturbed=50, epochs=2, epsilon=0.1)
    run = fidelity.compare_scoring("epoch-start", config, training, training.first(20), num_classes=10)
    assert [epoch.rank_correlation for epoch in run.epochs] == pytest.approx([1, 1])
    assert [epoch.total_variation for epoch in run.epochs] == [0, 0]
    assert all(0 < epoch.overlap == epoch.overlap_exact < 1 for epoch in run.epochs)


def test_older_scores_are_further_off(training):
    config = preset("mini", num_perturbed=50, epochs=3, epsilon=0.1, score_every=3)
    run = fidelity.compare_scoring("every 3rd", config, training, training.first(20), num_classes=10)
    first, second, third = (epoch.total_variation for epoch in run.epochs)
    assert first == 0 < second < third


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_quick_bench_prints_tables_and_writes_json_and_chart(tmp_path, capsys):
    assert main(["bench", "--quick", "--cache-dir", str(tmp_path), "--plot", str(tmp_path / "speed.svg")]) == 0
    said = capsys.readouterr().out
    (path,) = (tmp_path / "bench").glob("speed-*.json")
    report = Benchmark.model_validate_json(path.read_text(encoding="utf-8"))
    assert str(path) in " ".join(said.split())
    for row in report.timings:
        assert row.kind == "record" or row.name in said
    assert (tmp_path / "speed.svg").read_text(encoding="utf-8").startswith("<svg")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("bench-")] == []


@pytest.mark.slow
def test_fidelity_prints_a_table_and_writes_json(tmp_path, capsys):
    out = tmp_path / "scoring.json"
    words = ["fidelity", "--epochs", "2", "--seeds", "1", "--num-perturbed", "50"]
    assert main([*words, "--cache-dir", str(tmp_path), "--out", str(out)]) == 0
    report = ScoringReport.model_validate_json(out.read_text(encoding="utf-8"))
    assert {run.scoring for run in report.runs} == set(fidelity.WAYS)
    assert "carry-over" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bench", "--quick", "--plot", "speed.pdf"], "its name must end in .svg, .png, .html"),
        (["bench", "--dataset", "fashion-mini", "--rounds", "0"], "rounds=0 is less than 1"),
        (["bench", "--dataset", "fashion-mini", "--samples", "0"], "samples=0 is less than 1"),
        (["bench", "--dataset", "nothing"], "nothing"),
        (["fidelity", "--num-perturbed", "0"], "num_perturbed=0"),
        (["fidelity", "--epochs", "1"], "epochs=1 is less than 2"),
        (["fidelity", "--seeds", "0"], "seeds=0 is less than 1"),
    ],
)
def test_bad_words_end_with_one_line(tmp_path, capsys, words, said):
    assert main([*words, "--cache-dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_flags_have_the_defaults_that_readme_gives():
    assert isinstance(parse(["bench"]), Bench)
    asked = parse(["fidelity"])
    assert isinstance(asked, Fidelity)
    assert (asked.epochs, asked.seeds, asked.num_perturbed) == (15, 3, 1000)
