"""The cache: what a reader sees is one committed epoch, whole, whatever happens to the writer or to the files."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import make_evaluation, make_record, make_report, make_run

from aat_explore.config import RunConfig
from aat_explore.errors import AATError
from aat_explore.presets import preset
from aat_explore.records import SCHEMA_VERSION, EpochMetrics, EpochRecord, best_epoch
from aat_explore.store import (
    Contents,
    RunBusyError,
    RunDamagedError,
    RunMovedOnError,
    RunNotFoundError,
    RunUnreadableError,
    Store,
    light_copy,
)

NUM_TRAIN = 60
CONFIG = preset("mini", num_perturbed=20, num_recorded=3, epochs=31)


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """Tests need what the disk would hold, not the wait for it."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def record(epoch: int, /, **metrics: object) -> EpochRecord:
    made = make_record(CONFIG, epoch, NUM_TRAIN)
    values = {field.name: getattr(made, field.name) for field in fields(made)}
    return EpochRecord(**values | {"metrics": made.metrics.model_copy(update=metrics)})


def write(root: Path, upto: int, *, evaluated: bool = False) -> None:
    """Bring the run of CONFIG to `upto` epochs, from wherever it is."""
    with Store(root).writer(CONFIG) as writer:
        for epoch in range(writer.epoch + 1, upto + 1):
            writer.commit(record(epoch))
        if evaluated and not writer.read().evaluations():
            writer.add_evaluation(make_evaluation(CONFIG, writer.epoch))


def folder_of(root: Path) -> Path:
    return root / "runs" / CONFIG.run_id


