"""The command line: what it prints, and that bad input is one line, exit code 2 and nothing on disk."""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import make_evaluation, make_run

from aat_explore import datasets
from aat_explore.attacks import REGISTRY as ATTACKS
from aat_explore.cli import main
from aat_explore.cli.arguments import entries, parse
from aat_explore.config import AttackConfig, EvaluationConfig, RunConfig, checked_config
from aat_explore.dataset_specs import SPECS
from aat_explore.datasets import Split
from aat_explore.errors import AATError
from aat_explore.presets import PRESETS, preset
from aat_explore.records import EpochMetrics, Evaluation
from aat_explore.store import Store
from aat_explore.version import __version__

ROOT = Path(__file__).parents[2]
TINY_RUN = [
    "train", "--device", "cpu", "--threads", "1", "--epochs", "2", "--num-perturbed", "20", "--no-evaluate",
    "--val-attack-steps", "1", "--val-attack-images", "10",
]  # fmt: skip


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("AAT_CACHE", raising=False)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def tiny_data(monkeypatch):
    whole = datasets.load("fashion-mini")
    parts = {
        name: Split(split.labels[:100], split.rows[:100], split.stored[:100])
        for name, split in (("train", whole.train), ("validation", whole.validation), ("test", whole.test))
    }
    monkeypatch.setattr(datasets, "load", lambda name, **where: replace(whole, **parts))


def aat(*words: object) -> int:
    return main([str(word) for word in words])


