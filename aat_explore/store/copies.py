"""Copies of runs small enough to commit or send: all that figures need, and the picks on request."""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aat_explore.errors import AATError
from aat_explore.store.run import EVALUATION, FileEntry, Head, Run, digest_of
from aat_explore.store.scores import SCORE
from aat_explore.store.writer import make_folder, write_whole

DRAWN = re.compile(r"epochs/[0-9]{4}/(probabilities|drawn)\.npy")
RECORDED = re.compile(r"epochs/[0-9]{4}/(x_adv|losses|predicted)\.npy")


@dataclass(frozen=True)
class Contents:
    """What a light copy holds besides settings, metrics, evaluations and checks.

    `weights`: those after the last epoch. `picks`: p, the picks and the images recorded of them, for every epoch; only
    the first `images` recorded images of each epoch, or all for None. `scores`: with picks, the scores of all samples
    too, which are two to four times as large as p.
    """

    weights: bool = True
    picks: bool = False
    images: int | None = None
    scores: bool = True


LIGHT = Contents()


def light_copy(run: Run, root: Path, contents: Contents = LIGHT) -> Run:
    """Copy a run into the cache `root` without optimiser states and early weights, and return the copy.

    Without picks, a copy of a run on 55,000 samples has a hundredth of its size. A copy with weights can be evaluated
    and checked like the original, but no copy can be trained further. Raises AATError if the run is incomplete, if
    `root` already has a run of this name, or for fewer than 0 images.
    """
    if not run.complete:
        raise AATError(f"run={run.id} is not complete, and a light copy cannot be trained further; train it first")
    if contents.images is not None and contents.images < 0:
        raise AATError(f"images={contents.images} is negative; use 0 for none")
    target = root / "runs" / run.id
    if (target / "HEAD.json").exists():
        raise AATError(f"run={run.id} is already in {root}; move {target} away to copy it again")
    files = {}
    for name in run.head.files:
        if not _belongs(name, run.epoch, contents):
            continue
        content = run.content(name)
        if RECORDED.fullmatch(name) and contents.images is not None:
            content = _first(content, contents.images)
        make_folder((target / name).parent)
        write_whole(target / name, content)
        files[name] = FileEntry(size=len(content), sha256=digest_of(content))
    head = Head(schema_version=run.head.schema_version, epoch=run.epoch, files=files)
    write_whole(target / "HEAD.json", head.model_dump_json().encode())
    return Run(target)


def _belongs(name: str, epoch: int, contents: Contents) -> bool:
    verdicts = name.startswith("evaluations/") and name.endswith(".npy")
    return (
        name in ("config.json", "metrics.parquet")
        or EVALUATION.fullmatch(name) is not None
        or verdicts
        or name.startswith("checks/")
        or (contents.weights and name == f"checkpoints/{epoch:04d}.safetensors")
        or (contents.picks and bool(DRAWN.fullmatch(name) or RECORDED.fullmatch(name)))
        or (contents.picks and contents.scores and SCORE.fullmatch(name) is not None)
    )


def _first(content: bytes, count: int) -> bytes:
    """The bytes of an array's first rows."""
    array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array[:count]), allow_pickle=False)
    return buffer.getvalue()