def tree(root: Path) -> dict[str, bytes]:
    """Every file of the run with its bytes, but for the lock."""
    path = folder_of(root)
    files = [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def everything(root: Path) -> tuple[object, ...]:
    """What a reader can learn of the run; raises if anything at all is damaged."""
    run = Store(root).open(CONFIG.run_id)
    run.verify()
    assert len(run.metrics()) == run.epoch
    assert [len(run.drawn(epoch)) for epoch in range(1, run.epoch + 1)] == [20] * run.epoch
    assert run.training_state().keys() == {"optimizer.0.step"}
    return run.head, run.config, len(run.evaluations())


# --- A commit is atomic --------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is dead: it is no Exception, and nothing catches it."""


class Plug:
    """Counts the operations that reach the file system, and kills the writer before the `fatal`-th and for ever."""

    def __init__(self, fatal: float = float("inf")) -> None:
        self.fatal, self.done, self.names = fatal, 0, []

    def pull(self, name: str) -> None:
        self.done += 1
        self.names.append(name)
        if self.done >= self.fatal:
            raise Killed(name)


@contextmanager
def plugged_into(plug: Plug):
    """Route every operation by which the store changes the disk through `plug`; a killed write leaves half a file."""

    class Torn(io.FileIO):
        def write(self, content):
            try:
                plug.pull("write")
            except Killed:
                super().write(content[: len(content) // 2])
                raise
            return super().write(content)

    real_open = Path.open

    def opened(path, mode="r", *args, **kwargs):
        if "w" not in mode:
            return real_open(path, mode, *args, **kwargs)
        plug.pull("open")
        return Torn(path, mode)

    def counted(name):
        real = getattr(os, name)

        def operation(*args, **kwargs):
            plug.pull(name)
            return real(*args, **kwargs)

        patch.setattr(os, name, operation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", opened)
        for name in ("fsync", "replace", "unlink", "mkdir"):  # pathlib's are made of these
            counted(name)
        yield


def act_killed_at(root: Path, act, fatal: float) -> bool:
    """Do `act` to a writer that is killed before its `fatal`-th operation; say whether it was."""
    plug = Plug(fatal)
    try:
        with Store(root).writer(CONFIG) as writer, plugged_into(plug):
            act(writer)
    except Killed:
        return True
    return False


ACTS = {
    "the first epoch": (0, lambda writer: writer.commit(record(1))),
    "an epoch that makes an older checkpoint outdated": (4, lambda writer: writer.commit(record(5))),
    "an evaluation": (3, lambda writer: writer.add_evaluation(make_evaluation(CONFIG, 3))),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_writer_killed_at_any_operation_leaves_exactly_the_old_or_the_new_state_and_the_next_one_goes_on(
    tmp_path, act
):
    before, do = ACTS[act]
    write(tmp_path / "old", before)
    write(tmp_path / "new", before)
    with Store(tmp_path / "new").writer(CONFIG) as writer, plugged_into(whole := Plug()):
        do(writer)
    old = everything(tmp_path / "old") if before else None
    new = everything(tmp_path / "new")
    assert {"open", "write", "fsync", "replace"} <= set(whole.names)
    with Store(tmp_path / "new").writer(CONFIG) as writer:
        writer.commit(record(writer.epoch + 1))
    uninterrupted = tree(tmp_path / "new")
    seen = []
    for fatal in range(1, whole.done + 1):
        root = tmp_path / f"killed-{fatal}"
        write(root, before)
        assert act_killed_at(root, do, fatal)
        try:
            seen.append(everything(root))
        except RunNotFoundError:
            assert before == 0
            seen.append(None)
        with Store(root).writer(CONFIG) as writer:
            if seen[-1] == old:
                do(writer)
            writer.commit(record(writer.epoch + 1))
        assert tree(root) == uninterrupted, f"killed before {whole.names[fatal - 1]} no. {fatal}"
    assert seen == sorted(seen, key=[old, new].index)  # once new, new for ever
    assert seen[0] == old
    assert seen[-1] == new


def test_a_writer_killed_twice_in_a_row_at_any_two_operations_leaves_exactly_one_committed_epoch(tmp_path):
    for root, epochs in ((tmp_path / "2", 2), (tmp_path / "3", 3), (tmp_path / "4", 4), (tmp_path / "5", 5)):
        write(root, epochs)
    states = {epochs: everything(tmp_path / str(epochs)) for epochs in (2, 3, 4)}
    uninterrupted = tree(tmp_path / "5")

    def go_on(writer):
        writer.commit(record(writer.epoch + 1))

    with Store(tmp_path / "3").writer(CONFIG) as writer, plugged_into(whole := Plug()):
        go_on(writer)
    assert whole.names[-5:] == ["replace", "fsync", "replace", "unlink", "unlink"]  # HEAD, metrics, old checkpoint
    for first in (1, whole.done - 3, whole.done - 2):  # before all, and with HEAD renamed but not its metrics
        root = tmp_path / f"killed-{first}"
        write(root, 2)
        act_killed_at(root, go_on, first)
        second = 0
        while Store(root).open(CONFIG.run_id).epoch < 4:
            second += 1
            assert second <= whole.done + 1, "the run never goes on"
            act_killed_at(root, go_on, second)
            assert everything(root) in states.values(), (first, second)
        write(root, 5)
        assert tree(root) == uninterrupted


def test_all_that_head_lists_is_synced_to_disk_before_head_is_renamed(tmp_path, monkeypatch):
    """What a power cut may take: file contents not synced, and names whose folder was not synced after them."""
    happened = []
    real_replace, real_mkdir = Path.replace, Path.mkdir

    def fsync(descriptor):
        happened.append(("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))

    def replace(path, target):
        happened.append(("rename", str(path), str(target)))
        return real_replace(path, target)

    def mkdir(path, *args, **kwargs):
        if not path.exists():
            happened.append(("mkdir", str(path)))
            assert not kwargs.get("parents"), "its parents would be made unseen"
        return real_mkdir(path, *args, **kwargs)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(Path, "mkdir", mkdir)
    run = (tmp_path / "cache" / "runs" / CONFIG.run_id).resolve()
    write(tmp_path.resolve() / "cache", 2)
    commits = [at for at, what in enumerate(happened) if what[0] == "rename" and what[2] == str(run / "HEAD.json")]
    assert len(commits) == 2
    assert ("sync", str(run)) in happened[commits[1] :], "a commit lasts once it returns"
    head = Store(tmp_path / "cache").open(CONFIG.run_id).head
    durable = happened[: commits[1]]
    for name in [*head.files, "HEAD.json"]:
        target = run / name
        staged = target.with_name(f"{target.name}.next") if name == "metrics.parquet" else target
        renamed = max(at for at, what in enumerate(happened) if what[0] == "rename" and what[2] == str(staged))
        assert ("sync", happened[renamed][1]) in happened[:renamed], f"content of {name}"
        if name != "HEAD.json":
            assert ("sync", str(target.parent)) in durable[renamed:], f"name of {name}"
    made = [what[1] for what in happened if what[0] == "mkdir"]
    assert {str(run), str(run / "epochs" / "0002"), str(tmp_path.resolve() / "cache")} <= set(made)
    for folder in made:
        assert ("sync", str(Path(folder).parent)) in durable[durable.index(("mkdir", folder)) :], folder


def test_a_full_disk_is_one_error_that_names_the_file_and_costs_no_committed_epoch(tmp_path, monkeypatch):
    write(tmp_path, 2)
    before = everything(tmp_path)

    def fsync(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(AATError, match=r"probabilities\.npy cannot.*No space.*--cache-dir"):
            write(tmp_path, 3)
    assert everything(tmp_path) == before
    assert not list(tmp_path.rglob("*.partial"))
    write(tmp_path, 3)
    write(tmp_path / "other", 3)
    assert tree(tmp_path) == tree(tmp_path / "other")


def test_epochs_are_committed_in_order_and_once(tmp_path):
    write(tmp_path, 2)
    for epoch in (1, 2, 4):
        with Store(tmp_path).writer(CONFIG) as writer, pytest.raises(AATError, match=f"epoch={epoch} cannot follow"):
            writer.commit(record(epoch))
    assert Store(tmp_path).open(CONFIG.run_id).epoch == 2


def test_weights_are_read_back_as_they_were_whatever_their_order_in_memory(tmp_path):
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    given = {"C": table, "transposed": table.T, "every other": table[:, ::2], "scalar": np.array(5.0)}
    made = record(1)
    with Store(tmp_path).writer(CONFIG) as writer:
        writer.commit(dataclasses.replace(made, weights=given, training_state=given))
    run = Store(tmp_path).open(CONFIG.run_id)
    for read in (run.weights(1), run.training_state()):
        assert {name: array.shape for name, array in read.items()} == {name: one.shape for name, one in given.items()}
        assert all(np.array_equal(read[name], given[name]) for name in given)


def test_a_name_that_holds_another_config_is_not_written_to(tmp_path):
    write(tmp_path, 2)
    other = preset("mini", seed=1)
    folder_of(tmp_path).rename(tmp_path / "runs" / other.run_id)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.json")}
    with pytest.raises(AATError, match="another config"), Store(tmp_path).writer(other) as writer:
        writer.commit(make_record(other, 3, NUM_TRAIN))
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.json")} == before


# --- Damage is found and named -------------------------------------------------------------------------------------


def flip(position):
    def damage(path):
        content = bytearray(path.read_bytes())
        content[int(position * (len(content) - 1))] ^= 1
        path.write_bytes(content)

    return damage


DAMAGES = {
    "first byte flipped": (flip(0), "damaged"),
    "middle byte flipped": (flip(0.5), "damaged"),
    "last byte flipped": (flip(1), "damaged"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "damaged"),
    "emptied": (lambda path: path.write_bytes(b""), "damaged"),
    "lengthened": (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "damaged"),
    "missing": (lambda path: path.unlink(), "missing"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "damaged"),
}


def read_through_its_own_function(root: Path, name: str) -> None:
    run = Store(root).open(CONFIG.run_id)
    epoch = int("".join(filter(str.isdigit, name))[:4] or 0)
    kind = name.removesuffix(".json").rsplit("/", 1)[-1]
    match name.split("/")[0], kind:
        case "config.json", _:
            _ = run.config
        case "metrics.parquet", _:
            run.metrics()
        case "evaluations", _:
            run.evaluations()
        case "checkpoints", _ if name.endswith(".training.safetensors"):
            run.training_state() if epoch == run.epoch else run.verify()
        case "checkpoints", _:
            run.weights(epoch)
        case _:
            reader = kind.removesuffix(".npy")
            getattr(run, READERS.get(reader, reader))(epoch)


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_to_any_listed_file_is_found_and_named_on_reading(tmp_path, damage):
    write(tmp_path, 3, evaluated=True)
    do, word = DAMAGES[damage]
    names = list(Store(tmp_path).open(CONFIG.run_id).head.files)
    assert len(names) > 12
    for name in names:
        path = folder_of(tmp_path) / name
        content = path.read_bytes()
        do(path)
        for read in (
            lambda name: Store(tmp_path).open(CONFIG.run_id).verify(),
            lambda name: read_through_its_own_function(tmp_path, name),
        ):
            with pytest.raises(RunDamagedError, match=f"{name} is {word}.*move .* away and train again, or restore"):
                read(name)
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)
        Store(tmp_path).open(CONFIG.run_id).verify()


GARBAGE_HEADS = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b"\xff\xfe\x00",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "brackets by the thousand": b"[" * 100_000,
    "a number of 5000 digits": b'{"schema_version": ' + b"9" * 5000 + b"}",
    "epoch 0": b'{"schema_version": 1, "epoch": 0, "files": {}}',
    "no files": b'{"schema_version": 1, "epoch": 1}',
    "an entry without a digest": b'{"schema_version": 1, "epoch": 1, "files": {"config.json": {"size": 1}}}',
}


@pytest.mark.parametrize("garbage", GARBAGE_HEADS)
def test_a_garbled_head_is_damage_and_hides_no_other_run(tmp_path, garbage):
    good = make_run(Store(tmp_path), epochs=1, evaluated=False, seed=3)
    write(tmp_path, 1)
    (folder_of(tmp_path) / "HEAD.json").write_bytes(GARBAGE_HEADS[garbage])
    with pytest.raises(RunDamagedError, match=r"HEAD\.json is not a commit record"):
        Store(tmp_path).open(CONFIG.run_id)
    listing = Store(tmp_path).list()
    assert [run.id for run in listing.runs] == [good.id]
    assert listing.damaged.keys() == {CONFIG.run_id}
    with pytest.raises(RunDamagedError), Store(tmp_path).writer(CONFIG):
        pass
    assert (folder_of(tmp_path) / "HEAD.json").read_bytes() == GARBAGE_HEADS[garbage]


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 10**30, float(SCHEMA_VERSION + 1)])
def test_a_newer_schema_is_refused_with_the_advice_to_update_whatever_else_it_holds(tmp_path, version):
    write(tmp_path, 1)
    path = folder_of(tmp_path) / "HEAD.json"
    path.write_text(json.dumps({"schema_version": version, "commit": {"unknown": True}}))
    with pytest.raises(RunDamagedError, match=r"newer than 1; update aat-explore"):
        Store(tmp_path).open(CONFIG.run_id)


def test_a_run_without_head_does_not_exist(tmp_path):
    write(tmp_path, 1)
    (folder_of(tmp_path) / "HEAD.json").unlink()
    assert Store(tmp_path).run_ids() == []
    with pytest.raises(RunNotFoundError, match="aat list"):
        Store(tmp_path).open(CONFIG.run_id)


def commit_by_hand(root: Path, contents: dict[str, bytes]) -> None:
    """List files in HEAD with their true digests, as someone might who hands over a forged cache."""
    path = folder_of(root) / "HEAD.json"
    head = json.loads(path.read_text())
    for name, content in contents.items():
        head["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    path.write_text(json.dumps(head))


@pytest.mark.parametrize(
    "name",
    [
        "../../secret",
        "epochs/../../../secret",
        "/etc/passwd",
        "./secret",
        "a//b",
        "a\\..\\b",
        "..",
        "",
        "a\n",
        "a/\u0662",
    ],
)
def test_a_file_name_in_head_that_could_leave_the_run_is_refused(tmp_path, name):
    write(tmp_path, 1)
    (tmp_path / "secret").write_bytes(b"secret")
    commit_by_hand(tmp_path, {name: b"secret"})
    with pytest.raises(RunDamagedError, match=r"HEAD\.json is not a commit record"):
        Store(tmp_path).open(CONFIG.run_id).verify()


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_a_pickle_in_an_array_file_is_never_loaded(tmp_path):
    write(tmp_path, 1)
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb(tmp_path / "exploded")], dtype=object), allow_pickle=True)
    for array in ("drawn", "x_adv", "score-loss", "probabilities", "losses", "predicted"):
        path = folder_of(tmp_path) / f"epochs/0001/{array}.npy"
        path.write_bytes(buffer.getvalue())
        commit_by_hand(tmp_path, {f"epochs/0001/{array}.npy": buffer.getvalue()})
        with pytest.raises(RunDamagedError, match=f"{array}.npy is not an array of numbers"):
            getattr(Store(tmp_path).open(CONFIG.run_id), READERS.get(array, array))(1)
    assert not (tmp_path / "exploded").exists()
    np.load(io.BytesIO(buffer.getvalue()), allow_pickle=True)
    assert (tmp_path / "exploded").exists(), "the bomb was live"


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("epochs/0001/drawn.npy", lambda run: run.drawn(1)),
        ("checkpoints/0001.safetensors", lambda run: run.weights(1)),
        ("checkpoints/0001.training.safetensors", lambda run: run.training_state()),
        ("metrics.parquet", lambda run: run.metrics()),
        ("config.json", lambda run: run.config),
    ],
)
@pytest.mark.parametrize("content", [b"", b"junk" * 40, b"PAR1" + b"\xff" * 60 + b"PAR1", b"\x93NUMPY\x01\x00"])
def test_a_listed_file_of_another_format_is_damage_that_names_it(tmp_path, name, read, content):
    write(tmp_path, 1)
    (folder_of(tmp_path) / name).write_bytes(content)
    commit_by_hand(tmp_path, {name: content})
    with pytest.raises(RunDamagedError, match=name):
        read(Store(tmp_path).open(CONFIG.run_id))


