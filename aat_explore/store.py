"""The cache: the only code that writes or reads `cache/runs`, without torch.

    cache/runs/<run_id>/
        config.json                          the RunConfig
        HEAD.json                            schema, last epoch, size and sha256 of every file: the commit point
        metrics.parquet                      one EpochMetrics row an epoch
        epochs/0042/{probabilities,drawn,x_adv}.npy
        checkpoints/0042.safetensors         weights: last two, best, every tenth
        checkpoints/0042.training.safetensors    optimiser state, so that the run resumes: last two
        evaluations/*.json
        .lock                                held while a trainer writes
    cache/showcase/runs/...                  the same, committed with the project, read only

A writer puts every file under a temporary name beside its target, syncs it, renames it, and renames HEAD last. A reader
believes only HEAD: a file that HEAD does not list does not exist, and one whose size or digest differs is damage.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from pydantic import Field, ValidationError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from aat_explore.config import RunConfig, Values, checked_run_id, one_line
from aat_explore.errors import AATError
from aat_explore.records import SCHEMA_VERSION, Arrays, EpochMetrics, EpochRecord, Evaluation

KEEP_LAST = 2  # checkpoints with optimiser state: the newest, and the one before it in case of a bad disk
KEEP_EVERY = 10  # weights kept for good, for robust accuracy over epochs

Array = np.ndarray[Any, Any]


class RunNotFound(AATError):
    """There is no such run in this cache."""


class RunDamaged(AATError):
    """A file of a run is missing or is not what HEAD says; the message names it."""


class RunBusy(AATError):
    """Another process is training this run."""


class RunMovedOn(AATError):
    """A trainer committed an epoch while the run was read; open it again."""


class FileEntry(Values):
    """Size in bytes and sha256 of one file, as HEAD lists it."""

    size: int
    sha256: str


class Head(Values):
    """The commit point of a run: what is believed to exist, and nothing else."""

    schema_version: int
    epoch: int
    files: dict[
        Annotated[str, Field(pattern=r"^[a-z0-9_]+(/[a-z0-9_-]+)*(\.[a-z]+)*$")], FileEntry
    ]  # never out of the run


def digest_of(content: bytes) -> str:
    """Return the sha256 of `content`, as hex digits."""
    return hashlib.sha256(content).hexdigest()


class Run:
    """One cached run as HEAD describes it at the moment of opening; reopen it to see epochs committed since.

    Every file is verified against HEAD when it is read; `RunDamaged` names the file that differs.
    """

    def __init__(self, path: Path, *, showcase: bool = False) -> None:
        self.path, self.id, self.showcase = path, checked_run_id(path.name), showcase
        try:
            content = (path / "HEAD.json").read_bytes()
        except OSError:
            raise RunNotFound(f"run={self.id} has no committed epoch in {path.parent}; `aat list` shows runs") from None
        self.revision = digest_of(content)[:16]
        self.head = self._parse_head(content)
        self._config: RunConfig | None = None

    def _parse_head(self, content: bytes) -> Head:
        try:
            fields = json.loads(content)
            found = fields.get("schema_version") if isinstance(fields, dict) else None
            if isinstance(found, int) and found > SCHEMA_VERSION:
                raise RunDamaged(
                    f"run={self.id} has schema version {found}, this program reads up to {SCHEMA_VERSION}; update aat-explore"
                )
            return Head.model_validate(fields)
        except (json.JSONDecodeError, UnicodeDecodeError, ValidationError):
            raise self._damage("HEAD.json", "is not a commit record") from None

    def _damage(self, name: str, what: str) -> RunDamaged:
        return RunDamaged(
            f"run={self.id}: {name} {what}; move {self.path} away and train again, or restore it from a copy"
        )

    @property
    def config(self) -> RunConfig:
        """The run's settings."""
        if self._config is None:
            try:
                self._config = RunConfig.model_validate_json(self._read("config.json"))
            except ValidationError as error:
                raise self._damage("config.json", f"does not fit this version ({one_line(error)})") from None
        return self._config

    @property
    def epoch(self) -> int:
        """Last committed epoch; epochs count from 1."""
        return self.head.epoch

    @property
    def complete(self) -> bool:
        """Whether all epochs of the config are committed."""
        return self.epoch >= self.config.epochs

    @property
    def training(self) -> bool:
        """Whether a trainer holds the run's lock now."""
        path = self.path / ".lock"
        if self.showcase or not path.exists():
            return False
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # a cache that may only be read is not being trained
            return False

    def metrics(self) -> pd.DataFrame:
        """One row an epoch with the columns of `EpochMetrics`, in order."""
        try:
            return pd.read_parquet(io.BytesIO(self._read("metrics.parquet")))
        except RunMovedOn:  # the only file of a committed epoch that is ever replaced
            return Run(self.path, showcase=self.showcase).metrics()

    def probabilities(self, epoch: int) -> Array | None:
        """p of one epoch: float32 (T,), or None when nothing was drawn from a distribution."""
        name = f"epochs/{epoch:04d}/probabilities.npy"
        return self._array(name) if name in self.head.files else None

    def drawn(self, epoch: int) -> Array:
        """The set K of one epoch: int32 (|K|,), rows of the training split in the order drawn."""
        return self._array(self._name_of(epoch, "drawn"))

    def x_adv(self, epoch: int) -> Array:
        """The recorded adversarial images of `drawn(epoch)[:m]`: uint8 (m, C, H, W)."""
        return self._array(self._name_of(epoch, "x_adv"))

    def evaluations(self) -> list[Evaluation]:
        """All evaluations, oldest first."""
        names = [name for name in self.head.files if name.startswith("evaluations/")]
        try:
            found = [Evaluation.model_validate_json(self._read(name)) for name in names]
        except ValidationError as error:
            raise self._damage("evaluations", f"does not fit this version ({one_line(error)})") from None
        return sorted(found, key=lambda evaluation: evaluation.created)

    def checkpoints(self) -> list[int]:
        """Epochs whose weights are kept, ascending."""
        return sorted(
            int(Path(name).name.split(".")[0])
            for name in self.head.files
            if name.startswith("checkpoints/") and not name.endswith(".training.safetensors")
        )

    def weights(self, epoch: int) -> dict[str, Array]:
        """The network after `epoch`, by parameter name; AATError names the epochs that are kept."""
        name = f"checkpoints/{epoch:04d}.safetensors"
        if name not in self.head.files:
            kept = ", ".join(map(str, self.checkpoints()))
            raise AATError(f"epoch={epoch} of run={self.id} has no kept checkpoint; choose one of {kept}")
        return self._tensors(name)

    def training_state(self) -> dict[str, Array]:
        """What a trainer needs besides the weights to go on after the last committed epoch."""
        return self._tensors(f"checkpoints/{self.epoch:04d}.training.safetensors")

    def verify(self) -> None:
        """Read every file that HEAD lists; RunDamaged names the first that differs."""
        for name in self.head.files:
            self._read(name)

    def _name_of(self, epoch: int, array: str) -> str:
        name = f"epochs/{epoch:04d}/{array}.npy"
        if name not in self.head.files:
            raise AATError(f"epoch={epoch} of run={self.id} is not recorded; it has epochs 1 to {self.epoch}")
        return name

    def _array(self, name: str) -> Array:
        return np.lib.format.read_array(io.BytesIO(self._read(name)), allow_pickle=False)

    def _tensors(self, name: str) -> dict[str, Array]:
        return dict(load_safetensors(self._read(name)))

    def _read(self, name: str) -> bytes:
        entry = self.head.files.get(name)
        if entry is None:
            raise self._damage(name, "is missing from HEAD.json")
        # A trainer moves a mutable file to its place after it has renamed HEAD: until then it is found under its next name.
        for path in (self.path / name, self.path / f"{name}.next"):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            if len(content) == entry.size and digest_of(content) == entry.sha256:
                return content
        if self._moved_on():
            raise RunMovedOn(f"run={self.id} committed an epoch while {name} was read; open it again")
        raise self._damage(name, "is damaged" if (self.path / name).exists() else "is missing")

    def _moved_on(self) -> bool:
        try:
            return digest_of((self.path / "HEAD.json").read_bytes())[:16] != self.revision
        except OSError:
            return False


