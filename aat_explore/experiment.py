"""One config → one cached run, resumed if it was cut off, then evaluated: the only place where engine meets store."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from torch import nn

from aat_explore import datasets
from aat_explore.config import EvaluationConfig, RunConfig
from aat_explore.engine import evaluation, trainer
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.device import computing
from aat_explore.engine.networks import build_network, load_weights, placed
from aat_explore.errors import AATError
from aat_explore.records import EpochMetrics, EpochRecord, Evaluation
from aat_explore.store import Run, RunWriter, Store

FULL_TEST = EvaluationConfig()


class Listener:
    """Hears of a run's progress and does nothing; override what is to be shown.

    `finished_epoch` is called in the thread that writes the epochs, while the next one trains.
    """

    def began(self, config: RunConfig, epoch: int, device: torch.device) -> None:
        """Training begins, or goes on after `epoch` committed epochs."""

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """An epoch is on disk."""

    def evaluating(self, done: int, total: int) -> None:
        """`done` of `total` values of ε are attacked."""


def train(
    config: RunConfig,
    *,
    cache_dir: Path | str = "cache",
    device: str | None = None,
    threads: int | None = None,
    evaluate_with: EvaluationConfig | None = FULL_TEST,
    listener: Listener | None = None,
) -> Run:
    """Train the run of `config` into the cache and return it; what is already there is not done twice.

    A run cut off earlier goes on after its last committed epoch; on one machine, device and number of threads the
    result equals the uninterrupted run's bit for bit. After the last epoch the run is evaluated unless
    `evaluate_with` is None. Raises AATError: unknown data, n > T, a diverged network, a run that is being trained.
    """
    listener = listener or Listener()
    store = Store(cache_dir)
    with computing(device, threads) as place:
        data = datasets.load(config.dataset, cache_dir=cache_dir)
        trainer.check_num_perturbed(config, len(data.train))
        with store.writer(config) as writer:
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
            if evaluate_with is not None:
                _evaluate(writer, evaluate_with, config.epochs, data, place, listener)
    return store.open(config.run_id)


def evaluate(
    run_id: str,
    config: EvaluationConfig,
    *,
    cache_dir: Path | str = "cache",
    epoch: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    listener: Listener | None = None,
) -> Evaluation:
    """Attack a run's network after `epoch` (the last, if None), store the evaluation with the run and return it.

    The same evaluation is not made twice. Raises AATError: no such run, no checkpoint of that epoch, unknown data, a
    run of the showcase (which is only read), or one that is being trained.
    """
    run = Store(cache_dir).open(run_id)
    if run.showcase:
        raise AATError(f"run={run_id} is of the showcase, which is only read; add --cache-dir {run.path.parent.parent}")
    if run.config.run_id != run_id:
        raise AATError(f"run={run_id} is a renamed copy, which is only read; rename it back to {run.config.run_id}")
    epoch = run.epoch if epoch is None else epoch
    data = datasets.load(run.config.dataset, cache_dir=cache_dir)
    with computing(device, threads) as place, Store(cache_dir).writer(run.config) as writer:
        return _evaluate(writer, config, epoch, data, place, listener or Listener())


def image_set(split: datasets.Split, device: torch.device | str = "cpu") -> ImageSet:
    """Return a split's images, uint8 (N, C, H, W), and labels, int64 (N,), on a device."""
    return ImageSet.from_numpy(split.images(), split.labels, torch.device(device))


def load_network(run: Run, data: datasets.Dataset, epoch: int | None = None) -> nn.Module:
    """Return a run's network after `epoch` (the last, if None) on the CPU, in eval mode, as the trainer holds it."""
    network = build_network(run.config, data.image_shape, data.num_classes)
    load_weights(network, run.weights(run.epoch if epoch is None else epoch))
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
) -> Evaluation:
    run = writer.read()
    split: datasets.Split = getattr(data, config.split)
    images = len(split) if config.images is None else min(config.images, len(split))
    wanted = (
        config.split,
        epoch,
        images,
        config.grid(run.config.dataset),
        config.seed,
        evaluation.describe_attack(config),
    )
    for made in run.evaluations():
        if (made.split, made.epoch, made.num_images, made.epsilons, made.seed, made.attack) == wanted:
            return made
    made = evaluation.evaluate(
        placed(load_network(run, data, epoch), device),
        image_set(split, device).first(images),
        config,
        config.grid(run.config.dataset),
        epoch=epoch,
        progress=listener.evaluating,
    )
    writer.add_evaluation(made)
    return made


def _resume(writer: RunWriter) -> trainer.Resume | None:
    if writer.epoch == 0:
        return None
    run = writer.read()
    return trainer.Resume(run.epoch, run.weights(run.epoch), run.training_state())