def forge(root: Path, name: str, content: bytes) -> None:
    (folder_of(root) / name).write_bytes(content)
    commit_by_hand(root, {name: content})


def npy(array: object, kind: type) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(array, dtype=kind))
    return buffer.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


SCORES = ("loss", "margin", "entropy", "gradient-norm")
READERS = {"losses": "recorded_losses", "predicted": "recorded_classes"} | {f"score-{s}": "scores" for s in SCORES}
FORGED_ARRAYS = {
    "drawn": [
        npy([0.0, 1.0], float), npy([[0, 1]], int), npy(3, int), npy([-1, 0], int), npy([2, 2], int),
        npy([0, NUM_TRAIN], int), npy([True], bool), npy(["a"], str), header("(((("), header("{'descr': 'x'"),
        header("'" * 3), header("{'descr': '<i4', 'fortran_order': False, 'shape': (-1,)}"),
    ],
    "probabilities": [
        npy([0, 1], int), npy([[0.5, 0.5]], float), npy([np.nan, 1], float), npy([np.inf], float), npy([-0.1], float),
        npy([1j], complex),
    ],
    "x_adv": [
        npy(np.zeros((2, 1, 28, 28)), float), npy(np.zeros((2, 28, 28)), np.uint8),
        npy(np.zeros((21, 1, 4, 4)), np.uint8),
    ],
    "losses": [
        npy([0.5, 0.5], float), npy([[0.5]], float), npy([[0.5, np.nan]], float), npy([[-0.1, 1]], float),
        npy(0.5, float), npy([[1, 2]], int),
    ],
    "score-loss": [
        npy([0.5] * NUM_TRAIN, complex), npy([1] * NUM_TRAIN, int), npy([[0.5] * NUM_TRAIN], float), npy(0.5, float),
        npy([0.5] * (NUM_TRAIN - 1), float), npy([np.nan] * NUM_TRAIN, float), npy([-0.1] * NUM_TRAIN, float),
        npy([np.inf] * NUM_TRAIN, np.float16),
    ],
    "predicted": [npy([1, 2], int), npy([[1]], int), npy([[-1, 2]], int), npy([[0.5, 1]], float), npy(1, int)],
}  # fmt: skip


