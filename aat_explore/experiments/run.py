"""One config → one cached run, resumed if it was cut off, then evaluated: the only place where engine meets store."""

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
from aat_explore.config import EvaluationConfig, RunConfig, check_num_perturbed
from aat_explore.engine import admission, custom, trainer
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.device import computing, describe, versions
from aat_explore.engine.networks import build_network, digest_of_weights, load_weights, placed, weights_of
from aat_explore.errors import AATError
from aat_explore.records import EpochMetrics, EpochRecord, Evaluation
from aat_explore.robustness import attempts, evaluation
from aat_explore.store import KEEP_EVERY, Run, RunWriter, Store

FULL_TEST = EvaluationConfig()


class Listener:
    """Hears of a run's progress and does nothing; override what is to be shown.

    `finished_epoch` is called in the thread that writes the epochs, while the next one trains.
    """

    def began(self, config: RunConfig, epoch: int, device: torch.device) -> None:
        """Training begins, or goes on after `epoch` committed epochs."""

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
    """Train the run of `config` into the cache and return it; what is already there is not done twice.

    A run cut off earlier goes on after its last committed epoch; on one machine, device and number of threads the
    result equals the uninterrupted run's bit for bit. After the last epoch the run is evaluated unless
    `evaluate_with` is None. The weights of every `keep_every`-th epoch are kept, besides the best and the last two.
    Raises AATError: unknown data, n > T, an own network or score that is not admitted or whose code has changed, a
    diverged network, a run that is being trained.
    """
    listener = listener or Listener()
    store = Store(cache_dir)
    with computing(device, threads) as place:
        data = datasets.load(config.dataset, cache_dir=cache_dir)
        check_num_perturbed(config, len(data.train))
        few = slice(0, admission.FEW)
        tried = ImageSet.from_numpy(data.train.images(few), data.train.labels[few], place)
        admission.admit(config, tried, data.num_classes)
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
                _keep(records, writer, listener)
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
    epoch: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    listener: Listener | None = None,
) -> Evaluation:
    """Attack a run's network after `epoch` (the last, if None), store the evaluation with the run and return it.

    The same evaluation is not made twice, and one that was cut off goes on. Raises AATError: no such run, no
    checkpoint of that epoch, unknown data, a run of the showcase (which is only read), or one that is being trained.
    """
    run = writable(run_id, cache_dir)
    epoch = run.epoch if epoch is None else epoch
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
    """`evaluate` the run's kept checkpoints whose epoch is a multiple of `every`, and the last: robustness over epochs.

    A run keeps every `keep_every`-th checkpoint (see `train`), the best and the last two. Raises AATError as `evaluate`
    does, and for `every` < 1.
    """
    if every < 1:
        raise AATError(f"every={every} is less than 1; use e.g. 10 for every tenth epoch")
    run = Store(cache_dir).open(run_id)
    epochs = [epoch for epoch in run.checkpoints() if epoch % every == 0 or epoch == run.epoch]
    common: dict[str, Any] = {"cache_dir": cache_dir, "device": device, "threads": threads, "listener": listener}
    return [evaluate(run_id, config, epoch=epoch, **common) for epoch in epochs]


def writable(run_id: str, cache_dir: Path | str | None) -> Run:
    """Open a run that may be added to; AATError for one of the showcase, or a renamed copy."""
    run = Store(cache_dir).open(run_id)
    if run.showcase:
        raise AATError(f"run={run_id} is of the showcase, which is only read; add --cache-dir {run.path.parent.parent}")
    if run.config.run_id != run_id:
        raise AATError(f"run={run_id} is a renamed copy, which is only read; rename it back to {run.config.run_id}")
    return run


def other_run(run_id: str, run: Run, cache_dir: Path | str | None) -> Run:
    """Open the run that x′ is made for; AATError if it is of another data set."""
    other = Store(cache_dir).open(run_id)
    if other.config.dataset != run.config.dataset:
        raise AATError(
            f"transfer_from={run_id} is of {other.config.dataset} and run={run.id} of {run.config.dataset}; choose one "
            "of the same data set"
        )
    return other


def image_set(split: datasets.Split, device: torch.device | str = "cpu") -> ImageSet:
    """Return a split's images, uint8 (N, C, H, W), and labels, int64 (N,), on a device."""
    return ImageSet.from_numpy(split.images(), split.labels, torch.device(device))


def load_network(run: Run, data: datasets.Dataset, epoch: int | None = None) -> nn.Module:
    """Return a run's network after `epoch` (the last, if None) on the CPU, in eval mode, as the trainer holds it.

    Raises AATError: no checkpoint of that epoch, or an own network that is not there or no longer fits its weights.
    """
    epoch = run.epoch if epoch is None else epoch
    network = build_network(run.config, data.image_shape, data.num_classes)
    load_weights(network, run.weights(epoch), whose=f"run={run.id}, epoch={epoch}")
    return placed(network, torch.device("cpu")).eval()


def _keep(records: Iterator[EpochRecord], writer: RunWriter, listener: Listener) -> None:
    """Write each epoch while the next one trains; at the end, and when training fails, all that it yielded is on disk.

    A commit takes milliseconds of syncing, as long as a tenth of an epoch on a GPU. One is under way at a time.
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
    wanted = (config.split, epoch, images, grid, config.seed, attack)
    for made in run.evaluations():
        if (made.split, made.epoch, made.num_images, made.epsilons, made.seed, made.attack) == wanted:
            return made
    network = placed(load_network(run, data, epoch), device)
    attacked = image_set(split, device).first(images)
    if is_place(config.attack):
        few = attacked.first(admission.FEW)
        admission.check_attack(network, few, attempts.training_attack(config, run.config.epsilon))
    key = _key(network, device, [config.split, epoch, images, grid, config.seed, sorted(attack.items())])
    source = None
    if config.transfer_from is not None:
        source = placed(load_network(other_run(config.transfer_from, run, cache_dir), data), device)
    parts = [_verdicts_of(part) for part in run.verdicts_so_far(key)]
    fresh = evaluation.verdicts(
        network,
        attacked,
        config,
        grid,
        skip=sum(p.correct.shape[-1] for p in parts),
        transfer_from=source,
        progress=listener.evaluating,
    )
    for part in fresh:
        writer.add_verdicts(key, len(parts), {"correct": part.correct, "seconds": np.array([part.seconds])})
        parts.append(part)
    made, correct = evaluation.summed_up(network, attacked, config, grid, parts, epoch=epoch)
    return writer.add_evaluation(made, correct, key=key)


def _key(network: nn.Module, device: torch.device, asked: list[object]) -> str:
    """Name what decides an evaluation's bits: parts made otherwise, say by more threads, are not mixed with it."""
    decides = [digest_of_weights(weights_of(network)), describe(device), torch.get_num_threads(), versions(), asked]
    return hashlib.sha256(repr(decides).encode()).hexdigest()[:16]


def _verdicts_of(part: dict[str, np.ndarray[Any, Any]]) -> evaluation.Verdicts:
    return evaluation.Verdicts(part["correct"], float(part["seconds"][0]))


def _resume(writer: RunWriter) -> trainer.Resume | None:
    if writer.epoch == 0:
        return None
    run = writer.read()
    return trainer.Resume(run.epoch, run.weights(run.epoch), run.training_state())
