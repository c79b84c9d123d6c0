"""One config → one cached run, resumed if interrupted, then evaluated: the only place where engine meets store."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from aat_explore import datasets
from aat_explore.attacks import is_place
from aat_explore.config import EpochAsked, EvaluationConfig, RunConfig, check_num_perturbed
from aat_explore.engine import admission, custom, trainer
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.device import computing, describe, versions
from aat_explore.engine.networks import build_network, digest_of_weights, load_weights, placed, weights_of
from aat_explore.errors import AATError
from aat_explore.records import EpochMetrics, EpochRecord, Evaluation, best_epoch
from aat_explore.robustness import attempts, evaluation
from aat_explore.store import KEEP_EVERY, Run, RunWriter, Store

FULL_TEST = EvaluationConfig()


class Listener:
    """Receives a run's progress and does nothing; override the methods you need.

    `finished_epoch` is called in the thread that writes the epochs, while the next one trains.
    """

    def began(self, config: RunConfig, epoch: int, device: torch.device) -> None:
        """Training begins, or resumes after `epoch` committed epochs."""

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """An epoch is on disk."""

    def evaluating(self, share: float) -> None:
        """This share of an evaluation, in [0, 1], is done."""


def train(
    config: RunConfig,
    *,
    cache_dir: Path | str | None = None,
    device: str | None = None,
    threads: int | None = None,
    evaluate_with: EvaluationConfig | None = FULL_TEST,
    keep_every: int = KEEP_EVERY,
    listener: Listener | None = None,
) -> Run:
    """Train the run of `config` into the cache and return it; epochs and evaluations already there are not repeated.

    An interrupted run resumes after its last committed epoch; on one machine, device and number of threads the result
    equals the uninterrupted run's bit for bit. After the last epoch the run is evaluated unless `evaluate_with` is
    None. The weights of every `keep_every`-th epoch are kept, as are those of the best and the last two. Raises
    AATError for unknown data, n > T, a custom network, score or attack that is not admitted or whose code has changed,
    a diverged network, or a run that is being trained.
    """
    listener = listener or Listener()
    store = Store(cache_dir)
    with computing(device, threads) as place:
        data = datasets.load(config.dataset, cache_dir=cache_dir)
        check_num_perturbed(config, len(data.train))
        rows = slice(0, admission.FEW)
        few = ImageSet.from_numpy(data.train.images(rows), data.train.labels[rows], place)
        admission.admit(config, few, data.num_classes, len(data.train))
        with store.writer(config, keep_every=keep_every) as writer:
            listener.began(config, writer.epoch, place)
            if writer.epoch < config.epochs:
                records = trainer.train(
                    config,
                    image_set(data.train, place),
                    image_set(data.validation, place),
                    num_classes=data.num_classes,
                    resume=_resume(writer),
                )
                _write(records, writer, listener)
            elif custom.places(config) and writer.read().resumable:
                custom.check_code(config, writer.read().training_state())
            if evaluate_with is not None:
                _evaluate(writer, evaluate_with, config.epochs, data, place, listener, cache_dir)
    return store.open(config.run_id)


def evaluate(
    run_id: str,
    config: EvaluationConfig,
    *,
    cache_dir: Path | str | None = None,
    epoch: EpochAsked = None,
    device: str | None = None,
    threads: int | None = None,
    listener: Listener | None = None,
) -> Evaluation:
    """Attack a run's network after `epoch` (see `epoch_asked`), store the evaluation with the run and return it.

    An existing evaluation with the same settings is returned, and an interrupted one is resumed. Raises AATError if
    there is no such run or no checkpoint of that epoch, for unknown data, for a run of the showcase, which is
    read-only, and for one that is being trained.
    """
    run = writable(run_id, cache_dir)
    epoch = epoch_asked(run, epoch)
    data = datasets.load(run.config.dataset, cache_dir=cache_dir)
    with computing(device, threads) as place, Store(cache_dir).writer(run.config) as writer:
        return _evaluate(writer, config, epoch, data, place, listener or Listener(), cache_dir)


def evaluate_every(
    run_id: str,
    config: EvaluationConfig,
    every: int,
    *,
    cache_dir: Path | str | None = None,
    device: str | None = None,
    threads: int | None = None,
    listener: Listener | None = None,
) -> list[Evaluation]:
    """`evaluate` the run's checkpoints at multiples of `every` epochs, and the last: robustness over epochs.

    Only the checkpoints that `train` kept are evaluated. Raises AATError as `evaluate` does, and for `every` < 1.
    """
    if every < 1:
        raise AATError(f"every={every} is less than 1; use e.g. 10 for every tenth epoch")
    run = Store(cache_dir).open(run_id)
    epochs = [epoch for epoch in run.checkpoints() if epoch % every == 0 or epoch == run.epoch]
    common: dict[str, Any] = {"cache_dir": cache_dir, "device": device, "threads": threads, "listener": listener}
    return [evaluate(run_id, config, epoch=epoch, **common) for epoch in epochs]


def writable(run_id: str, cache_dir: Path | str | None) -> Run:
    """Open a run that may be written to; AATError for a run of the showcase or a renamed copy."""
    run = Store(cache_dir).open(run_id)
    if run.showcase:
        raise AATError(f"run={run_id} is of the showcase, which is read-only; add --cache-dir {run.path.parent.parent}")
    if run.config.run_id != run_id:
        raise AATError(f"run={run_id} is a renamed copy, which is read-only; rename it back to {run.config.run_id}")
    return run


def other_run(run_id: str, run: Run, cache_dir: Path | str | None) -> Run:
    """Open the run that x′ is made for; AATError if its data set is not that of `run`."""
    other = Store(cache_dir).open(run_id)
    if other.config.dataset != run.config.dataset:
        raise AATError(
            f"transfer_from={run_id} is of {other.config.dataset} and run={run.id} of {run.config.dataset}; choose a "
            "run of the same data set"
        )
    return other


def image_set(split: datasets.Split, device: torch.device | str = "cpu") -> ImageSet:
    """Return a split's images, uint8 (N, C, H, W), and labels, int64 (N,), on a device."""
    return ImageSet.from_numpy(split.images(), split.labels, torch.device(device))