@pytest.mark.parametrize("array", FORGED_ARRAYS)
def test_an_array_whose_digest_fits_but_which_cannot_be_what_it_is_said_to_be_is_damage(tmp_path, array):
    write(tmp_path, 1)
    for content in FORGED_ARRAYS[array]:
        forge(tmp_path, f"epochs/0001/{array}.npy", content)
        with pytest.raises(RunDamagedError, match=f"{array}.npy "):
            getattr(Store(tmp_path).open(CONFIG.run_id), READERS.get(array, array))(1)


def test_metrics_that_are_not_one_row_for_each_epoch_are_damage(tmp_path):
    write(tmp_path, 3)
    good = Store(tmp_path).open(CONFIG.run_id).metrics()
    for bad in (
        good[:2], good[::-1], pd.concat([good, good[2:]]), good[:0], good.assign(epoch=[1, 2, 4]), good.assign(lr="a"),
        good.assign(loss=np.nan), good.assign(epoch=["1", "2", "3"]), good.assign(loss=np.inf), good.drop(columns="lr"),
    ):  # fmt: skip
        buffer = io.BytesIO()
        bad.to_parquet(buffer, index=False)
        forge(tmp_path, "metrics.parquet", buffer.getvalue())
        with pytest.raises(RunDamagedError, match=r"metrics\.parquet "):
            Store(tmp_path).open(CONFIG.run_id).metrics()
        with pytest.raises(RunDamagedError), Store(tmp_path).writer(CONFIG):
            pass