@dataclass(frozen=True)
class Listing:
    """All runs of a cache: those that open, and for each that does not, why."""

    runs: list[Run]
    damaged: dict[str, str]


class Store:
    """A cache folder: `runs/` of its own, and the committed `showcase/` beside them, which is only read."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def run_ids(self) -> list[str]:
        """Names of all runs with a committed epoch, sorted."""
        return sorted(self._paths())

    def open(self, run_id: str) -> Run:
        """Open a run; RunNotFound or RunDamaged says what is wrong with it."""
        path = self._paths().get(checked_run_id(run_id))
        if path is None:
            raise RunNotFound(f"run={run_id} is not in {self.root}; `aat list --cache-dir {self.root}` shows what is")
        return Run(path, showcase=path.parent.parent.name == "showcase" and path.parent.parent.parent == self.root)

    def list(self) -> Listing:
        """Open every run, setting the damaged ones apart with the reason."""
        listing = Listing([], {})
        for run_id in self.run_ids():
            try:
                run = self.open(run_id)
                _ = run.config
                listing.runs.append(run)
            except AATError as error:
                listing.damaged[run_id] = str(error)
        return listing

    @contextmanager
    def writer(self, config: RunConfig) -> Iterator["RunWriter"]:
        """Hold the run of `config` for writing, created if it is new; RunBusy if another process trains it."""
        path = self.root / "runs" / config.run_id
        path.mkdir(parents=True, exist_ok=True)
        try:
            # Dashboards try the lock for an instant to see whether a run is live: hence the second's patience.
            with FileLock(path / ".lock", timeout=1):
                yield RunWriter(path, config)
        except Timeout:
            raise RunBusy(f"run={config.run_id} is being trained by another process; wait for it or stop it") from None

    def _paths(self) -> dict[str, Path]:
        """Folders of runs by name; an own run hides the showcase's run of the same name."""
        found: dict[str, Path] = {}
        for folder in (self.root / "showcase" / "runs", self.root / "runs"):
            if folder.is_dir():
                heads = folder.glob("*/HEAD.json")
                found |= {head.parent.name: head.parent for head in heads if _is_run_id(head.parent.name)}
        return found


