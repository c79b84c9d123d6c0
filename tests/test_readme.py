"""README is true: its commands run, its tables say what the code says, its file map is the tree."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import own_images
import pytest

from aat_explore.cli import main
from aat_explore.cli.arguments import parse
from aat_explore.cli.commands.training import Demo, Train
from aat_explore.config import checked_config
from aat_explore.presets import PRESETS
from aat_explore.records import EpochMetrics, Evaluation

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
SHELL = [
    line.split("#")[0].strip() for kind, block in BLOCKS if kind == "sh" for line in block.splitlines() if line.strip()
]
AAT = [words[1:] for line in SHELL for part in line.split("&&") if (words := shlex.split(part))[0] == "aat"]


QUICKLY = {
    "list": [],
    "show": [],
    "evaluate": ["--images", "10", "--epsilons", "0.3"],
    "check": ["--images", "20"],
}


def test_it_gives_the_two_commands():
    assert "pip install -e . && aat demo" in SHELL
    assert "pip install -e '.[dev]' && pytest" in SHELL


@pytest.mark.parametrize("words", AAT, ids=" ".join)
def test_every_aat_command_is_one_that_aat_takes(words):
    command = parse(words)
    if isinstance(command, Train):
        from dataclasses import asdict

        checked_config(asdict(command.flags))


def test_the_train_list_show_evaluate_and_check_commands_run(tmp_path, monkeypatch, capsys):
    """As written, but for fewer epochs and images; the full-size preset is trained by the realdata test."""
    from aat_explore.engine import checks

    monkeypatch.setattr(checks, "SQUARE_QUERIES", 50)
    monkeypatch.setenv("AAT_CACHE", str(tmp_path))
    trains = [words for words in AAT if words[0] == "train" and not {"--preset", "--dataset"} & set(words)]
    assert len(trains) == 4
    for words in trains:
        assert main([*words, "--epochs", "1", "--no-evaluate", "--quiet"]) == 0
    run_id = capsys.readouterr().out.split()[-1]
    for words in AAT:
        if words[0] in QUICKLY:
            quick = [run_id if word == "RUN" else word for word in words] + QUICKLY[words[0]]
            assert main(quick) in ((0, 1) if words[0] == "check" else (0,))
            assert run_id in capsys.readouterr().out or words[0] == "evaluate"


@pytest.mark.usefixtures("no_other_data")
def test_the_commands_on_own_images_run(tmp_path, monkeypatch, capsys):
    own_images.write_image_folder(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    trains = [words for words in AAT if "--dataset" in words and words[0] == "train"]
    for words in trains:
        few = ["--num-perturbed", "10", "--epochs", "1", "--no-evaluate"]
        assert main([*words, *few]) == 0
        assert re.match(r"data set photos-[0-9a-f]{8}: ", capsys.readouterr().out)
    assert len(trains) == len(list((tmp_path / "cache" / "runs").iterdir())) == 2


@pytest.mark.slow
@pytest.mark.realdata
def test_the_full_size_preset_runs(real_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AAT_CACHE", str(tmp_path))
    monkeypatch.setenv("AAT_DATA", str(real_data))
    (words,) = (words for words in AAT if "--preset" in words)
    assert main([*words, "--epochs", "1", "--no-evaluate", "--quiet"]) == 0
    from aat_explore.store import Store

    run = Store(tmp_path).open(capsys.readouterr().out.strip())
    assert len(run.probabilities(1)) == 55_000
    assert len(set(run.drawn(1).tolist())) == 1000
    assert run.metrics()["clean_accuracy_val"].iloc[0] > 0.7


@pytest.mark.slow
def test_the_demo_trains_its_four_runs(tmp_path):
    (words,) = (words for words in AAT if isinstance(parse(words), Demo))
    command = [
        sys.executable,
        "-c",
        "import sys; from aat_explore.cli import main; sys.exit(main())",
        *words,
        "--no-app",
    ]
    subprocess.run([*command, "--cache-dir", str(tmp_path)], check=True, stdout=subprocess.DEVNULL, timeout=900)
    from aat_explore.store import Store

    runs = Store(tmp_path).list().runs
    assert {run.config.num_perturbed for run in runs} == {0, 100, 1000, "all"}
    assert all(run.complete and run.evaluations() for run in runs)


@pytest.mark.usefixtures("no_other_data")
def test_the_python_examples_run(tmp_path, monkeypatch, capsys):
    import torch
    from networks import fresh, mini

    images, labels = mini()
    monkeypatch.chdir(tmp_path)
    first, own, public, second = (block for kind, block in BLOCKS if kind == "python")
    exec(public, {})
    assert len(list(tmp_path.glob("cache/runs/*/HEAD.json"))) == 1
    names = {"model": fresh("StdCNN"), "images": images[:50], "labels": labels[:50]}
    exec(first, names)
    assert "\nfail clean accuracy collapsed" in "\n" + capsys.readouterr().out  # it has not been trained
    names = {"images": images, "labels": labels}
    exec(own, names)
    assert names["data"].image_shape == (1, 28, 28)
    names = {"model": fresh("StdCNN"), "images": images, "labels": labels, "torch": torch}
    exec(second, names)
    assert names["x_adv"].shape == (1000, 1, 28, 28)


@pytest.mark.parametrize("model", [EpochMetrics, Evaluation])
def test_the_record_schema_is_the_codes(model):
    for name, info in model.model_fields.items():
        assert f"| `{name}` | {info.description} |" in README


def test_every_preset_is_named():
    assert all(f"`{name}`" in README for name in PRESETS)


def test_the_file_map_is_the_tree():
    named = set(re.findall(r"^\| `((?:aat_explore|app)[\w./]*)` \|", README, flags=re.MULTILINE))
    assert all((ROOT / name).exists() for name in named)
    for path in ROOT.glob("aat_explore/**/*.py"):
        name = path.relative_to(ROOT).as_posix()
        trivial = path.name == "__init__.py" and len(path.read_text(encoding="utf-8").splitlines()) < 15
        assert name in named or trivial or "/data/" in name, f"{name} is missing from README's file map"


def test_pictures_and_files_it_names_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_tables_on_speed_are_those_of_the_committed_measurements():
    from aat_explore.records import Benchmark, ScoringReport
    from aat_explore.views import speed

    (names,) = re.findall(r"^<!-- python -m aat_explore.views.speed (.*) -->$", README, flags=re.MULTILINE)
    bench, report = ((ROOT / name).read_text(encoding="utf-8") for name in names.split())
    tables = speed.section(Benchmark.model_validate_json(bench), ScoringReport.model_validate_json(report))
    assert f"{names} -->\n\n{tables}\n\n<!-- end -->" in README