def test_a_head_beyond_the_configs_last_epoch_is_damage_and_hides_no_other_run(tmp_path):
    good = make_run(Store(tmp_path), epochs=1, evaluated=False, seed=3)
    write(tmp_path, 2)
    forge(tmp_path, "config.json", CONFIG.model_copy(update={"epochs": 1}).model_dump_json().encode())
    run = Store(tmp_path).open(CONFIG.run_id)
    for _ in range(2):
        with pytest.raises(RunDamagedError, match=r"HEAD\.json has epoch=2, but config\.json only epochs=1"):
            _ = run.config
    listing = Store(tmp_path).list()
    assert [run.id for run in listing.runs] == [good.id]
    assert listing.damaged.keys() == {CONFIG.run_id}


@pytest.mark.parametrize(
    "fields",
    [
        {"num_images": 0}, {"epoch": 0}, {"split": "\x1b[31m"}, {"epsilons": ()}, {"epsilons": (), "num_correct": ()},
        {"num_correct": (1,)}, {"num_correct": (2001,) * 9}, {"num_correct": (-1,) * 9}, {"epsilons": (0.1,) * 9},
        {"epsilons": tuple(k / 8 for k in range(8, -1, -1))}, {"epsilons": tuple(k / 4 for k in range(9))},
        {"epsilons": tuple(k / 10 for k in range(-1, 8))},
    ],
)  # fmt: skip
def test_an_evaluation_whose_numbers_do_not_fit_together_is_damage_that_names_it(tmp_path, fields):
    write(tmp_path, 1, evaluated=True)
    run = Store(tmp_path).open(CONFIG.run_id)
    (name,) = (name for name in run.head.files if name.startswith("evaluations/"))
    forge(tmp_path, name, json.dumps(run.evaluations()[0].model_dump(mode="json") | fields).encode())
    with pytest.raises(RunDamagedError, match=f"{name} does not fit"):
        Store(tmp_path).open(CONFIG.run_id).evaluations()


def test_a_lock_that_leads_elsewhere_is_not_touched_by_looking(tmp_path):
    write(tmp_path, 1)
    (tmp_path / "precious").write_text("kept")
    (folder_of(tmp_path) / ".lock").unlink(missing_ok=True)
    (folder_of(tmp_path) / ".lock").symlink_to(tmp_path / "precious")
    assert not Store(tmp_path).open(CONFIG.run_id).training
    assert (tmp_path / "precious").read_text() == "kept"


def test_an_array_that_claims_more_memory_than_there_is_is_damage(tmp_path):
    write(tmp_path, 1)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<i4", "fortran_order": False, "shape": (2**58,)})
    (folder_of(tmp_path) / "epochs/0001/drawn.npy").write_bytes(buffer.getvalue())
    commit_by_hand(tmp_path, {"epochs/0001/drawn.npy": buffer.getvalue()})
    with pytest.raises(RunDamagedError, match=r"drawn\.npy"):
        Store(tmp_path).open(CONFIG.run_id).drawn(1)


def test_a_missing_epoch_or_checkpoint_is_an_error_that_names_those_there_are(tmp_path):
    write(tmp_path, 12)
    run = Store(tmp_path).open(CONFIG.run_id)
    with pytest.raises(AATError, match=r"epoch=13 .* has epochs 1 to 12"):
        run.drawn(13)
    with pytest.raises(AATError, match=r"epoch=0 .* has epochs 1 to 12"):
        run.x_adv(0)
    with pytest.raises(AATError, match=r"epoch=5 .* choose one of 10, 11, 12"):
        run.weights(5)


# --- Writers and readers at the same time --------------------------------------------------------------------------

HOLD = """
import sys, time
from aat_explore.presets import preset
from aat_explore.store import Store
with Store(sys.argv[1]).writer(preset("mini", num_perturbed=20, num_recorded=3, epochs=31)):
    print("held", flush=True)
    time.sleep(600)
"""
COMMIT = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import test_store
for upto in range(6, 32, 5):
    sys.stdin.readline()
    test_store.write(Path(sys.argv[1]), upto)
