"""The cache: the only code that writes or reads `cache/runs`, without torch.

    cache/runs/<run_id>/
        config.json                          the RunConfig
        HEAD.json                            schema, last epoch, size and sha256 of every file: the commit point
        metrics.parquet                      one EpochMetrics row per epoch
        epochs/0042/{probabilities,drawn,x_adv}.npy
        epochs/0042/score-*.npy              scores of all samples
        checkpoints/0042.safetensors         weights: last two, best, every tenth
        checkpoints/0042.training.safetensors    optimiser state, so that the run resumes: last two
        evaluations/*.json, *.npy            counts, and a bit for each attack, ε and image
        evaluations/<key>/*.safetensors      parts of an evaluation that was cut off
        checks/*.json                        reports of `aat check`
        .lock                                held while a trainer writes
    cache/showcase/runs/...                  the same, committed with the project, read only

The files of this package; `Store` below lists, opens and locks runs:

    errors.py      what can be wrong with a run
    run.py         reads one run, trusting only what HEAD lists
    reading.py     reads files of older and newer versions
    scores.py      how the scores of all samples are stored
    writer.py      commits epochs, evaluations and checks, safe against crashes
    copies.py      light copies of runs
    tags.py        named sets of training rows
    embeddings.py  places of training samples by a network's last hidden layer

A writer puts every file under a temporary name beside its target, syncs it, renames it, and renames HEAD last. A reader
trusts only HEAD: a file that HEAD does not list does not exist, and one whose size or digest differs is damaged.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from aat_explore.config import RunConfig, checked_run_id
from aat_explore.errors import AATError
from aat_explore.places import cache_folder, default_cache
from aat_explore.store.copies import Contents, light_copy
from aat_explore.store.errors import (
    RunBusyError,
    RunDamagedError,
    RunMovedOnError,
    RunNotFoundError,
    RunUnreadableError,
)
from aat_explore.store.run import Run, locked
from aat_explore.store.writer import KEEP_EVERY, RunWriter, make_folder, write_whole

__all__ = [
    "KEEP_EVERY", "Contents", "Listing", "Run", "RunBusyError", "RunDamagedError", "RunMovedOnError",
    "RunNotFoundError", "RunUnreadableError", "RunWriter", "Store", "default_cache", "light_copy", "list_runs",
    "locked", "open_run", "showcase", "write_whole",
]  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """All runs of a cache: those that open, and the reason for each that does not."""

    runs: list[Run]
    damaged: dict[str, str]


NAMED = 8  # how many names an error lists of those that begin with what was asked for


class Store:
    """A cache folder (None: `default_cache`): its `runs/`, and the committed `showcase/`, which is read-only."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = cache_folder(root)

    def run_ids(self) -> list[str]:
        """Names of all runs with a committed epoch, sorted."""
        return sorted(self._paths())

    def open(self, run_id: str) -> Run:
        """Open a run; RunNotFoundError or RunDamagedError says what is wrong."""
        paths = self._paths()
        path = paths.get(checked_run_id(run_id))
        if path is None:
            similar = sorted(name for name in paths if name.startswith(run_id))
            more = f" and {len(similar) - NAMED} more" if len(similar) > NAMED else ""
            raise RunNotFoundError(
                f"run={run_id} is not in {self.root}; "
                + (f"names that begin so: {', '.join(similar[:NAMED])}{more}; " if similar else "")
                + f"`aat list --cache-dir {self.root}` shows what is"
            )
        return self._at(path)

    def named(self, beginning: str) -> Run:
        """Open the run of this name, or the one whose name begins so if only one does; raises as `open` does."""
        names = self._paths()
        similar = [name for name in names if name.startswith(beginning)]
        return self.open(similar[0] if beginning not in names and len(similar) == 1 else beginning)

    def _at(self, path: Path) -> Run:
        return Run(path, showcase=path.parent.parent.name == "showcase" and path.parent.parent.parent == self.root)

    def list(self) -> Listing:
        """Open every run, and list the damaged ones separately with the reason."""
        listing = Listing([], {})
        for run_id, path in sorted(self._paths().items()):
            try:
                run = self._at(path)
                _ = run.config
                listing.runs.append(run)
            except AATError as error:
                listing.damaged[run_id] = str(error)
        return listing

    @contextmanager
    def writer(self, config: RunConfig, *, keep_every: int = KEEP_EVERY) -> Iterator[RunWriter]:
        """Hold the run of `config` for writing, created if new; RunBusyError if another process trains it.

        Weights of every `keep_every`-th epoch are kept for good; AATError if it is less than 1.
        """
        path = self.root / "runs" / config.run_id
        make_folder(path)
        try:
            # Wait a second: dashboards take the lock for an instant to see whether a run is live.
            with FileLock(path / ".lock", timeout=1):
                yield RunWriter(path, config, keep_every)
        except Timeout:
            raise RunBusyError(
                f"run={config.run_id} is being trained by another process; wait for it or stop it"
            ) from None

    def _paths(self) -> dict[str, Path]:
        """Folders of runs by name; a local run shadows the showcase run of the same name."""
        paths: dict[str, Path] = {}
        for folder in (self.root / "showcase" / "runs", self.root / "runs"):
            if folder.is_dir():
                heads = folder.glob("*/HEAD.json")
                paths |= {head.parent.name: head.parent for head in heads if _is_run_id(head.parent.name)}
        return paths


def open_run(run_id: str, cache_dir: Path | str | None = None) -> Run:
    """Open a run of a cache or of its showcase; RunNotFoundError or RunDamagedError says what is wrong."""
    return Store(cache_dir).open(run_id)


def list_runs(cache_dir: Path | str | None = None) -> list[Run]:
    """Open all runs of a cache and of its showcase, by name; a warning gives the reason for each that does not open."""
    listing = Store(cache_dir).list()
    for reason in listing.damaged.values():
        warnings.warn(reason, stacklevel=2)
    return listing.runs


def showcase() -> Path:
    """Return the cache of small real runs that is committed with the project; AATError outside of a source checkout."""
    folder = Path(__file__).parents[2] / "cache" / "showcase"
    if not (folder / "runs").is_dir():
        raise AATError(f"showcase={folder} is not there; run from a source checkout, or `aat demo` and use its cache")
    return folder


def _is_run_id(name: str) -> bool:
    try:
        return bool(checked_run_id(name))
    except AATError:
        return False