def _is_run_id(name: str) -> bool:
    try:
        return bool(checked_run_id(name))
    except AATError:
        return False


class RunWriter:
    """Commits epochs and evaluations to one run whose lock is held."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self._files: dict[str, FileEntry] = {}
        self._rows: list[EpochMetrics] = []
        self.epoch = 0
        if (path / "HEAD.json").exists():
            run = self.read()
            if run.config.digest() != config.digest():
                raise AATError(
                    f"run={run.id} holds another config under the same name; change the seed or move it away"
                )
            self._files, self.epoch = dict(run.head.files), run.epoch
            frame = run.metrics().astype(object)
            rows = frame.where(frame.notna(), None).to_dict("records")
            self._rows = [EpochMetrics.model_validate(row) for row in rows]
        else:
            self._put("config.json", config.model_dump_json(indent=1).encode())

    def read(self) -> Run:
        """Open what has been committed so far."""
        return Run(self.path)

    def commit(self, record: EpochRecord) -> None:
        """Write one epoch; when this returns, the epoch survives any crash."""
        epoch = record.metrics.epoch
        if epoch != self.epoch + 1:
            raise AATError(f"epoch={epoch} cannot follow epoch {self.epoch} of run={self.path.name}")
        folder = f"epochs/{epoch:04d}"
        if record.probabilities is not None:
            self._put(f"{folder}/probabilities.npy", _npy(record.probabilities.astype(np.float32)))
        self._put(f"{folder}/drawn.npy", _npy(record.drawn.astype(np.int32)))
        self._put(f"{folder}/x_adv.npy", _npy(record.x_adv))
        self._put(f"checkpoints/{epoch:04d}.safetensors", save_safetensors(dict(record.weights)))
        self._put(f"checkpoints/{epoch:04d}.training.safetensors", save_safetensors(dict(record.training_state)))
        self._rows.append(record.metrics)
        self.epoch = epoch
        dropped = self._outdated_checkpoints()
        for name in dropped:
            del self._files[name]
        self._commit_head(metrics=True)
        for name in dropped:
            (self.path / name).unlink(missing_ok=True)

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """Write one evaluation; none is ever overwritten."""
        content = evaluation.model_dump_json(indent=1).encode()
        name = f"evaluations/{evaluation.split}-{evaluation.epoch:04d}-{digest_of(content)[:12]}.json"
        self._put(name, content)
        self._commit_head(metrics=False)

    def _outdated_checkpoints(self) -> list[str]:
        """Checkpoints that are neither among the last, nor the best, nor every tenth.

        Best is the highest robust validation accuracy, then clean: robust overfitting makes the last epoch a poor
        choice in adversarial training (Rice, Wong, Kolter 2020).
        """
        best = max(self._rows, key=lambda row: (row.robust_accuracy_val, row.clean_accuracy_val)).epoch
        names = []
        for name in self._files:
            if name.startswith("checkpoints/"):
                epoch, _, kind = Path(name).name.partition(".")
                recent = int(epoch) > self.epoch - KEEP_LAST
                kept = recent or (kind == "safetensors" and (int(epoch) == best or int(epoch) % KEEP_EVERY == 0))
                if not kept:
                    names.append(name)
        return names

    def _commit_head(self, *, metrics: bool) -> None:
        if metrics:
            frame = pd.DataFrame([row.model_dump() for row in self._rows], columns=list(EpochMetrics.model_fields))
            floats = [name for name, kind in EpochMetrics.model_fields.items() if kind.annotation is not int]
            buffer = io.BytesIO()
            frame.astype(dict.fromkeys(floats, "float64")).to_parquet(buffer, index=False)
            self._put("metrics.parquet", buffer.getvalue(), suffix=".next")
        head = Head(schema_version=SCHEMA_VERSION, epoch=self.epoch, files=self._files)
        _write(self.path / "HEAD.json", head.model_dump_json().encode())
        if metrics:
            (self.path / "metrics.parquet.next").replace(self.path / "metrics.parquet")

    def _put(self, name: str, content: bytes, *, suffix: str = "") -> None:
        """Write a file that the next HEAD will list; `suffix` keeps a mutable file apart until then."""
        _write(self.path / f"{name}{suffix}", content)
        self._files[name] = FileEntry(size=len(content), sha256=digest_of(content))


def _npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write so that the file is, after any crash, either as it was or whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise AATError(
            f"{path} cannot be written ({error.strerror}); free space or choose another --cache-dir"
        ) from None
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