"""


def other_process(source: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", source, *map(str, arguments)]
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def test_two_writers_exclude_each_other_and_the_lock_dies_with_a_killed_process(tmp_path):
    write(tmp_path, 1)
    with other_process(HOLD, tmp_path) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunBusyError, match="being trained by another process"), Store(tmp_path).writer(CONFIG):
            pass
        run = Store(tmp_path).open(CONFIG.run_id)
        assert run.training
        run.verify()
        with Store(tmp_path).writer(preset("mini", seed=9)):
            pass  # another run is another lock
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert not run.training
        write(tmp_path, 2)
        assert Store(tmp_path).open(CONFIG.run_id).epoch == 2


def test_looking_whether_a_run_is_live_never_takes_it_from_its_writer(tmp_path):
    write(tmp_path, 1)
    run, stop = Store(tmp_path).open(CONFIG.run_id), threading.Event()

    def look():
        while not stop.is_set():
            _ = run.training

    with_looks = threading.Thread(target=look)
    with_looks.start()
    try:
        for epoch in range(2, 8):
            write(tmp_path, epoch)
    finally:
        stop.set()
        with_looks.join()
    assert everything(tmp_path)[0].epoch == 7
    assert not run.training


def test_a_reader_during_many_commits_of_another_process_never_sees_damage(tmp_path):
    bursts, seen = iter(range(1, 31, 5)), []
    write(tmp_path, 1)
    burst = next(bursts)
    with other_process(COMMIT, tmp_path, Path(__file__).parent) as writer:
        while writer.poll() is None or seen[-1] < 31:
            run = Store(tmp_path).open(CONFIG.run_id)
            if run.epoch == burst:  # the writer makes its next five commits when the reader has seen the last five
                writer.stdin.write("go\n")
                writer.stdin.flush()
                burst = next(bursts, None)
            try:
                metrics = run.metrics()
                assert len(metrics) >= run.epoch  # newer if the writer moved on meanwhile
                assert len(run.drawn(run.epoch)) == 20
                assert list(run.weights(run.epoch)) == ["layer.weight"]
                run.verify()
            except RunMovedOnError:
                continue
            finally:
                seen.append(run.epoch)
        assert writer.returncode == 0
    assert seen == sorted(seen)
    assert {1, 6, 11, 16, 21, 26, 31} <= set(seen)


def test_metrics_are_found_whenever_a_trainer_moves_them_to_their_place(tmp_path, monkeypatch):
    """HEAD is renamed, the metrics it lists not yet; they are moved between any two looks of the reader."""
    for look in range(1, 5):
        root = tmp_path / str(look)
        write(root, 3)
        path = folder_of(root)
        new = (path / "metrics.parquet").read_bytes()
        write(root / "old", 2)
        (path / "metrics.parquet").write_bytes((folder_of(root / "old") / "metrics.parquet").read_bytes())
        (path / "metrics.parquet.next").write_bytes(new)
        run = Store(root).open(CONFIG.run_id)
        looks = 0

        def moved_meanwhile(file, look=look, path=path, real=Path.read_bytes):
            nonlocal looks
            looks += 1
            if looks == look:
                (path / "metrics.parquet.next").replace(path / "metrics.parquet")
            return real(file)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", moved_meanwhile)
            assert len(run.metrics()) == 3


def test_a_run_that_moved_on_gives_its_newer_metrics_and_says_so_of_dropped_checkpoints(tmp_path):
    write(tmp_path, 3)
    run = Store(tmp_path).open(CONFIG.run_id)
    write(tmp_path, 6)
    assert len(run.metrics()) == 6
    assert len(run.drawn(3)) == 20  # what is never replaced is still read
    with pytest.raises(RunMovedOnError, match="open it again"):
        run.training_state()


# --- What is kept, and where ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=12)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 1.0])] * 2), min_size=1, max_size=23))
def test_kept_are_the_last_two_the_best_and_every_tenth_and_what_is_dropped_is_gone(tmp_path_factory, accuracies):
    root = tmp_path_factory.mktemp("kept")
    with Store(root).writer(CONFIG) as writer:
        for epoch, (robust, clean) in enumerate(accuracies, 1):
            writer.commit(record(epoch, robust_accuracy_val=robust, clean_accuracy_val=clean))
    last, held = len(accuracies), set()
    for epoch in range(1, last + 1):
        highest = max(clean for _, clean in accuracies[:epoch])
        able = [e for e in sorted(held | {epoch}) if accuracies[e - 1][1] == highest]  # the others lack more than 0.1
        best = max(able, key=lambda e: accuracies[e - 1])  # the first of equals
        held = {epoch, epoch - 1, best, *range(10, epoch + 1, 10)} - {0}
    kept = held
    run = Store(root).open(CONFIG.run_id)
    assert run.checkpoints() == sorted(kept)
    states = {name for name in run.head.files if name.endswith(".training.safetensors")}
    assert states == {f"checkpoints/{epoch:04d}.training.safetensors" for epoch in {last, last - 1} - {0}}
    assert set(tree(root)) == set(run.head.files) | {"HEAD.json"}
    for epoch in kept:
        np.testing.assert_array_equal(run.weights(epoch)["layer.weight"], record(epoch).weights["layer.weight"])


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
@pytest.mark.parametrize("name", ["HEAD.json", "config.json", "metrics.parquet"])
def test_what_the_machine_cannot_read_is_neither_damaged_nor_a_run_that_is_not_there(
    tmp_path, monkeypatch, name, number
):
    write(tmp_path, 2)
    real = Path.read_bytes

    def failing(path):
        if path.name == name:
            raise OSError(number, os.strerror(number), str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    said = rf"^run={CONFIG.run_id}: {name} cannot be read \({os.strerror(number)}\); \w+"
    with pytest.raises(RunUnreadableError, match=said):
        everything(tmp_path)
    if name != "metrics.parquet":
        (reason,) = Store(tmp_path).list().damaged.values()
        assert re.match(said, reason)


def test_a_barely_trained_epoch_that_is_hard_to_fool_is_not_kept_as_the_best(tmp_path):
    course = [(0.31, 0.4), (0.02, 0.8), (0.2, 0.84), (0.25, 0.86), (0.24, 0.88), (0.05, 0.9), (0.04, 0.91)]
    with Store(tmp_path).writer(CONFIG) as writer:
        for epoch, (robust, clean) in enumerate(course, 1):
            writer.commit(record(epoch, robust_accuracy_val=robust, clean_accuracy_val=clean))
    run = Store(tmp_path).open(CONFIG.run_id)
    assert run.checkpoints() == [4, 6, 7]
    assert best_epoch(run.rows(), run.checkpoints()) == 4


def test_a_local_run_hides_the_showcase_run_of_its_name_and_the_showcase_is_read_in_place(tmp_path):
    write(tmp_path / "showcase", 2, evaluated=True)
    shown = tree(tmp_path / "showcase")
    run = Store(tmp_path).open(CONFIG.run_id)
    assert run.showcase
    assert run.epoch == 2
    assert not run.training
    assert Store(tmp_path).run_ids() == [CONFIG.run_id]
    write(tmp_path, 1)
    run = Store(tmp_path).open(CONFIG.run_id)
    assert not run.showcase
    assert run.epoch == 1
    assert [own.epoch for own in Store(tmp_path).list().runs] == [1]
    assert tree(tmp_path / "showcase") == shown


def test_folders_that_are_no_runs_are_not_listed(tmp_path):
    write(tmp_path, 1)
    for name in ("UPPER", ".hidden", "-dash", "a" * 65, "sp ace", "ünïcode", "new\nline"):
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "HEAD.json").write_text("{}")
    (tmp_path / "runs" / "no-head").mkdir()
    assert Store(tmp_path).run_ids() == [CONFIG.run_id]


@pytest.mark.parametrize(
    "run_id",
    ["..", ".", "", "/", "a/b", "../runs/x", "a" * 65, "abc\n", "\nabc", "run-\u0661", "A", "a b", "a\0b", "-a", "é"],
)
def test_a_hostile_run_id_is_refused_before_any_path_is_made_of_it(tmp_path, run_id):
    with pytest.raises(AATError, match="is not a run id"):
        Store(tmp_path).open(run_id)


# --- metrics.parquet -----------------------------------------------------------------------------------------------

FINITE = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(0, 2**63 - 1)
KINDS = {float: FINITE, int: COUNT, str: st.text(st.characters(exclude_categories=["Cs"]), max_size=8)}
METRICS = st.fixed_dictionaries(
    {
        name: KINDS.get(field.annotation, st.none() | FINITE)
        for name, field in EpochMetrics.model_fields.items()
        if name != "epoch"
    }
)


@settings(deadline=None, max_examples=25)
@given(st.lists(METRICS, min_size=1, max_size=3))
def test_metrics_come_back_exactly_and_are_written_again_to_the_same_bytes(tmp_path_factory, rows):
    root = tmp_path_factory.mktemp("metrics")
    made = [EpochMetrics(epoch=epoch, **row) for epoch, row in enumerate(rows, 1)]
    for metrics in made:  # a new writer each time: every row goes through the file
        with Store(root).writer(CONFIG) as writer:
            writer.commit(record(metrics.epoch, **metrics.model_dump()))
    frame = Store(root).open(CONFIG.run_id).metrics()
    back = [
        EpochMetrics(**{name: None if pd.isna(value) else value for name, value in row.items()})
        for row in frame.to_dict("records")
    ]
    assert back == made
    with Store(root / "at-once").writer(CONFIG) as writer:
        for metrics in made:
            writer.commit(record(metrics.epoch, **metrics.model_dump()))
    assert tree(root / "at-once") == tree(root)


@pytest.mark.parametrize("num_perturbed", [0, 20, "all"])
def test_metrics_are_plain_parquet_with_the_documented_columns_and_types(tmp_path, num_perturbed):
    run = make_run(Store(tmp_path), epochs=2, evaluated=False, num_perturbed=num_perturbed)
    frame = pd.read_parquet(run.path / "metrics.parquet")
    assert list(frame.columns) == list(EpochMetrics.model_fields)
    for name, field in EpochMetrics.model_fields.items():
        kind = frame[name].dtype
        if field.annotation is int:
            assert kind == np.int64, name
        elif field.annotation is str:
            assert pd.api.types.is_string_dtype(kind), name
        else:  # float and float | None, also where every value is missing
            assert kind == np.float64, name
    assert frame["epoch"].tolist() == [1, 2]
    assert frame["loss_drawn"].isna().all() == (num_perturbed == 0)


def test_arrays_come_back_as_they_were_with_the_documented_types(tmp_path):
    write(tmp_path, 1)
    made, run = record(1), Store(tmp_path).open(CONFIG.run_id)
    for name, kind in (("probabilities", np.float32), ("drawn", np.int32), ("x_adv", np.uint8)):
        back = getattr(run, name)(1)
        assert back.dtype == kind
        np.testing.assert_array_equal(back, getattr(made, name))
        np.testing.assert_array_equal(np.load(run.path / f"epochs/0001/{name}.npy"), back)  # numpy alone reads it
    assert json.loads((run.path / "config.json").read_text()) == CONFIG.model_dump(mode="json")
    assert RunConfig.model_validate_json((run.path / "config.json").read_bytes()) == run.config == CONFIG


def test_evaluations_come_back_oldest_first_and_none_is_overwritten(tmp_path):
    write(tmp_path, 1)
    made = [make_evaluation(CONFIG, 1, created=f"2026-01-0{day}T00:00:00Z", seed=day) for day in (3, 1, 2)]
    with Store(tmp_path).writer(CONFIG) as writer:
        for evaluation in [*made, made[0]]:
            writer.add_evaluation(evaluation)
    assert Store(tmp_path).open(CONFIG.run_id).evaluations() == sorted(made, key=lambda e: e.created)


def test_the_revision_changes_with_every_commit_and_only_then(tmp_path):
    revisions = []
    for act in (lambda: write(tmp_path, 1), lambda: write(tmp_path, 2), lambda: write(tmp_path, 2, evaluated=True)):
        act()
        revisions.append(Store(tmp_path).open(CONFIG.run_id).revision)
    assert len(set(revisions)) == 3
    write(tmp_path, 2)
    assert Store(tmp_path).open(CONFIG.run_id).revision == revisions[-1]


def test_the_store_works_without_torch(tmp_path):
    source = (
        "import sys; from aat_explore.store import Store; Store(sys.argv[1]).list(); assert 'torch' not in sys.modules"
    )
    write(tmp_path, 1)
    with other_process(source, tmp_path) as process:
        process.communicate()
        assert process.returncode == 0


# --- Light copies ----------------------------------------------------------------------------------------------------


def test_a_light_copy_has_all_that_figures_are_made_of_and_is_sound(tmp_path):
    run = make_run(Store(tmp_path / "a"), epochs=3)
    with Store(tmp_path / "a").writer(run.config) as writer:
        writer.add_checks(make_report(run.config, 3, ()))
        correct = np.ones((1, 9, 2000), dtype=bool)
        counts = {"attacks": ("PGD",), "num_correct": (2000,) * 9, "created": "2027-01-01"}
        writer.add_evaluation(make_evaluation(run.config, 3, **counts), correct)
    run = Store(tmp_path / "a").open(run.id)
    copy = light_copy(run, tmp_path / "b")
    copy = Store(tmp_path / "b").open(run.id)
    copy.verify()
    assert copy.config == run.config
    assert copy.metrics().equals(run.metrics())
    assert copy.evaluations() == run.evaluations()
    assert copy.checks() == run.checks()
    assert np.array_equal(copy.verdicts(copy.evaluations()[-1]), correct)
    assert all(np.array_equal(copy.weights(3)[name], array) for name, array in run.weights(3).items())
    assert run.recorded
    assert not copy.recorded
    assert sum(file.stat().st_size for file in copy.path.rglob("*") if file.is_file()) < 40_000
    assert not copy.scores(1)
    with pytest.raises(AATError, match=r"epoch=1 of run=.* is not recorded"):
        copy.drawn(1)
    with Store(tmp_path / "b").writer(run.config) as writer:  # and it can be tested further
        writer.add_evaluation(make_evaluation(run.config, 3, seed=7, created="2027-02-01"))
    assert len(Store(tmp_path / "b").open(run.id).evaluations()) == 3


@pytest.mark.parametrize("scores", [True, False])
@pytest.mark.parametrize("images", [None, 0, 3])
def test_a_copy_with_picks_has_p_picks_scores_on_request_and_the_first_images_of_each_epoch(tmp_path, images, scores):
    run = make_run(Store(tmp_path / "a"), epochs=3)
    copy = light_copy(run, tmp_path / "b", Contents(picks=True, images=images, scores=scores))
    copy.verify()
    assert copy.recorded
    for epoch in (1, 2, 3):
        assert np.array_equal(copy.probabilities(epoch), run.probabilities(epoch))
        assert np.array_equal(copy.drawn(epoch), run.drawn(epoch))
        assert copy.scores(epoch).keys() == (run.scores(epoch).keys() if scores else set())
        assert all(np.array_equal(copy.scores(epoch)[name], run.scores(epoch)[name]) for name in copy.scores(epoch))
        for array in ("x_adv", "recorded_losses", "recorded_classes"):
            assert np.array_equal(getattr(copy, array)(epoch), getattr(run, array)(epoch)[:images])
    assert copy.checkpoints() == [3]
    assert not [name for name in copy.head.files if "training" in name]


def test_a_copy_without_weights_says_so_when_it_is_asked_for_them(tmp_path):
    run = make_run(Store(tmp_path / "a"), epochs=2)
    copy = light_copy(run, tmp_path / "b", Contents(weights=False))
    copy.verify()
    assert copy.evaluations() == run.evaluations()
    with pytest.raises(AATError, match=r"epoch=2 of run=.* has no kept checkpoint; the run has none"):
        copy.weights(2)


def test_a_negative_number_of_images_is_an_error(tmp_path):
    with pytest.raises(AATError, match=r"images=-1 is negative"):
        light_copy(make_run(Store(tmp_path / "a"), epochs=1), tmp_path / "b", Contents(picks=True, images=-1))


def test_what_is_there_is_not_copied_over_and_what_is_not_complete_not_at_all(tmp_path):
    run = make_run(Store(tmp_path / "a"), epochs=2)
    light_copy(run, tmp_path / "b")
    with pytest.raises(AATError, match="is already in"):
        light_copy(run, tmp_path / "b")
    begun = make_run(Store(tmp_path / "a"), epochs=5, committed=2, evaluated=False)
    with pytest.raises(AATError, match="is not complete"):
        light_copy(begun, tmp_path / "b")
    assert Store(tmp_path / "b").run_ids() == [run.id]
