"""`aat bench` and `aat fidelity` on a data set: the cost of an epoch, and how close the cheap ways of scoring are."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch

from aat_explore import datasets
from aat_explore.bench.contenders import measure
from aat_explore.bench.fidelity import WAYS, compare_scoring
from aat_explore.config import RunConfig, checked_config
from aat_explore.engine import trainer
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.device import computing, describe, versions
from aat_explore.errors import AATError
from aat_explore.experiments.run import image_set
from aat_explore.places import Place
from aat_explore.presets import PRESETS, preset_of
from aat_explore.progress import Progress, silent
from aat_explore.records import Benchmark, ScoringReport, Timing
from aat_explore.store import Store


def bench(
    dataset: str,
    *,
    num_samples: int | None = None,
    num_images: int = 2000,
    rounds: int = 5,
    place: Place | None = None,
    progress: Progress = silent,
) -> Benchmark:
    """Time epochs, robustness curves and the writing of records on a data set; see `contenders.measure`."""
    for name, value in (("samples", num_samples), ("images", num_images)):
        if value is not None and value < 1:
            raise AATError(f"{name}={value} is less than 1; omit it for the default")
    base = PRESETS[preset_of(dataset)].model_copy(update={"epochs": 9999})
    place = place or Place()
    with computing(place.device, place.threads) as device:
        data = datasets.load(dataset, cache_dir=place.cache_dir)
        training = image_set(data.train, device).first(num_samples or len(data.train))
        test = image_set(data.test, device).first(num_images)
        report = measure(base, training, test, num_classes=data.num_classes, rounds=rounds, progress=progress)
        commits = _time_commits(base, training, data.num_classes, place.cache_dir, rounds)
    return report.model_copy(update={"timings": (*report.timings, commits)})


def _time_commits(base: RunConfig, training: ImageSet, num_classes: int, cache: Path, rounds: int) -> Timing:
    """Time the writing of an epoch's record, to a temporary cache on the same disk."""
    few = training.first(min(1000, len(training)))
    config = base.model_copy(update={"num_perturbed": min(100, len(few)), "val_attack_steps": 1})
    record = next(trainer.train(config, few, few.first(10), num_classes=num_classes))
    p = np.full(len(training), 1 / len(training), dtype=np.float32)
    scores = dict.fromkeys(record.scores, np.random.default_rng(0).gamma(0.3, size=len(training)))
    seconds = []
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix="bench-") as folder, Store(folder).writer(config) as writer:
        for epoch in range(1, 4 * rounds + 1):
            metrics = record.metrics.model_copy(update={"epoch": epoch})
            start_time = perf_counter()
            writer.commit(replace(record, metrics=metrics, probabilities=p, scores=scores))
            seconds.append(perf_counter() - start_time)
    return Timing(
        name="writing a record", kind="record", config={}, seconds=tuple(seconds), phases={}, peak_bytes=None,
        flops=None, bytes_moved=None,
    )  # fmt: skip


def fidelity(
    dataset: str,
    *,
    num_perturbed: int,
    epsilon: float,
    epochs: int,
    seeds: int,
    place: Place | None = None,
    progress: Progress = silent,
) -> ScoringReport:
    """Compare cheap ways of scoring with the paper's on a data set; see `fidelity.compare_scoring`."""
    if num_perturbed < 1:
        raise AATError(f"num_perturbed={num_perturbed} draws nothing; use 1 or more to compare draws")
    if epochs < 2:
        raise AATError(f"epochs={epochs} is less than 2; in the first epoch all ways of scoring are the same")
    if seeds < 1:
        raise AATError(f"seeds={seeds} is less than 1; use 3 or more to tell an effect from chance")
    base = PRESETS[preset_of(dataset)].model_dump() | {
        "num_perturbed": num_perturbed, "epsilon": epsilon, "epochs": epochs
    }  # fmt: skip
    configs = [
        (name, checked_config(base | change | {"attack": {"kind": kind}, "seed": seed}))
        for kind in ("fgsm", "pgd")
        for seed in range(seeds)
        for name, change in WAYS.items()
    ]
    runs = []
    place = place or Place()
    with computing(place.device, place.threads) as device:
        data = datasets.load(dataset, cache_dir=place.cache_dir)
        training, test = image_set(data.train, device), image_set(data.test, device)
        for done, (name, config) in enumerate(configs):
            progress(done, len(configs), f"{name}, {config.attack.kind}, seed {config.seed}")
            runs.append(compare_scoring(name, config, training, test, num_classes=data.num_classes))
        return ScoringReport(
            dataset=dataset,
            num_train=len(training),
            num_test=len(test),
            device=describe(device),
            num_threads=torch.get_num_threads(),
            versions=versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            runs=tuple(runs),
        )
