"""One config → one cached run: what was cut off goes on as if nothing had happened, and nothing is done twice."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import confident
from synthetic import make_run

from aat_explore import datasets
from aat_explore.config import EvaluationConfig, RunConfig
from aat_explore.datasets import Dataset, Split
from aat_explore.engine import batches, trainer
from aat_explore.errors import AATError
from aat_explore.experiments import run as experiment
from aat_explore.presets import preset
from aat_explore.records import EpochMetrics
from aat_explore.robustness import evaluation
from aat_explore.store import Run, Store

NUM_TRAIN, NUM_VALIDATION, NUM_TEST = 140, 40, 80
QUICK_TEST = EvaluationConfig(epsilons=(0.0, 0.1), steps=2, images=40)


def small_dataset() -> Dataset:
    """The first few hundred images of fashion-mini."""
    whole = datasets.load("fashion-mini")

    def first(split: Split, count: int) -> Split:
        return Split(split.labels[:count], split.rows[:count], split.stored[:count])

    return replace(
        whole,
        train=first(whole.train, NUM_TRAIN),
        validation=first(whole.validation, NUM_VALIDATION),
        test=first(whole.test, NUM_TEST),
    )


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    small = small_dataset()
    monkeypatch.setattr(datasets, "load", lambda name, **where: small)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def config(**fields: object) -> RunConfig:
    usual = {"epochs": 3, "num_perturbed": 50, "val_attack_steps": 2, "val_attack_images": 20, "num_recorded": 5}
    return preset("mini", **usual | fields)


def train(made: RunConfig, root: Path, **options: object) -> Run:
    return experiment.train(made, cache_dir=root, **{"evaluate_with": None, "device": "cpu", "threads": 1} | options)


TRAINED: list[Path] = []


@pytest.fixture
def trained(tmp_path_factory, tmp_path) -> Run:
    """A run of two epochs with one evaluation: trained once, then copied."""
    if not TRAINED:
        TRAINED.append(tmp_path_factory.mktemp("trained"))
        train(config(epochs=2), TRAINED[0], evaluate_with=QUICK_TEST)
    shutil.copytree(TRAINED[0] / "runs", tmp_path / "runs")
    return Store(tmp_path).open(config(epochs=2).run_id)


class CutOff(experiment.Listener):
    """Stops a run after some epochs, as Ctrl-C would."""

    def __init__(self, after: int) -> None:
        self.after = after

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        if metrics.epoch == self.after:
            raise KeyboardInterrupt


class Log(experiment.Listener):
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.heard = []

    def began(self, config, epoch, device):
        self.heard.append(("began", epoch))

    def finished_epoch(self, metrics):
        self.heard.append(("finished", metrics.epoch))

    def evaluating(self, share):
        self.heard.append(("evaluating", share))


def assert_same_run(one: Run, other: Run) -> None:
    """Bit for bit: weights, optimiser state, p, K, x′; and every metric but the seconds."""
    files = [
        {name: entry for name, entry in run.head.files.items() if name != "metrics.parquet"} for run in (one, other)
    ]
    assert files[0] == files[1]
    one.verify()
    other.verify()
    lasting = [name for name in EpochMetrics.model_fields if not name.startswith("seconds_")]
    assert one.metrics()[lasting].equals(other.metrics()[lasting])


# --- An interrupted run equals the uninterrupted one ---------------------------------------------------------------

RECIPES = {
    "FGSM at the epoch's start": {},
    "PGD on the fly with augmentation": {
        "attack": {"kind": "pgd", "steps": 2}, "perturbing_network": "on-the-fly", "augment": True,
    },
    "norms reused in every other epoch": {"score_every": 2},
    "norms reused after a warm-up": {"score_every": 2, "warmup_epochs": 1},
    "SGD with momentum and milestones": {
        "optimizer": "sgd", "lr": 0.05, "weight_decay": 5e-4, "lr_milestones": (0.5, 0.75),
    },
    "half clean, half adversarial": {"drawn_samples": "half"},
    "copies added": {"drawn_samples": "add"},
    "random-start FGSM, predicted labels, with replacement": {
        "attack": {"kind": "fgsm", "random_start": True, "label": "predicted"}, "replacement": True, "norm_power": 2,
    },
    "full adversarial training": {"num_perturbed": "all"},
    "standard training": {"num_perturbed": 0},
}  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_interrupted_run_equals_uninterrupted(tmp_path, recipe):
    made = config(**RECIPES[recipe])
    whole = train(made, tmp_path / "whole")
    for epoch in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            train(made, tmp_path / "cut", listener=CutOff(epoch))
        assert Store(tmp_path / "cut").open(made.run_id).epoch == epoch
    assert_same_run(train(made, tmp_path / "cut"), whole)
    assert whole.complete


@pytest.mark.slow
def test_interrupted_resnet18_equals_uninterrupted(tmp_path, monkeypatch):
    """BatchNorm's running statistics and counters are part of the checkpoint."""
    small = small_dataset()
    fewer = {part: Split(*(a[:8] for a in (split.labels, split.rows, split.stored))) for part, split in
             (("train", small.train), ("validation", small.validation), ("test", small.test))}  # fmt: skip
    monkeypatch.setattr(datasets, "load", lambda name, **where: replace(small, **fewer))
    made = config(model="ResNet18", epochs=2, num_perturbed=3, batch_size=4, augment=True, optimizer="sgd", lr=0.01)
    whole = train(made, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(made, tmp_path / "cut", listener=CutOff(1))
    assert_same_run(train(made, tmp_path / "cut"), whole)
    assert any("running_var" in name for name in whole.weights(2))


COMMAND_LINE = """
import sys
sys.path.insert(0, sys.argv[1])
import test_experiment
from aat_explore import datasets
from aat_explore.cli import main
small = test_experiment.small_dataset()
datasets.load = lambda name, **where: small
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_a_run_killed_with_signal_9_in_mid_epoch_goes_on_to_the_same_bits(tmp_path):
    made = config(epochs=400)
    words = [
        "train",
        "--epochs",
        "400",
        "--num-perturbed",
        "50",
        "--val-attack-steps",
        "2",
        "--val-attack-images",
        "20",
    ]
    words += ["--num-recorded", "5", "--no-evaluate", "--threads", "1", "--device", "cpu", "--cache-dir", str(tmp_path)]
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here.parents[1]), *sys.path])}
    command = [sys.executable, "-c", COMMAND_LINE, str(here), *words]
    last = 0
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            for line in process.stdout:  # an epoch is said to be finished once it is on disk
                if line.startswith(f"epoch {last + 2}/"):
                    process.send_signal(signal.SIGKILL)
                    break
            assert process.wait() == -signal.SIGKILL
        cut = Store(tmp_path).open(made.run_id)
        cut.verify()
        assert cut.epoch >= last + 2
        last = cut.epoch
    with pytest.raises(KeyboardInterrupt):
        train(made, tmp_path, threads=1, listener=CutOff(last + 1))
    with pytest.raises(KeyboardInterrupt):
        train(made, tmp_path / "whole", threads=1, listener=CutOff(last + 1))
    assert_same_run(Store(tmp_path).open(made.run_id), Store(tmp_path / "whole").open(made.run_id))


# --- Chance --------------------------------------------------------------------------------------------------------


def test_the_same_config_gives_the_same_bits_and_another_seed_another_draw(tmp_path):
    runs = [train(config(epochs=1, seed=seed), tmp_path / name) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert_same_run(*runs[:2])
    drawn = [run.drawn(1) for run in runs]
    assert set(drawn[0]) != set(drawn[2])
    weights = [run.weights(1) for run in runs]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not any(np.array_equal(weights[0][name], weights[2][name]) for name in weights[0] if "weight" in name)


def test_epochs_draw_anew(trained):
    assert set(trained.drawn(1)) != set(trained.drawn(2))
    assert not np.array_equal(trained.probabilities(1), trained.probabilities(2))


def test_norms_are_scored_in_every_kth_epoch_and_reused_in_between(tmp_path):
    run = train(config(epochs=4, score_every=2, warmup_epochs=1), tmp_path)
    p = [run.probabilities(epoch) for epoch in range(1, 5)]
    assert p[0] is None
    assert np.array_equal(p[1], p[2])
    assert not np.array_equal(p[2], p[3])
    assert set(run.drawn(2)) != set(run.drawn(3)), "K is drawn anew even so"


def test_the_recorded_draw_can_be_repeated_alone_from_the_recorded_distribution(tmp_path):
    from aat_explore.algorithm.sampling import draw
    from aat_explore.engine.streams import stream

    run = train(config(epochs=1), tmp_path)
    p = torch.from_numpy(run.probabilities(1))
    again = draw(p, 50, generator=stream(run.config.seed, "draw", 1))
    np.testing.assert_array_equal(again.numpy(), run.drawn(1))


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_training_leaves_torchs_chance_and_threads_as_it_found_them(tmp_path, threads):
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype()
    run = train(config(epochs=1), tmp_path, threads=threads, evaluate_with=QUICK_TEST)
    experiment.evaluate(run.id, QUICK_TEST.model_copy(update={"seed": 1}), cache_dir=tmp_path, threads=threads)
    after = torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_run_does_not_depend_on_the_callers_chance(tmp_path):
    torch.manual_seed(1)
    one = train(config(epochs=1), tmp_path / "one")
    torch.manual_seed(2)
    np.random.seed(3)
    assert_same_run(train(config(epochs=1), tmp_path / "other"), one)


def test_the_number_of_threads_is_set_while_it_computes_and_recorded(tmp_path):
    during = []

    class Look(experiment.Listener):
        def began(self, config, epoch, device):
            during.append(torch.get_num_threads())

    before = torch.get_num_threads()
    for threads in (1, 3):
        root = tmp_path / str(threads)
        run = train(config(epochs=1), root, threads=threads, evaluate_with=QUICK_TEST, listener=Look())
        assert run.metrics()["num_threads"].tolist() == [threads]
        assert [evaluation.num_threads for evaluation in run.evaluations()] == [threads]
    assert during == [1, 3]
    assert torch.get_num_threads() == before


def test_threads_are_restored_after_an_error_too(tmp_path):
    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        train(config(epochs=2), tmp_path, threads=before + 1, listener=CutOff(1))
    assert torch.get_num_threads() == before


# --- Nothing is done twice -----------------------------------------------------------------------------------------


def test_a_complete_run_is_not_trained_again_nor_evaluated_again(tmp_path, trained, monkeypatch):
    made, first = trained.config, trained
    files = {path: path.read_bytes() for path in first.path.rglob("*") if path.is_file()}

    def never(*arguments, **options):
        raise AssertionError("done twice")

    monkeypatch.setattr(trainer, "train", never)
    monkeypatch.setattr(evaluation, "verdicts", never)
    log = Log()
    again = train(made, tmp_path, evaluate_with=QUICK_TEST, listener=log)
    assert experiment.evaluate(made.run_id, QUICK_TEST, cache_dir=tmp_path) == first.evaluations()[0]
    assert again.revision == first.revision
    assert {path: path.read_bytes() for path in first.path.rglob("*") if path.is_file()} == files
    assert log.heard == [("began", 2)]


def test_a_run_cut_off_before_its_evaluation_is_only_evaluated(tmp_path, monkeypatch):
    made = config(epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(made, tmp_path, evaluate_with=QUICK_TEST, listener=CutOff(2))
    assert Store(tmp_path).open(made.run_id).evaluations() == []
    monkeypatch.setattr(trainer, "train", None)
    log = Log()
    run = train(made, tmp_path, evaluate_with=QUICK_TEST, listener=log)
    assert log.heard == [("began", 2), ("evaluating", 0.0), ("evaluating", 0.5), ("evaluating", 1.0)]
    (made_now,) = run.evaluations()
    assert (made_now.epoch, made_now.split, made_now.num_images, made_now.epsilons) == (2, "test", 40, (0.0, 0.1))
    assert made_now.attack["steps"] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1}, {"steps": 3}, {"restarts": 2}, {"images": 41}, {"images": None}, {"split": "validation"},
        {"epsilons": (0.0, 0.2)}, {"random_start": False}, {"step_size": 0.05},
    ],
)  # fmt: skip
def test_another_evaluation_is_made_and_kept_beside_the_first(tmp_path, trained, change):
    run = trained
    asked = EvaluationConfig.model_validate(QUICK_TEST.model_dump() | change)
    for _ in range(2):
        experiment.evaluate(run.id, asked, cache_dir=tmp_path)
    made = Store(tmp_path).open(run.id).evaluations()
    assert len(made) == 2
    assert made[0] == run.evaluations()[0]


def test_a_listener_hears_the_whole_course_in_order(tmp_path):
    log = Log()
    train(config(epochs=2), tmp_path, evaluate_with=QUICK_TEST, listener=log)
    course = [("began", 0), ("finished", 1), ("finished", 2)]
    assert log.heard == course + [("evaluating", share) for share in (0.0, 0.5, 1.0)]


# --- Evaluations ---------------------------------------------------------------------------------------------------


def test_an_evaluation_counts_what_the_network_gets_right_and_never_more_under_attack(trained):
    run = trained
    data = datasets.load("fashion-mini")
    network = experiment.load_network(run, data)
    with torch.no_grad():
        logits = network(torch.from_numpy(data.test.images(slice(0, 40))).float() / 255)
    clean = int((logits.argmax(1).numpy() == data.test.labels[:40]).sum())
    (made,) = run.evaluations()
    assert made.num_correct[0] == clean
    assert made.num_correct[1] <= clean
    assert made.accuracies[0] == clean / 40


def test_a_loaded_network_is_the_checkpoint_in_eval_mode(trained):
    run = trained
    data = datasets.load("fashion-mini")
    for epoch, asked in ((1, 1), (2, 2), (2, None)):
        network = experiment.load_network(run, data, asked)
        assert not any(module.training for module in network.modules())
        state = network.state_dict()
        assert state.keys() == run.weights(epoch).keys()
        assert all(np.array_equal(state[name].numpy(), array) for name, array in run.weights(epoch).items())


def test_the_model_digest_tells_epochs_apart(tmp_path, trained):
    run = trained
    digests = [
        experiment.evaluate(run.id, QUICK_TEST, cache_dir=tmp_path, epoch=epoch).model_digest for epoch in (1, 2, None)
    ]
    assert digests[0] != digests[1] == digests[2]
    best = max(run.rows(), key=lambda row: (row.robust_accuracy_val, row.clean_accuracy_val)).epoch
    found = experiment.evaluate(run.id, QUICK_TEST, cache_dir=tmp_path, epoch="best")
    assert (found.epoch, found.model_digest) == (best, digests[best - 1])


class CutOffEvaluation(experiment.Listener):
    """Ctrl-C as soon as more than a share of an evaluation is done."""

    def __init__(self, after: float) -> None:
        self.after = after

    def evaluating(self, share):
        if share > self.after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def knowing() -> torch.nn.Module:
    """A network that knows something."""
    return confident("StdCNN")


@pytest.fixture
def chunks_of_ten(monkeypatch):
    monkeypatch.setattr(batches, "chunk_size", lambda device: 10)


@pytest.mark.usefixtures("chunks_of_ten")
@pytest.mark.parametrize("curve", ["nested", "independent"])
def test_an_interrupted_evaluation_equals_an_uninterrupted_one(tmp_path, trained, knowing, curve, monkeypatch):
    """Image by image, and what was done is not done again."""
    monkeypatch.setattr(experiment, "load_network", lambda *arguments: knowing)
    asked = EvaluationConfig(epsilons=(0.0, 0.005, 0.02), steps=2, restarts=2, images=35, curve=curve)
    with pytest.raises(KeyboardInterrupt):
        experiment.evaluate(trained.id, asked, cache_dir=tmp_path, listener=CutOffEvaluation(0.6))
    cut = Store(tmp_path).open(trained.id)
    cut.verify()
    assert len(cut.evaluations()) == 1  # the one it was trained with: half of another is no evaluation
    log = Log()
    made = experiment.evaluate(trained.id, asked, cache_dir=tmp_path, listener=log)
    assert log.heard[0] == ("evaluating", 20 / 35)
    resumed = Store(tmp_path).open(trained.id)
    resumed.verify()
    assert not [name for name in resumed.head.files if "safetensors" in name and name.startswith("evaluations")]
    assert not list(resumed.path.glob("evaluations/*/"))
    data = datasets.load("fashion-mini")
    assert 0 < made.num_correct[2] < made.num_correct[0], made.num_correct
    whole, correct = evaluation.evaluate(
        knowing, experiment.image_set(data.test).first(35), asked,
        (0.0, 0.005, 0.02), epoch=2,
    )  # fmt: skip
    assert np.array_equal(resumed.verdicts(made), correct)
    assert made.num_correct == whole.num_correct
    assert made.seconds > 0


@pytest.mark.usefixtures("chunks_of_ten")
def test_parts_made_by_other_threads_are_not_taken_up(tmp_path, trained):
    asked = EvaluationConfig(epsilons=(0.1,), steps=1, images=35)
    with pytest.raises(KeyboardInterrupt):
        experiment.evaluate(trained.id, asked, cache_dir=tmp_path, threads=1, listener=CutOffEvaluation(0.3))
    log = Log()
    experiment.evaluate(trained.id, asked, cache_dir=tmp_path, threads=2, listener=log)
    assert log.heard[0] == ("evaluating", 0.0)


def test_a_transferred_attack_is_made_for_another_run_of_the_same_data(tmp_path, trained):
    other = train(config(epochs=1, num_perturbed=0), tmp_path)
    asked = QUICK_TEST.model_dump() | {"attack": "transfer", "steps": None, "transfer_from": other.id}
    made = experiment.evaluate(trained.id, EvaluationConfig.model_validate(asked), cache_dir=tmp_path)
    assert made.attack["from"] == other.id
    nowhere = EvaluationConfig.model_validate(asked | {"transfer_from": "nope"})
    with pytest.raises(AATError, match="run=nope is not in"):
        experiment.evaluate(trained.id, nowhere, cache_dir=tmp_path)


def test_verdicts_are_kept_a_bit_an_image_and_add_up_to_the_counts(trained):
    (made,) = trained.evaluations()
    correct = trained.verdicts(made)
    assert correct.shape == (1, 2, 40)
    assert correct.dtype == bool
    assert tuple(correct[-1].sum(axis=1)) == made.num_correct
    assert made.attacks == ("PGD",)


def test_robustness_over_epochs_is_measured_at_the_kept_checkpoints(tmp_path):
    made = config(epochs=7)
    run = train(made, tmp_path, keep_every=2)
    assert {2, 4, 6, 7} <= set(run.checkpoints())
    found = experiment.evaluate_every(run.id, QUICK_TEST, 2, cache_dir=tmp_path)
    assert [one.epoch for one in found] == [2, 4, 6, 7]
    again = experiment.evaluate_every(run.id, QUICK_TEST, 4, cache_dir=tmp_path)
    assert again == [found[1], found[3]]
    with pytest.raises(AATError, match="every=0 is less than 1"):
        experiment.evaluate_every(run.id, QUICK_TEST, 0, cache_dir=tmp_path)
    with pytest.raises(AATError, match="keep_every=0 is less than 1"):
        train(made, tmp_path, keep_every=0)


@pytest.mark.parametrize("epoch", [0, -1, 5])
def test_an_epoch_without_checkpoint_cannot_be_evaluated_and_is_not_taken_for_the_last(tmp_path, trained, epoch):
    run = trained
    with pytest.raises(AATError, match=rf"^epoch={epoch} .* choose one of 1, 2$"):
        experiment.evaluate(run.id, QUICK_TEST, cache_dir=tmp_path, epoch=epoch)
    assert len(Store(tmp_path).open(run.id).evaluations()) == 1


def test_the_showcase_is_never_written(tmp_path, trained):
    (tmp_path / "showcase").mkdir()
    (tmp_path / "runs").rename(tmp_path / "showcase" / "runs")
    run = Store(tmp_path).open(trained.id)
    assert run.showcase
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other = QUICK_TEST.model_copy(update={"seed": 1})
    with pytest.raises(AATError, match=r"is of the showcase, which is read-only; add --cache-dir .*showcase$"):
        experiment.evaluate(run.id, other, cache_dir=tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    own = train(run.config, tmp_path)
    assert not own.showcase
    assert {path: path.read_bytes() for path in (tmp_path / "showcase").rglob("*") if path.is_file()} == files


def test_a_renamed_run_is_not_evaluated_into_a_folder_of_its_old_name(tmp_path, trained):
    run = trained
    run.path.rename(run.path.with_name("my-best"))
    with pytest.raises(AATError, match=f"run=my-best is a renamed copy.*{run.id}"):
        experiment.evaluate("my-best", QUICK_TEST.model_copy(update={"seed": 1}), cache_dir=tmp_path)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["my-best"]


# --- Errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "options", "said"),
    [
        ({"num_perturbed": NUM_TRAIN + 1}, {}, r'num_perturbed=141 exceeds num_train=140; use "all"'),
        ({"num_perturbed": 10**60}, {}, r"exceeds num_train=140"),
        ({}, {"threads": 0}, r"threads=0 is not in 1\.\.1024"),
        ({}, {"threads": 10**30}, r"threads=1000000000000000000000000000000 is not in 1\.\.1024"),
        ({}, {"device": "tpu"}, r"device=tpu is not available here; .* or use cpu"),
    ],
)
def test_what_cannot_be_done_leaves_no_trace_in_the_cache(tmp_path, fields, options, said):
    with pytest.raises(AATError, match=said):
        train(config(**fields), tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("num_perturbed", [0, 50, "all"])
def test_a_diverged_network_is_an_error_and_keeps_the_epochs_committed_before(tmp_path, num_perturbed):
    """One step of SGD an epoch: the first is taken on sound weights, and leaves them useless."""
    made = config(epochs=4, num_perturbed=num_perturbed, batch_size=NUM_TRAIN, optimizer="sgd", lr=1e30)
    with pytest.raises(AATError, match=r"lower lr"):
        train(made, tmp_path)
    run = Store(tmp_path).open(made.run_id)
    run.verify()
    assert run.epoch >= 1
    assert not run.complete
    assert np.isfinite(run.metrics()["loss"]).all()
    revision = run.revision
    with pytest.raises(AATError, match=r"lower lr"):  # nor does another attempt get any further
        train(made, tmp_path)
    assert Store(tmp_path).open(made.run_id).revision == revision


def test_a_run_in_training_is_not_trained_by_another(tmp_path):
    made = config(epochs=1)
    with Store(tmp_path).writer(made), pytest.raises(AATError, match="is being trained by another process"):
        train(made, tmp_path)


def test_a_damaged_run_is_neither_resumed_nor_overwritten(tmp_path):
    made = config(epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(made, tmp_path, listener=CutOff(1))
    run = Store(tmp_path).open(made.run_id)
    path = run.path / "checkpoints" / "0001.training.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AATError, match=r"0001\.training\.safetensors is damaged"):
        train(made, tmp_path)
    assert Store(tmp_path).open(made.run_id).revision == run.revision


def test_made_up_runs_of_the_other_tests_are_runs_like_any(tmp_path, trained):
    """`synthetic` writes what the trainer writes: the same files, arrays of the same types and ranks."""
    made_up = make_run(Store(tmp_path / "made-up"), epochs=2)
    real = trained
    names = [{name for name in run.head.files if not name.startswith("evaluations")} for run in (made_up, real)]
    assert names[0] == names[1]
    assert made_up.metrics().dtypes.equals(real.metrics().dtypes)
    for array in ("probabilities", "drawn", "x_adv"):
        one, other = getattr(made_up, array)(2), getattr(real, array)(2)
        assert (one.dtype, one.ndim) == (other.dtype, other.ndim)
