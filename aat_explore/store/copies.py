"""Runs small enough to be committed or sent: all that figures are made of, without what each epoch drew."""

from pathlib import Path

from aat_explore.errors import AATError
from aat_explore.store.run import EVALUATION, Head, Run
from aat_explore.store.writer import make_folder, write_whole


def light_copy(run: Run, root: Path) -> Run:
    """Copy a run into the cache `root`: settings, metrics, evaluations, checks and the last weights; return the copy.

    Distributions, drawn sets, images and optimiser states stay behind: a hundredth of a run on 55,000 samples is left.
    A copy can be evaluated and checked like its original, but not trained further. Raises AATError if the run has not
    been trained to its end, or if `root` has a run of this name already.
    """
    if not run.complete:
        raise AATError(f"run={run.id} is not complete, and a light copy cannot be trained further; train it first")
    target = root / "runs" / run.id
    if (target / "HEAD.json").exists():
        raise AATError(f"run={run.id} is already in {root}; move {target} away to copy it again")
    kept = {name: run.content(name) for name in run.head.files if _light(name, run.epoch)}
    for name, content in kept.items():
        make_folder((target / name).parent)
        write_whole(target / name, content)
    head = Head(
        schema_version=run.head.schema_version,
        epoch=run.epoch,
        files={name: run.head.files[name] for name in kept},
    )
    write_whole(target / "HEAD.json", head.model_dump_json().encode())
    return Run(target)


def _light(name: str, epoch: int) -> bool:
    digests = name.startswith("evaluations/") and name.endswith(".npy")
    return (
        name in ("config.json", "metrics.parquet", f"checkpoints/{epoch:04d}.safetensors")
        or EVALUATION.fullmatch(name) is not None
        or digests
        or name.startswith("checks/")
    )