def epoch_asked(run: Run, asked: EpochAsked) -> int:
    """The epoch that is meant: a number, `best` for the `best_epoch` of those with weights, None for the last."""
    if asked == "best":
        if not run.checkpoints():
            raise AATError(f"epoch=best of run={run.id} has no kept checkpoint, as copies made with --no-weights")
        return best_epoch(run.rows(), run.checkpoints())
    return run.epoch if asked is None else asked


def load_network(run: Run, data: datasets.Dataset, epoch: EpochAsked = None) -> nn.Module:
    """Return a run's network after `epoch` (see `epoch_asked`) on the CPU: eval mode, the trainer's memory format.

    Raises AATError if there is no checkpoint of that epoch, or a custom network is missing or does not fit its weights.
    """
    epoch = epoch_asked(run, epoch)
    network = build_network(run.config, data.image_shape, data.num_classes)
    load_weights(network, run.weights(epoch), whose=f"run={run.id}, epoch={epoch}")
    return placed(network, torch.device("cpu")).eval()


def _write(records: Iterator[EpochRecord], writer: RunWriter, listener: Listener) -> None:
    """Write each epoch while the next one trains; all yielded epochs are on disk at the end, even if training fails.

    A commit takes milliseconds of syncing, as long as a tenth of an epoch on a GPU. Commits run one at a time.
    """

    def commit(record: EpochRecord) -> None:
        writer.commit(record)
        listener.finished_epoch(record.metrics)

    with ThreadPoolExecutor(1, thread_name_prefix="aat-writer") as disk:
        pending: Future[None] | None = None
        for record in records:
            if pending:
                pending.result()
            pending = disk.submit(commit, record)
    if pending:
        pending.result()


def _evaluate(
    writer: RunWriter,
    config: EvaluationConfig,
    epoch: int,
    data: datasets.Dataset,
    device: torch.device,
    listener: Listener,
    cache_dir: Path | str | None,
) -> Evaluation:
    run = writer.read()
    split: datasets.Split = getattr(data, config.split)
    images = len(split) if config.images is None else min(config.images, len(split))
    grid, attack = config.grid(run.config), attempts.described(config)
    request = (config.split, epoch, images, grid, config.seed, attack)
    for old in run.evaluations():
        if (old.split, old.epoch, old.num_images, old.epsilons, old.seed, old.attack) == request:
            return old
    network = placed(load_network(run, data, epoch), device)
    subset = image_set(split, device).first(images)
    if is_place(config.attack):
        few = subset.first(admission.FEW)
        admission.check_attack(network, few, attempts.training_attack(config, run.config.epsilon))
    key = _key(network, device, [config.split, epoch, images, grid, config.seed, sorted(attack.items())])
    source = None
    if config.transfer_from is not None:
        source = placed(load_network(other_run(config.transfer_from, run, cache_dir), data), device)
    parts = [_verdicts_of(part) for part in run.verdicts_so_far(key)]
    new_parts = evaluation.verdicts(
        network,
        subset,
        config,
        grid,
        skip=sum(part.correct.shape[-1] for part in parts),
        transfer_from=source,
        progress=lambda done, total, part="": listener.evaluating(done / total),
    )
    for part in new_parts:
        writer.add_verdicts(key, len(parts), {"correct": part.correct, "seconds": np.array([part.seconds])})
        parts.append(part)
    result, correct = evaluation.summed_up(network, subset, config, grid, parts, epoch=epoch)
    return writer.add_evaluation(result, correct, key=key)


def _key(network: nn.Module, device: torch.device, request: list[object]) -> str:
    """Return a digest of all that an evaluation's bits depend on, so that only parts made alike are combined."""
    factors = [digest_of_weights(weights_of(network)), describe(device), torch.get_num_threads(), versions(), request]
    return hashlib.sha256(repr(factors).encode()).hexdigest()[:16]


def _verdicts_of(part: dict[str, np.ndarray[Any, Any]]) -> evaluation.Verdicts:
    return evaluation.Verdicts(part["correct"], float(part["seconds"][0]))


def _resume(writer: RunWriter) -> trainer.Resume | None:
    if writer.epoch == 0:
        return None
    run = writer.read()
    return trainer.Resume(run.epoch, run.weights(run.epoch), run.training_state())
