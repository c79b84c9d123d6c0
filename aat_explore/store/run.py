"""Reading one cached run: a file is trusted only if HEAD lists it and its digest matches."""

import hashlib
import io
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from filelock import FileLock, Timeout
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from aat_explore.config import Model, RunConfig, Values, checked_run_id, one_line
from aat_explore.errors import AATError
from aat_explore.records import SCHEMA_VERSION, CheckReport, EpochMetrics, Evaluation
from aat_explore.store.errors import (
    RunDamagedError,
    RunMovedOnError,
    RunNotFoundError,
    not_there,
)
from aat_explore.store.reading import TOLERANT, ColumnsMissingError, Metrics, metrics_of, recorded, unknown_fields
from aat_explore.store.scores import SCORE, is_sound

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(/[a-z0-9_-]+)*(\.[a-z]+)*$")]  # cannot leave the run
WEIGHTS = re.compile(r"checkpoints/([0-9]{4})\.safetensors")
EVALUATION = re.compile(r"evaluations/[a-z0-9-]+\.json")


class FileEntry(Values):
    """Size in bytes and sha256 of one file, as HEAD lists it."""

    size: int
    sha256: str


class Head(Values):
    """The commit point of a run: the files that exist, and no others."""

    schema_version: int = Field(ge=1)
    epoch: int = Field(ge=1)
    files: dict[FileName, FileEntry]


def digest_of(content: bytes) -> str:
    """Return the sha256 of `content`, as hex digits."""
    return hashlib.sha256(content).hexdigest()


def locked(path: Path) -> bool:
    """Whether a process holds the lock file `path` now; never in a read-only cache."""
    # filelock before 3.20.1 truncates the target of a symlink (CVE-2025-68146).
    if path.is_symlink() or not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


class _NewerSchemaError(Exception):
    """A commit record of a later version of this package; its message is that version."""


@lru_cache(maxsize=128)  # dashboards open every run at each click; a HEAD of 100 epochs takes 1.5 ms to check
def _head_of(content: bytes) -> Head:
    fields = json.loads(content)
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if isinstance(version, int | float) and version > SCHEMA_VERSION:
        raise _NewerSchemaError(version)
    return Head.model_validate(fields, **TOLERANT)