def in_a_process(*words: object, source: str = "import sys; from aat_explore.cli import main; sys.exit(main())"):
    return subprocess.run(
        [sys.executable, "-c", source, *map(str, words)],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def complaint(capsys) -> str:
    """The one line on stderr; nothing else may have been said."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("aat: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


# --- Bad input -----------------------------------------------------------------------------------------------------

BAD = [
    ("", r"Expected one of {train, demo, list, show, copy, evaluate, check, .*fidelity, embed}; see `aat --help`"),
    ("bogus", r"aat: bogus is not a command; see `aat --help`"),
    ("trian --epochs 3", r"aat: trian is not a command; did you mean `aat train`\?; see `aat --help`"),
    ("list --cache-dri x", r"options: --cache-dri, x; did you mean --cache-dir\?; see `aat list --help`"),
    ("train --num-pertubed 3", r"options: --num-pertubed, 3; did you mean --num-perturbed\?; see `aat train --help`"),
    ("train --bogus 3", r"--bogus.*see `aat train --help`"),
    ("train --epsilon abc", r"--epsilon.*'abc'"),
    ("train --epsilon", r"--epsilon"),
    ("train --epsilon 1.5", r"epsilon=1\.5: input should be less than or equal to 1"),
    ("train --epsilon nan", r"epsilon=nan"),
    ("train --lr 0", r"lr=0\.0: input should be greater than 0"),
    ("train --epochs 0", r"epochs=0"),
    ("train --epochs 1.5", r"--epochs"),
    ("train --num-perturbed -5", r"num_perturbed=-5 is negative"),
    ("train --num-perturbed some", r"--num-perturbed.*'some'"),
    ("train --num-perturbed 5001", r'num_perturbed=5001 exceeds num_train=5000; use "all"'),
    ("train --model VGG", r"model='VGG' is none of StdCNN"),
    ("train --attack.kind cw", rf"attack\.kind='cw' is none of {', '.join(ATTACKS)}"),
    ("train --attack cw", rf"attack\.kind='cw' is none of {', '.join(ATTACKS)}"),
    ("train --attack n-fgsm --attack.options z 3", r"z is not an option of N-FGSM; it takes k"),
    ("train --attack.steps 3", r"attack\.steps=3 has no meaning for FGSM"),
    ("train --attack.kind pgd --attack.steps 0", r"attack\.steps=0"),
    ("train --lr-milestones 2", r"lr_milestones=2 is not a share"),
    ("train --warmup-epochs 11", r"warmup_epochs=11 exceeds epochs=10"),
    ("train --seed -1", r"seed=-1"),
    ("train --dataset nope", rf"dataset='nope' is unknown; choose one of fashion-mini, {', '.join(SPECS)}"),
    ("train --dataset ../../nope", r"dataset=/.*nope is not a folder; give one that holds <class>/"),
    ("train --resize 32", r"resize=32 has no meaning for dataset=fashion-mini; give it with a folder of images"),
    ("train --preset nope", r"'nope'.*--preset"),
    ("train --preset", r"--preset"),
    ("train --device tpu", r"'tpu'.*--device"),
    ("train --threads 0", r"threads=0 is not in 1\.\.1024"),
    ("train --threads 99999999999999999999", r"threads=9+ is not in 1\.\.1024"),
    ("list --bogus", r"--bogus.*see `aat list --help`"),
    ("show", r"RUN.*see `aat show --help`"),
    ("show nope", r"run=nope is not in .*; `aat list --cache-dir .*` shows what is"),
    ("show ../../etc", r"run='../../etc' is not a run id"),
    ("show " + "a" * 65, r"is not a run id .*at most 64"),
    ("evaluate nope", r"run=nope is not in"),
    ("embed nope", r"run=nope is not in"),
    ("embed nope --method tsne", r"'tsne' for argument '--method'"),
    ("evaluate nope --epsilons 2", r"epsilons=2 is outside a pixel's range"),
    ("evaluate nope --steps 0", r"steps=0"),
    ("app --port 99999", r"port=99999 is not in 1\.\.65535"),
]


@pytest.mark.parametrize(("words", "said"), BAD)
def test_bad_input_is_exit_code_2_one_line_that_names_it_and_no_trace_on_disk(
    words, said, tmp_path, capsys, monkeypatch
):
    cache = tmp_path / "cache"
    where = ["--cache-dir", str(cache)] if words.split()[1:] and not words.endswith(("--epsilon", "--preset")) else []
    assert aat(*words.split(), *where) == 2
    assert re.search(said, complaint(capsys))
    assert list(tmp_path.rglob("*")) == [tmp_path / "here"]


def test_a_device_that_is_not_there_is_bad_input(tmp_path, capsys):
    import torch

    missing = [name for name in ("cuda", "mps") if not getattr(torch, name).is_available()]
    assert missing, "no machine has both"
    for name in missing:
        assert aat(*TINY_RUN, "--device", name, "--cache-dir", tmp_path / "cache") == 2
        assert f"device={name} is not available here; omit it to choose one automatically" in complaint(capsys)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("command", [TINY_RUN, ["demo", "--no-app"]])
def test_a_cache_folder_that_cannot_be_written_is_bad_input(tmp_path, capsys, tiny_data, command):
    (tmp_path / "file").write_text("not a folder")
    assert aat(*command, "--cache-dir", tmp_path / "file") == 2
    assert str(tmp_path / "file") in complaint(capsys)
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_cache_folder_without_permission_is_bad_input(tmp_path, capsys, tiny_data, monkeypatch):
    real = Path.mkdir

    def mkdir(path, *args, **kwargs):  # root may write anywhere: the tests' user may well be root
        if "locked" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert aat(*TINY_RUN, "--cache-dir", tmp_path / "locked") == 2
    assert "locked: Permission denied; check the path and its permissions" in complaint(capsys)


def test_bad_input_to_the_installed_program_is_one_line_without_a_traceback(tmp_path):
    done = in_a_process("train", "--num-perturbed", "5001", "--cache-dir", tmp_path / "cache")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'aat: num_perturbed=5001 exceeds num_train=5000; use "all" for full adversarial training\n'
    assert not (tmp_path / "cache").exists()


def test_ctrl_c_is_exit_code_130_and_says_how_to_go_on(tmp_path, capsys, tiny_data, monkeypatch):
    from aat_explore.engine.trainer import Trainer

    real = Trainer.run_epoch

    def run_epoch(trainer, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        return real(trainer, epoch)

    monkeypatch.setattr(Trainer, "run_epoch", run_epoch)
    assert aat(*TINY_RUN, "--quiet", "--cache-dir", tmp_path) == 130
    assert capsys.readouterr().err == "aat: stopped; the same command resumes after the last finished epoch\n"
    (run,) = Store(tmp_path).list().runs
    assert run.epoch == 1
    monkeypatch.undo()


@pytest.mark.parametrize("words", [["list"], ["list", "--json"]])
def test_a_reader_of_the_list_may_stop_reading(tmp_path, words):
    make_run(Store(tmp_path), epochs=1)
    source = "import sys; from aat_explore.cli import main; sys.stdin.readline(); sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", source, *words, "--cache-dir", str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, env=os.environ | {"PYTHONPATH": str(ROOT)}) as process:
        process.stdout.close()
        process.stdin.write(b"go\n")
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.parametrize("closed", ["1>&- 2>&-", "| head -n 1"])
def test_training_is_finished_though_nobody_reads_what_it_says(tmp_path, closed):
    program = f"{shlex.quote(sys.executable)} -c 'import sys; from aat_explore.cli import main; sys.exit(main())'"
    words = f"train --epochs 1 --num-perturbed 0 --no-evaluate --threads 1 --cache-dir {shlex.quote(str(tmp_path))}"
    command = f"set -o pipefail; {program} {words} {closed}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (run,) = Store(tmp_path).list().runs
    assert run.complete


# --- Words become settings -----------------------------------------------------------------------------------------


def flags(*words: str) -> RunConfig:
    import dataclasses

    return checked_config(dataclasses.asdict(parse(["train", *words]).flags))


@pytest.mark.parametrize("name", PRESETS)
def test_without_other_words_the_settings_are_the_presets(name):
    assert flags("--preset", name) == flags(f"--preset={name}") == PRESETS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_a_data_set_alone_brings_its_presets_model_and_epsilon(name):
    """The first preset of the data set: Algorithm 1 to the letter, for the paper's."""
    dataset = PRESETS[name].dataset
    expected = next(config for config in PRESETS.values() if config.dataset == dataset)
    assert flags("--dataset", dataset) == flags(f"--dataset={dataset}") == expected


def test_a_wrong_preset_is_answered_by_all_of_them_in_their_order(capsys):
    assert main(["train", "--preset", "nope"]) == 2
    choices = ", ".join(f"'{name}'" for name in PRESETS)
    assert f"Expected one of ({choices});" in capsys.readouterr().err


def test_what_is_said_outweighs_the_preset_wherever_it_stands():
    expected = preset("letter-cifar10", epsilon=0.1, epochs=3)
    assert flags("--epsilon", "0.1", "--dataset", "cifar10", "--epochs", "3") == expected
    assert flags("--dataset", "cifar10", "--epochs", "3", "--epsilon", "0.1") == expected
    assert flags("--dataset", "cifar10", "--model", "StdCNN").model == "StdCNN"


def test_a_preset_outweighs_the_data_sets_own():
    assert flags("--preset", "mini", "--dataset", "cifar10") == preset("mini", dataset="cifar10")


SAID = {
    "dataset": ("mnist", "mnist"), "model": ("nets:Own", "nets:Own"), "score": ("loss", "loss"),
    "num_perturbed": ("all", "all"),
    "norm_power": ("2", 2.0), "scoring": ("epoch-start", "epoch-start"), "score_every": ("3", 3),
    "perturbing_network": ("on-the-fly", "on-the-fly"), "drawn_samples": ("half", "half"), "warmup_epochs": ("1", 1),
    "epsilon": ("0.1", 0.1), "epochs": ("7", 7), "batch_size": ("32", 32), "optimizer": ("sgd", "sgd"),
    "lr": ("1e-2", 0.01), "momentum": ("0.5", 0.5), "weight_decay": ("5e-4", 5e-4), "dropout": ("0.1", 0.1),
    "lr_milestones": ("0.5 0.75", (0.5, 0.75)), "val_attack_steps": ("2", 2), "val_attack_images": ("9", 9),
    "num_recorded": ("4", 4), "seed": ("11", 11), "replacement": (None, True), "augment": (None, True),
    "normalize": ("no", False), "precision": ("bfloat16", "bfloat16"),
    "attack_precision": ("bfloat16", "bfloat16"),
}  # fmt: skip
SAID_OF_ATTACK = {
    "kind": ("mi-fgsm", "mi-fgsm"), "steps": ("3", 3), "step_size": ("0.01", 0.01), "label": ("predicted", "predicted"),
    "random_start": ("False", False), "options": ("decay 0.5", {"decay": 0.5}),
}  # fmt: skip


def test_every_field_has_a_flag():
    assert SAID.keys() == RunConfig.model_fields.keys() - {"attack"}
    assert SAID_OF_ATTACK.keys() == AttackConfig.model_fields.keys()
    words = ["--preset", "mini"]
    for name, (word, _) in SAID.items():
        flag = name.replace("_", "-")
        words += [f"--no-{flag}"] if word == "no" else [f"--{flag}"] if word is None else [f"--{flag}", *word.split()]
    for name, (word, _) in SAID_OF_ATTACK.items():
        words += [f"--attack.{name.replace('_', '-')}", *word.split()]
    expected = {name: value for name, (_, value) in SAID.items()}
    attack = {name: value for name, (_, value) in SAID_OF_ATTACK.items()}
    assert flags(*words) == preset("mini", **expected, attack=attack)


def test_attack_is_short_for_attack_kind():
    assert flags("--attack", "n-fgsm") == flags("--attack.kind", "n-fgsm") == preset("mini", attack={"kind": "n-fgsm"})


def help_of(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        aat(*words, "--help")
    assert ended.value.code in (0, None)
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_help_lists_every_flag_with_what_it_means(capsys):
    train = help_of(capsys, "train")
    for name, field in RunConfig.model_fields.items():
        if name != "attack":
            assert f"--{name.replace('_', '-')}" in train
            assert field.description.split()[1] in train
    for name in AttackConfig.model_fields:
        assert f"--attack.{name.replace('_', '-')}" in train
    assert {"[paper]", "[ours]"} <= {word for word in train.split() if word.startswith("[")}
    evaluate = help_of(capsys, "evaluate")
    for name in EvaluationConfig.model_fields:
        assert f"--{name.replace('_', '-')}" in evaluate
    commands = help_of(capsys)
    assert all(f" {name} " in commands for name in ("train", "list", "show", "evaluate", "demo", "app"))


@pytest.mark.parametrize("name", entries())
def test_help_says_what_a_flag_that_is_left_out_means_and_never_none(name, capsys):
    text = help_of(capsys, name)
    assert "None" not in text
    if "--threads" in text:
        assert re.search(r"--threads INT.*?\(default: all cores\)", text)


def test_the_help_says_what_the_tool_does_and_not_how_the_package_is_imported(capsys):
    text = help_of(capsys)
    assert "adaptive adversarial training" in text
    assert "aat demo" in text
    assert "import" not in text


def test_the_version_is_printed_alone(capsys):
    with pytest.raises(SystemExit) as ended:
        aat("--version")
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"aat {__version__}\n"


def test_none_is_a_value_of_flags_that_may_be_left_out():
    assert parse(["train", "--preset", "None"]).preset is None
    assert parse(["train", "--device", "None"]).place.device is None


NEW_COMMAND = """
from dataclasses import dataclass
from aat_explore.cli.flags import Command, Json

@dataclass
class Greet(Command):
    \"""Say a name.\"""

    name: str = "you"
    json: Json = False

    def run(self) -> int:
        print(self.name)
        return 3
"""


@pytest.mark.parametrize("command", ["evaluate", "check"])
def test_an_epoch_is_a_number_or_the_best(command):
    assert parse([command, "RUN", "--epoch", "best"]).epoch == "best"
    assert parse([command, "RUN", "--epoch", "7"]).epoch == 7
    assert parse([command, "RUN"]).epoch is None
    with pytest.raises(AATError, match=r"--epoch"):
        parse([command, "RUN", "--epoch", "bst"])


def test_a_command_is_one_class_in_one_file(tmp_path, monkeypatch, capsys):
    from aat_explore.cli import arguments, commands

    (tmp_path / "greeting.py").write_text(NEW_COMMAND)
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    arguments.entries.cache_clear()
    try:
        assert list(arguments.entries())[-1] == "greet"
        assert "greet Say a name." in help_of(capsys)
        assert "--json Print JSON." in help_of(capsys, "greet")
        assert aat("greet", "--name", "x") == 3
        assert capsys.readouterr().out == "x\n"
        assert aat("greet", "--nam", "x") == 2
        assert complaint(capsys).endswith("see `aat greet --help`\n")
    finally:
        arguments.entries.cache_clear()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_completion_knows_every_flag_of_every_command(capsys, shell):
    with pytest.raises(SystemExit) as ended:
        aat("--tyro-print-completion", shell)
    assert ended.value.code in (0, None)
    script = capsys.readouterr().out
    for name in entries():
        assert name in script
        for flag in re.findall(r"--[a-z][a-z.-]+", help_of(capsys, name)):
            assert flag in script


@pytest.mark.parametrize("words", [["--help"], ["--bogus"]])
def test_the_help_waits_for_no_library_but_tyro(words):
    source = (
        "import sys; from aat_explore.cli.arguments import parse\n"
        "try: parse(sys.argv[1:])\n"
        "except BaseException as error: print(error)\n"
        "print(sorted({'numpy', 'pandas', 'pyarrow', 'pydantic', 'rich', 'torch'} & sys.modules.keys()))"
    )
    done = in_a_process(*words, source=source)
    assert done.stdout.endswith("[]\n")
    assert done.stderr == ""


def test_the_cache_is_the_one_of_the_environment_unless_told_otherwise(tmp_path, monkeypatch):
    assert parse(["list"]).cache_dir == Path("cache")
    monkeypatch.setenv("AAT_CACHE", str(tmp_path / "env"))
    assert parse(["list"]).cache_dir == tmp_path / "env"
    assert parse(["list", "--cache-dir", "x"]).cache_dir == Path("x")


# --- train, evaluate -----------------------------------------------------------------------------------------------


def test_quiet_training_prints_the_run_id_and_nothing_else(tmp_path, capsys, tiny_data):
    assert aat(*TINY_RUN, "--quiet", "--cache-dir", tmp_path / "cache") == 0
    out, err = capsys.readouterr()
    (run,) = Store(tmp_path / "cache").list().runs
    assert (out, err) == (run.id + "\n", "")
    assert run.complete
    assert run.config == preset("mini", epochs=2, num_perturbed=20, val_attack_steps=1, val_attack_images=10)


def test_training_says_one_line_an_epoch_and_where_the_run_is_even_in_a_folder_named_like_markup(
    tmp_path, capsys, tiny_data
):
    cache = tmp_path / "[bold]odd[" / "blue]"
    assert aat(*TINY_RUN, "--cache-dir", cache) == 0
    out, err = capsys.readouterr()
    (run,) = Store(cache).list().runs
    lines = out.splitlines()
    assert err == ""
    assert lines[0] == f"{run.id} on cpu, 1 threads"
    assert [line.split("  ")[0] for line in lines[1:3]] == ["epoch 1/2", "epoch 2/2"]
    assert lines[3:] == [f"in {run.path}"]
    assert aat(*TINY_RUN, "--cache-dir", cache) == 0
    assert capsys.readouterr().out.splitlines() == [f"{lines[0]}, is complete already", lines[3]]
    assert aat("show", run.id, "--cache-dir", cache) == 0
    assert f"in {run.path}, all {len(run.head.files)} files verified" in capsys.readouterr().out


def test_evaluating_prints_the_evaluation_that_it_stores(tmp_path, capsys, tiny_data):
    aat(*TINY_RUN, "--quiet", "--cache-dir", tmp_path)
    run_id = capsys.readouterr().out.strip()
    words = ["evaluate", run_id, "--epsilons", "0", "0.1", "--steps", "2", "--images", "20", "--cache-dir", tmp_path]
    assert aat(*words, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    (stored,) = Store(tmp_path).open(run_id).evaluations()
    assert shown.pop("accuracies") == list(stored.accuracies)
    assert shown.pop("intervals") == [list(interval) for interval in stored.intervals]
    assert Evaluation.model_validate(shown) == stored
    assert aat(*words) == 0
    out = capsys.readouterr().out
    assert "accuracy under PGD-2 (nested), 20 test images, epoch 2, " in out
    assert f"{stored.accuracies[0]:.2%}" in out
    assert len(Store(tmp_path).open(run_id).evaluations()) == 1


def test_the_showcase_is_not_evaluated(tmp_path, capsys):
    run = make_run(Store(tmp_path / "showcase"), epochs=1)
    assert aat("evaluate", run.id, "--seed", 5, "--cache-dir", tmp_path) == 2
    assert f"add --cache-dir {tmp_path / 'showcase'}" in complaint(capsys)


# --- embed -----------------------------------------------------------------------------------------------------------


def test_embedding_says_where_it_is_and_leaves_the_run_as_it_is(tmp_path, capsys, tiny_data):
    aat(*TINY_RUN, "--quiet", "--cache-dir", tmp_path)
    run_id = capsys.readouterr().out.strip()
    before = Store(tmp_path).open(run_id).revision
    words = ["embed", run_id, "--cache-dir", tmp_path, "--device", "cpu", "--threads", "1"]
    assert aat(*words) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ samples by the network after epoch 2; the two components hold \d+% of .* variance", first)
    path = Path(second.removeprefix("in "))
    assert path.parent == tmp_path / "embeddings"
    assert np.load(path).shape == (int(first.split()[0]), 2)
    assert aat(*words, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"method": "pca", "epoch": 2, "samples": len(np.load(path)), "shares": None, "path": str(path)}
    assert Store(tmp_path).open(run_id).revision == before


# --- list, show ----------------------------------------------------------------------------------------------------


def test_an_empty_cache_says_how_to_fill_it(tmp_path, capsys):
    assert aat("list", "--cache-dir", tmp_path / "none") == 0
    assert "`aat demo`" in capsys.readouterr().out
    assert aat("list", "--json", "--cache-dir", tmp_path / "none") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert not (tmp_path / "none").exists()


def test_the_list_shows_each_run_once_with_its_status(tmp_path, capsys):
    done = make_run(Store(tmp_path), epochs=2)
    cut = make_run(Store(tmp_path), epochs=4, committed=1, evaluated=False, num_perturbed=0)
    shown = make_run(Store(tmp_path / "showcase"), epochs=1, num_perturbed="all")
    assert aat("list", "--cache-dir", tmp_path) == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = {run.id: next(line for line in out.splitlines() if run.id in line) for run in (done, cut, shown)}
    assert "complete" in rows[done.id]
    assert "cut off" in rows[cut.id]
    assert "showcase" in rows[shown.id]
    assert aat("list", "--json", "--cache-dir", tmp_path) == 0
    listed = {row["run_id"]: row for row in json.loads(capsys.readouterr().out)}
    assert listed.keys() == rows.keys()
    assert (listed[cut.id]["epochs_done"], listed[cut.id]["epochs"], listed[cut.id]["status"]) == (1, 4, "cut off")
    assert (listed[done.id]["num_perturbed"], listed[done.id]["epsilon"]) == (1000, 0.3)
    assert listed[done.id]["clean_accuracy"] == done.evaluations()[0].accuracies[0]
    assert listed[cut.id]["clean_accuracy"] is None


def strict(text: str) -> object:
    """Parse JSON as the standard has it: no NaN, no Infinity."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_show_prints_all_there_is_as_standard_json_and_exactly(tmp_path, capsys):
    run = make_run(Store(tmp_path), epochs=3, lr=1e-12)
    assert aat("show", run.id, "--json", "--cache-dir", tmp_path) == 0
    shown = strict(capsys.readouterr().out)
    assert shown.keys() == {
        *("run", "path", "config", "epoch", "complete", "training", "checkpoints", "metrics", "evaluations"),
    }
    assert checked_config(shown["config"]) == run.config
    assert (shown["run"], shown["epoch"], shown["complete"], shown["training"]) == (run.id, 3, True, False)
    assert shown["checkpoints"] == run.checkpoints()
    back = [EpochMetrics.model_validate(row) for row in shown["metrics"]]
    assert [metrics.lr for metrics in back] == [1e-12] * 3
    assert [metrics.model_dump() for metrics in back] == run.metrics().to_dict("records")
    assert shown["evaluations"][0]["accuracies"] == list(run.evaluations()[0].accuracies)


@pytest.mark.parametrize("command", ["show", "evaluate", "check"])
def test_the_beginning_of_a_name_is_answered_by_the_runs_that_begin_so(tmp_path, capsys, command):
    runs = [make_run(Store(tmp_path), epochs=1, seed=seed, num_perturbed=100) for seed in range(10)]
    other = make_run(Store(tmp_path), epochs=1, num_perturbed=0)
    assert aat(command, "fashion-mini-n100", "--cache-dir", tmp_path) == 2
    names = sorted(run.id for run in runs)
    message = complaint(capsys)
    assert f"; names that begin so: {', '.join(names[:8])} and 2 more; `aat list" in message
    assert other.id not in message


def test_the_beginning_of_a_name_that_no_other_run_has_is_enough(tmp_path, capsys):
    runs = [make_run(Store(tmp_path), epochs=1, num_perturbed=n, evaluated=False) for n in (100, 1000)]
    for run in runs:
        beginning = run.id[: len("fashion-mini-n1000")]
        assert aat("show", beginning, "--json", "--cache-dir", tmp_path) == 0
        assert json.loads(capsys.readouterr().out)["run"] == run.id
        assert aat("copy", beginning, "--to", tmp_path / "copies", "--no-weights", "--cache-dir", tmp_path) == 0
        assert capsys.readouterr().out.strip().endswith(run.id)
    assert aat("show", "fashion-mini", "--cache-dir", tmp_path) == 2
    assert "names that begin so" in complaint(capsys)
    runs[0].path.rename(runs[0].path.with_name(runs[0].id[:20]))  # a name is itself, though another begins so
    make_run(Store(tmp_path), epochs=1, num_perturbed=100)
    assert aat("show", runs[0].id[:20], "--json", "--cache-dir", tmp_path) == 0
    assert json.loads(capsys.readouterr().out)["run"] == runs[0].id[:20]


def test_show_has_json_for_what_is_missing(tmp_path, capsys):
    run = make_run(Store(tmp_path), epochs=1, num_perturbed=0, evaluated=False)
    assert aat("show", run.id, "--json", "--cache-dir", tmp_path) == 0
    shown = strict(capsys.readouterr().out)
    assert shown["metrics"][0]["loss_drawn"] is None
    assert shown["evaluations"] == []


def test_show_prints_every_setting_and_marks_those_that_differ_from_the_default(tmp_path, capsys):
    run = make_run(Store(tmp_path), epochs=1, epsilon=0.25)
    assert aat("show", run.id, "--cache-dir", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, value in run.config.model_dump().items():
        (line,) = [line for line in lines if line.startswith(f"  {name} = ")]
        assert line == f"  {name} = {value}" + ("  *" if name in ("epsilon", "epochs") else "")


def test_copy_takes_scores_along_with_the_picks_unless_told_otherwise(tmp_path, capsys):
    run = make_run(Store(tmp_path / "a"), epochs=1, num_train=60, num_perturbed=20)
    for flags, picks, scores in (((), False, 0), (("--picks",), True, 4), (("--picks", "--no-scores"), True, 0)):
        to = tmp_path / "-".join(["to", *flags])
        assert aat("copy", run.id, "--to", to, "--cache-dir", tmp_path / "a", *flags) == 0
        copy = Store(to).open(run.id)
        assert (copy.recorded, len(copy.scores(1))) == (picks, scores)
    capsys.readouterr()
    assert aat("copy", run.id, "--to", tmp_path / "b", "--cache-dir", tmp_path / "a", "--no-scores") == 2
    assert "scores=False has no meaning without picks" in complaint(capsys)


def test_show_names_the_damaged_file(tmp_path, capsys):
    run = make_run(Store(tmp_path), epochs=1)
    (run.path / "epochs/0001/drawn.npy").write_bytes(b"")
    assert aat("show", run.id, "--cache-dir", tmp_path) == 2
    assert "epochs/0001/drawn.npy is damaged" in complaint(capsys)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("HEAD.json", b"{}"), ("HEAD.json", b"[" * 100_000), ("config.json", b"{}"), ("metrics.parquet", b"junk"),
        ("metrics.parquet", None),
    ],
)  # fmt: skip
def test_a_damaged_run_does_not_hide_the_good_ones(tmp_path, capsys, file, content):
    good = [make_run(Store(tmp_path), epochs=1, seed=seed) for seed in (1, 3)]
    bad = make_run(Store(tmp_path), epochs=1, seed=2)
    (bad.path / file).unlink() if content is None else (bad.path / file).write_bytes(content)
    assert aat("list", "--cache-dir", tmp_path) == 0
    out, err = capsys.readouterr()
    assert all(run.id in out for run in good)
    assert bad.id not in out
    assert err.startswith(f"aat: run={bad.id}: {file} ")
    assert err.count("\n") == 1
    assert aat("list", "--json", "--cache-dir", tmp_path) == 0
    out, err = capsys.readouterr()
    listed = {row["run_id"]: row for row in json.loads(out)}
    assert err == ""
    assert listed.keys() == {bad.id, *(run.id for run in good)}
    assert listed[bad.id]["status"] == "damaged"
    assert file in listed[bad.id]["reason"]


@pytest.mark.parametrize("command", ["list", "show"])
def test_list_and_show_import_neither_torch_nor_altair(tmp_path, command):
    run = make_run(Store(tmp_path), epochs=1)
    source = (
        "import sys; from aat_explore.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 70 * bool({'torch', 'altair'} & sys.modules.keys()))"
    )
    words = [command] + [run.id] * (command == "show")
    done = in_a_process(*words, "--cache-dir", tmp_path, source=source)
    assert (done.returncode, done.stderr) == (0, "")
    assert run.id in done.stdout


def test_list_does_without_pandas(tmp_path):
    run = make_run(Store(tmp_path), epochs=1)
    source = (
        "import sys; from aat_explore.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 70 * ('pandas' in sys.modules))"
    )
    done = in_a_process("list", "--cache-dir", tmp_path, source=source)
    assert (done.returncode, done.stderr) == (0, "")
    assert run.id in done.stdout


def test_piped_tables_are_not_cut(tmp_path):
    run = make_run(Store(tmp_path), epochs=1, dataset="x" * 60)
    done = in_a_process("list", "--cache-dir", tmp_path)
    assert run.id in done.stdout


ESCAPE = "\x1b]0;title\x07\x9b31m"


def test_free_text_of_a_run_does_not_steer_the_terminal(tmp_path, capsys):
    run = make_run(Store(tmp_path), epochs=1, evaluated=False, dataset=f"my[bold]{ESCAPE}")
    with Store(tmp_path).writer(run.config) as writer:
        writer.add_evaluation(make_evaluation(run.config, 1, attack={"kind": f"[red]{ESCAPE}"}))
    damaged = make_run(Store(tmp_path), epochs=1, seed=3)
    content = json.dumps({ESCAPE: 1}, ensure_ascii=False).encode()
    (damaged.path / "config.json").write_bytes(content)
    head = json.loads((damaged.path / "HEAD.json").read_bytes())
    head["files"]["config.json"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (damaged.path / "HEAD.json").write_text(json.dumps(head))
    for words, code in (
        (["show", run.id], 0), (["show", run.id, "--json"], 0), (["list"], 0), (["list", "--json"], 0),
        (["show", damaged.id], 2),
    ):  # fmt: skip
        assert aat(*words, "--cache-dir", tmp_path) == code
        out, err = capsys.readouterr()
        assert not set("\x1b\x07\x9b") & set(out + err), words
        if words == ["show", run.id]:
            assert "  dataset = my[bold]]0;title31m  *" in out
            assert "[RED]]0;TITLE31M" in out
        if "--json" in words:
            shown = json.loads(out)
            row = shown[0] if words[0] == "list" else shown["config"]
            assert row["dataset"] == run.config.dataset


def test_a_full_device_is_one_line(tmp_path, capsys, monkeypatch):
    from aat_explore.cli.commands import training

    class OutOfMemoryError(RuntimeError):
        pass

    def full(*_, kind=OutOfMemoryError, **__):
        raise kind("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")

    monkeypatch.setattr(training, "train", full)
    assert aat(*TINY_RUN, "--cache-dir", tmp_path) == 2
    assert complaint(capsys) == "aat: the device's memory is full; lower batch_size, or use --device cpu\n"
    monkeypatch.setattr(training, "train", lambda *_, **__: full(kind=RuntimeError))
    with pytest.raises(RuntimeError, match="CUDA out of memory"):  # a bug is no bad input
        aat(*TINY_RUN, "--cache-dir", tmp_path)


# --- Narrow and odd terminals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_complaint_is_the_same_on_a_terminal_without_box_characters(monkeypatch, capsys, encoding):
    import io

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert aat("train", "--epsilon", "abc") == 2
    said = capsys.readouterr().err
    assert said == "aat: Error parsing --epsilon: could not convert string to float: 'abc'; see `aat train --help`\n"


@pytest.mark.parametrize("columns", ["40", "200"])
def test_a_complaint_breaks_no_word_on_a_narrow_terminal(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", columns)
    word = "x" * 300
    assert aat("train", "--epsilon", word) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"aat: Error parsing --epsilon: could not convert string to float: '{word}'; see `aat ")
    assert aat("list", f"--{word}") == 2
    assert capsys.readouterr().err == f"aat: Unrecognized options: --{word}; see `aat list --help`\n"
    assert os.environ["COLUMNS"] == columns
