"""Writing one cached run: files first, each whole after any crash, and HEAD last."""

import io
import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save as save_safetensors

from aat_explore.config import RunConfig
from aat_explore.errors import AATError
from aat_explore.records import (
    SCHEMA_VERSION,
    Arrays,
    CheckReport,
    EpochMetrics,
    EpochRecord,
    Evaluation,
    best_epoch,
)
from aat_explore.store.reading import type_of
from aat_explore.store.run import WEIGHTS, Array, FileEntry, Head, Run, digest_of, part_file, verdicts_file
from aat_explore.store.scores import compact, score_file

KEEP_LAST = 2  # checkpoints with optimiser state: the newest, and the previous one in case of a bad disk
KEEP_EVERY = 10  # by default, weights kept for good, for robust accuracy over epochs


class RunWriter:
    """Commits epochs and evaluations to one run whose lock is held."""

    def __init__(self, path: Path, config: RunConfig, keep_every: int = KEEP_EVERY) -> None:
        if keep_every < 1:
            raise AATError(f"keep_every={keep_every} is less than 1; use 10 to keep every tenth epoch's weights")
        self.path, self._keep_every = path, keep_every
        self._files: dict[str, FileEntry] = {}
        self._unsynced: set[Path] = set()  # folders of files written since the last commit
        self._rows: list[EpochMetrics] = []
        self._unknown = pa.table({})  # columns of a newer version, kept as they are
        self.epoch = 0
        for partial in path.rglob(".*.partial"):  # left by a killed writer
            partial.unlink()
        if (path / "HEAD.json").exists():
            run = self.read()
            if run.config.digest() != config.digest():
                raise AATError(f"run={run.id} holds another config under this name; change the seed or move it")
            self._files, self.epoch = dict(run.head.files), run.epoch
            metrics = run.metrics_file()
            self._rows, self._unknown = list(metrics.rows), metrics.unknown
            self._tidy_after_crash()
        else:
            self._put("config.json", config.model_dump_json(indent=1).encode())

    def read(self) -> Run:
        """Open what has been committed so far."""
        return Run(self.path)

    def _tidy_after_crash(self) -> None:
        """Finish what a killed writer began: put the metrics that HEAD lists in place, and delete what it dropped."""
        pending = self.path / "metrics.parquet.next"
        if pending.exists():
            if digest_of(pending.read_bytes()) == self._files["metrics.parquet"].sha256:
                pending.replace(self.path / "metrics.parquet")
            else:
                pending.unlink()
        for checkpoint in self.path.glob("checkpoints/*.safetensors"):
            if checkpoint.relative_to(self.path).as_posix() not in self._files:
                checkpoint.unlink()

    def commit(self, record: EpochRecord) -> None:
        """Write one epoch; when this returns, the epoch survives any crash."""
        epoch = record.metrics.epoch
        if epoch != self.epoch + 1:
            raise AATError(f"epoch={epoch} cannot follow epoch {self.epoch} of run={self.path.name}")
        folder = f"epochs/{epoch:04d}"
        if record.probabilities is not None:
            self._put(f"{folder}/probabilities.npy", _npy(record.probabilities.astype(np.float32)))
        for name, scores in record.scores.items():
            self._put(score_file(epoch, name), _npy(compact(name, scores)))
        self._put(f"{folder}/drawn.npy", _npy(record.drawn.astype(np.int32)))
        self._put(f"{folder}/x_adv.npy", _npy(record.x_adv))
        self._put(f"{folder}/losses.npy", _npy(record.recorded_losses.astype(np.float32)))
        self._put(f"{folder}/predicted.npy", _npy(record.recorded_classes.astype(np.int32)))
        self._put(f"checkpoints/{epoch:04d}.safetensors", _safetensors(record.weights))
        self._put(f"checkpoints/{epoch:04d}.training.safetensors", _safetensors(record.training_state))
        self._rows.append(record.metrics)
        self.epoch = epoch
        dropped = self._outdated_checkpoints()
        for name in dropped:
            del self._files[name]
        self._commit_head(metrics=True)
        for name in dropped:
            (self.path / name).unlink(missing_ok=True)

    def add_evaluation(
        self, evaluation: Evaluation, correct: Array | None = None, *, key: str | None = None
    ) -> Evaluation:
        """Write one evaluation, and its verdicts, bool (attacks, ε, N), one bit each; return it as written.

        Nothing is ever overwritten. The parts that `add_verdicts` wrote under `key` are dropped by the same commit.
        """
        if correct is not None:
            bits = _npy(np.packbits(correct, axis=-1))
            evaluation = evaluation.model_copy(update={"verdicts": digest_of(bits)})
            self._put(verdicts_file(digest_of(bits)), bits)
        content = evaluation.model_dump_json(indent=1).encode()
        name = f"evaluations/{evaluation.split}-{evaluation.epoch:04d}-{digest_of(content)[:12]}.json"
        self._put(name, content)
        parts = [] if key is None else [name for name in self._files if name.startswith(f"evaluations/{key}/")]
        for name in parts:
            del self._files[name]
        self._commit_head(metrics=False)
        for name in parts:
            (self.path / name).unlink(missing_ok=True)
        if parts:
            (self.path / parts[0]).parent.rmdir()
        return evaluation

    def add_checks(self, report: CheckReport) -> None:
        """Write one report of checks; nothing is ever overwritten."""
        content = report.model_dump_json(indent=1).encode()
        self._put(f"checks/{report.epoch:04d}-{digest_of(content)[:12]}.json", content)
        self._commit_head(metrics=False)

    def add_verdicts(self, key: str, number: int, part: dict[str, Array]) -> None:
        """Write part `number`, from 0, of the evaluation named `key`, so that it can resume if interrupted."""
        self._put(part_file(key, number), _safetensors(part))
        self._commit_head(metrics=False)

    def _outdated_checkpoints(self) -> list[str]:
        """Checkpoints that are neither among the last, nor the `best_epoch`, nor every `keep_every`-th.

        What counts as best changes during the run, so only epochs whose weights still exist are compared.
        """
        held = {int(match[1]) for match in map(WEIGHTS.fullmatch, self._files) if match}
        best = best_epoch(self._rows, held)
        recent = range(self.epoch - KEEP_LAST + 1, self.epoch + 1)
        kept = {
            f"checkpoints/{epoch:04d}.safetensors"
            for epoch in held
            if epoch in {*recent, best} or epoch % self._keep_every == 0
        }
        kept |= {f"checkpoints/{epoch:04d}.training.safetensors" for epoch in recent}
        return [name for name in self._files if name.startswith("checkpoints/") and name not in kept]

    def _commit_head(self, *, metrics: bool) -> None:
        if metrics:
            self._put("metrics.parquet", self._metrics(), suffix=".next")
        _sync_folders(self._unsynced)  # before HEAD lists what is in them
        self._unsynced.clear()
        head = Head(schema_version=SCHEMA_VERSION, epoch=self.epoch, files=self._files)
        write_whole(self.path / "HEAD.json", head.model_dump_json().encode())
        _sync_folders([self.path])
        if metrics:
            (self.path / "metrics.parquet.next").replace(self.path / "metrics.parquet")

    def _metrics(self) -> bytes:
        """Every column of this version, and those a newer version wrote, empty in new rows."""
        columns = {
            name: pa.array([getattr(row, name) for row in self._rows], type_of(name))
            for name in EpochMetrics.model_fields
        }
        for name, column in zip(self._unknown.column_names, self._unknown.columns, strict=True):
            new = pa.nulls(len(self._rows) - len(column), column.type)
            columns[name] = pa.chunked_array([*column.chunks, new], column.type)
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer)
        return buffer.getvalue()

    def _put(self, name: str, content: bytes, *, suffix: str = "") -> None:
        """Write a file that the next HEAD will list; `suffix` keeps a mutable file separate until then."""
        path = self.path / f"{name}{suffix}"
        write_whole(path, content)
        self._unsynced.add(path.parent)
        self._files[name] = FileEntry(size=len(content), sha256=digest_of(content))


def _npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _safetensors(arrays: Arrays) -> bytes:
    """Arrays as a file; C order, because safetensors writes a transposed array's memory as it lies."""
    return save_safetensors({name: np.asarray(array, order="C") for name, array in arrays.items()})


def write_whole(path: Path, content: bytes) -> None:
    """Write so that, after any crash, the file is either old or new and whole; the caller syncs its folder."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.partial")
    try:
        make_folder(path.parent)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def make_folder(path: Path) -> None:
    """Make a folder and its parents so that they survive a crash: each is synced in the folder that holds it."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


def _sync_folders(folders: Iterable[Path]) -> None:
    for folder in folders:
        try:
            _sync_folder(folder)
        except OSError as error:
            raise _unwritable(folder, error) from None


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unwritable(path: Path, error: OSError) -> AATError:
    return AATError(f"{path} cannot be written ({error.strerror}); free space or set another --cache-dir")