class Run:
    """One cached run as HEAD described it on opening; reopen it to see epochs committed since.

    Every file is verified against HEAD when it is read; `RunDamagedError` names the file that differs.
    """

    def __init__(self, path: Path, *, showcase: bool = False) -> None:
        self.path, self.id, self.showcase = path, checked_run_id(path.name), showcase
        try:
            content = (path / "HEAD.json").read_bytes()
        except OSError as error:
            not_there(self.id, "HEAD.json", error)
            raise RunNotFoundError(
                f"run={self.id} has no committed epoch in {path.parent}; `aat list` shows runs"
            ) from None
        self.revision = digest_of(content)[:16]
        self.head = self._parse_head(content)
        self._config: RunConfig | None = None

    @property
    def modified(self) -> float:
        """When HEAD was last written, in seconds since 1970; 0 if it has been moved away."""
        try:
            return (self.path / "HEAD.json").stat().st_mtime
        except OSError:
            return 0.0

    def _parse_head(self, content: bytes) -> Head:
        try:
            return _head_of(content)
        except _NewerSchemaError as newer:
            raise RunDamagedError(
                f"run={self.id} has schema version {newer}, newer than {SCHEMA_VERSION}; update aat-explore"
            ) from None
        except (ValueError, RecursionError):  # not JSON, not these fields, digits or brackets by the thousand
            raise self._damage("HEAD.json", "is not a commit record") from None

    def _damage(self, name: str, what: str) -> RunDamagedError:
        return RunDamagedError(
            f"run={self.id}: {name} {what}; move {self.path} away and train again, or restore it from a copy"
        )

    def _unfit(self, name: str, error: ValidationError) -> RunDamagedError:
        return RunDamagedError(
            f"run={self.id}: {name} does not fit this version ({one_line(error)}); update aat-explore if a newer one "
            "wrote it, or restore it from a copy"
        )

    @property
    def config(self) -> RunConfig:
        """The run's settings."""
        if self._config is None:
            try:
                config = recorded(RunConfig, content := self._read("config.json"))
            except ValidationError as error:
                raise self._unfit("config.json", error) from None
            if (unknown := unknown_fields(content, config)) and not self.id.endswith(config.digest()):
                settings = ", ".join(f"{name}={value!r}" for name, value in unknown.items())
                raise RunDamagedError(
                    f"run={self.id} was trained with settings that this version does not know ({settings}); update "
                    "aat-explore"
                )
            if self.epoch > config.epochs:
                raise self._damage("HEAD.json", f"has epoch={self.epoch}, but config.json only epochs={config.epochs}")
            self._config = config
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
    def resumable(self) -> bool:
        """Whether the optimiser's state is here, so that training can resume; no copy has it."""
        return f"checkpoints/{self.epoch:04d}.training.safetensors" in self.head.files

    @property
    def recorded(self) -> bool:
        """Whether each epoch's picks are here; a light copy may lack them."""
        return f"epochs/{self.epoch:04d}/drawn.npy" in self.head.files

    @property
    def training(self) -> bool:
        """Whether a trainer holds the run's lock now."""
        return not self.showcase and locked(self.path / ".lock")

    def metrics(self) -> "pd.DataFrame":
        """One row an epoch with the columns of `EpochMetrics`, in order; a missing column has its default."""
        return self.metrics_file().frame.copy()

    def rows(self) -> tuple[EpochMetrics, ...]:
        """The metrics as values, one an epoch, in order."""
        return self.metrics_file().rows

    def metrics_file(self) -> Metrics:
        """The metrics as a frame and as values, and the columns of a newer version; shared, so do not change them."""
        try:
            content = self._read("metrics.parquet")
        except RunMovedOnError:  # the only file of a committed epoch that is ever replaced
            return Run(self.path, showcase=self.showcase).metrics_file()
        try:
            metrics = metrics_of(content)
        except ColumnsMissingError as missing:
            raise self._damage("metrics.parquet", f"lacks the required columns {missing}") from None
        except ValidationError as error:
            raise self._unfit("metrics.parquet", error) from None
        except Exception:  # forged metadata makes pyarrow and pandas raise anything
            raise self._damage("metrics.parquet", "is not a Parquet file with the columns of EpochMetrics") from None
        epochs = [row.epoch for row in metrics.rows]
        if len(epochs) != self.epoch or epochs != list(range(1, len(epochs) + 1)):
            raise self._damage("metrics.parquet", f"does not have one row for each epoch from 1 to {self.epoch}")
        return metrics

    def probabilities(self, epoch: int) -> Array | None:
        """p of one epoch: float32 (T,), or None if nothing was drawn."""
        name = f"epochs/{epoch:04d}/probabilities.npy"
        if name not in self.head.files:
            return None
        p = self._array(name)
        if p.dtype.kind != "f" or p.ndim != 1 or not (np.isfinite(p) & (p >= 0)).all():
            raise self._damage(name, "is not one finite probability a sample")
        return p

    def scores(self, epoch: int) -> dict[str, Array]:
        """Scores of all samples by the network at the epoch's start, by name: float32 (T,), finite and >= 0.

        Which there are is said at `EpochRecord`; none in an epoch without a scoring pass, in one that an older version
        recorded, and in a copy without them.
        """
        matches = map(SCORE.fullmatch, self.head.files)
        files = {match[2]: match[0] for match in matches if match and int(match[1]) == epoch}
        p = self.probabilities(epoch) if files else None
        arrays = {name: self._array(file) for name, file in files.items()}
        for name, array in arrays.items():
            if not is_sound(array) or (p is not None and len(array) != len(p)):
                raise self._damage(files[name], "is not one finite number >= 0 for each sample")
        return {name: array.astype(np.float32) for name, array in arrays.items()}

    def drawn(self, epoch: int) -> Array:
        """The set K of one epoch: int32 (|K|,), rows of the training split in the order drawn."""
        name = self._name_of(epoch, "drawn")
        drawn = self._array(name)
        if drawn.dtype.kind not in "iu" or drawn.ndim != 1 or (drawn < 0).any() or len(np.unique(drawn)) != len(drawn):
            raise self._damage(name, "is not a set of row numbers")
        p = self.probabilities(epoch)
        if p is not None and (drawn >= len(p)).any():
            raise self._damage(name, f"has rows beyond the {len(p)} of probabilities.npy")
        return drawn

    def x_adv(self, epoch: int) -> Array:
        """The recorded adversarial images of `drawn(epoch)[:m]`: uint8 (m, C, H, W)."""
        name = self._name_of(epoch, "x_adv")
        x_adv = self._array(name)
        if x_adv.dtype != np.uint8 or x_adv.ndim != 4 or len(x_adv) > len(self.drawn(epoch)):
            raise self._damage(name, "is not one image, uint8 (C, H, W), for each of the first drawn samples")
        return x_adv

    def recorded_losses(self, epoch: int) -> Array | None:
        """Cross-entropy of x and x′ of the recorded images, by the network that made x′: float32 (m, 2), nats.

        None if an older version of this package recorded the epoch.
        """
        return self._pairs(f"epochs/{epoch:04d}/losses.npy", "f")

    def recorded_classes(self, epoch: int) -> Array | None:
        """Classes that the network that made x′ predicted for x and x′ of the recorded images: int32 (m, 2).

        None if an older version of this package recorded the epoch.
        """
        return self._pairs(f"epochs/{epoch:04d}/predicted.npy", "i")

    def _pairs(self, name: str, kind: str) -> Array | None:
        if name not in self.head.files:
            return None
        pairs = self._array(name)
        sound = pairs.dtype.kind == kind and pairs.ndim == 2 and pairs.shape[1] == 2
        if not sound or not (np.isfinite(pairs) & (pairs >= 0)).all():
            raise self._damage(name, "is not a number for x and one for x′ of each recorded image")
        return pairs

    def evaluations(self) -> list[Evaluation]:
        """All evaluations, oldest first."""
        evaluations = [self._value(Evaluation, name) for name in self.head.files if EVALUATION.fullmatch(name)]
        return sorted(evaluations, key=lambda evaluation: evaluation.created)

    def checks(self) -> list[CheckReport]:
        """All reports of `aat check`, oldest first."""
        reports = [self._value(CheckReport, name) for name in self.head.files if name.startswith("checks/")]
        return sorted(reports, key=lambda report: report.created)

    def _value(self, model: type[Model], name: str) -> Model:
        try:
            return recorded(model, self._read(name))
        except ValidationError as error:
            raise self._unfit(name, error) from None

    def verdicts(self, evaluation: Evaluation) -> Array | None:
        """Which images were still correct after each attack of an evaluation: bool (attacks, ε, N).

        None if an older version of this package made it, which recorded only counts.
        """
        if evaluation.verdicts is None:
            return None
        name = verdicts_file(evaluation.verdicts)
        bits, images = self._array(name), evaluation.num_images
        shape = (len(evaluation.attacks), len(evaluation.epsilons), (images + 7) // 8)
        if bits.dtype != np.uint8 or bits.shape != shape:
            raise self._damage(name, "is not a bit for each attack, ε and image")
        correct = np.unpackbits(bits, axis=-1, count=images).astype(bool)
        if tuple(correct[-1].sum(axis=-1)) != evaluation.num_correct:
            raise self._damage(name, "does not add up to the evaluation's counts")
        return correct

    def verdicts_so_far(self, key: str) -> list[dict[str, Array]]:
        """Parts of an interrupted evaluation, as passed to `RunWriter.add_verdicts`, in order."""
        parts: list[dict[str, Array]] = []
        while (name := part_file(key, len(parts))) in self.head.files:
            parts.append(self._tensors(name))
        return parts

    def checkpoints(self) -> list[int]:
        """Epochs whose weights are kept, ascending."""
        return sorted(int(match[1]) for match in map(WEIGHTS.fullmatch, self.head.files) if match)

    def weights(self, epoch: int) -> dict[str, Array]:
        """The network after `epoch`, by parameter name; AATError names the epochs that are kept."""
        name = f"checkpoints/{epoch:04d}.safetensors"
        if name not in self.head.files:
            kept = ", ".join(map(str, self.checkpoints()))
            remedy = f"choose one of {kept}" if kept else "the run has none, as copies made with --no-weights"
            raise AATError(f"epoch={epoch} of run={self.id} has no kept checkpoint; {remedy}")
        return self._tensors(name)

    def training_state(self) -> dict[str, Array]:
        """What a trainer needs besides the weights to resume after the last committed epoch."""
        return self._tensors(f"checkpoints/{self.epoch:04d}.training.safetensors")

    def content(self, name: str) -> bytes:
        """A file's bytes as HEAD lists them."""
        return self._read(name)

    def verify(self) -> None:
        """Read every file that HEAD lists; RunDamagedError names the first that differs."""
        for name in self.head.files:
            self._read(name)

    def _name_of(self, epoch: int, array: str) -> str:
        name = f"epochs/{epoch:04d}/{array}.npy"
        if name not in self.head.files:
            raise AATError(f"epoch={epoch} of run={self.id} is not recorded; it has epochs 1 to {self.epoch}")
        return name

    def _array(self, name: str) -> Array:
        content = self._read(name)
        try:
            return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        except Exception:  # numpy evaluates the header as Python, which can raise anything
            raise self._damage(name, "is not an array of numbers") from None

    def _tensors(self, name: str) -> dict[str, Array]:
        content = self._read(name)
        try:
            return dict(load_safetensors(content))
        except (SafetensorError, KeyError, ValueError):  # not its format, an unknown dtype, lengths that do not fit
            raise self._damage(name, "is not a safetensors file") from None

    def _read(self, name: str) -> bytes:
        entry = self.head.files.get(name)
        if entry is None:
            raise self._damage(name, "is missing from HEAD.json")
        # A trainer renames HEAD before it moves the metrics from `.next` into place. If it moves them between the
        # first two attempts, the third finds them.
        for path in (self.path / name, self.path / f"{name}.next", self.path / name):
            try:
                content = path.read_bytes()
            except OSError as error:
                not_there(self.id, name, error)
                continue
            if len(content) == entry.size and digest_of(content) == entry.sha256:
                return content
        if self._moved_on():
            raise RunMovedOnError(f"run={self.id} committed an epoch while {name} was read; open it again")
        raise self._damage(name, "is damaged" if (self.path / name).exists() else "is missing")

    def _moved_on(self) -> bool:
        try:
            return digest_of((self.path / "HEAD.json").read_bytes())[:16] != self.revision
        except OSError:
            return False


def verdicts_file(digest: str) -> str:
    """The file of an evaluation's verdicts, named by their digest."""
    return f"evaluations/{digest[:12]}.npy"


def part_file(key: str, number: int) -> str:
    """The file of one part of an unfinished evaluation."""
    return f"evaluations/{key}/{number:04d}.safetensors"
