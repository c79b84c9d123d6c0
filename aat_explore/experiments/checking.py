"""Run all robustness checks on a run's network; the report is stored with the run."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import torch

from aat_explore import datasets
from aat_explore.config import EpochAsked
from aat_explore.engine.device import computing, describe, versions
from aat_explore.engine.networks import digest_of_weights, placed, weights_of
from aat_explore.errors import AATError
from aat_explore.experiments.run import Listener, epoch_asked, image_set, load_network, writable
from aat_explore.records import CHECKS_VERSION, CheckReport
from aat_explore.robustness.autoattack import AutoAttack
from aat_explore.robustness.checks import Trial, check_robustness, training_against_test
from aat_explore.store import Store


def check(
    run_id: str,
    *,
    cache_dir: Path | str | None = None,
    epoch: EpochAsked = None,
    images: int = 1000,
    epsilon: float | None = None,
    seed: int = 0,
    device: str | None = None,
    threads: int | None = None,
    listener: Listener | None = None,
) -> CheckReport:
    """Check a run's network after `epoch` (see `run.epoch_asked`), store the report with the run and return it.

    The first `images` of the test split are attacked at ε (the training ε, if None), and as many of the training split.
    An existing report by the current rules is returned as it is. Raises AATError as `evaluate` does, and for images < 1
    or ε outside (0, 1].
    """
    if images < 1:
        raise AATError(f"images={images} is less than 1; use e.g. 1000")
    run = writable(run_id, cache_dir)
    epoch = epoch_asked(run, epoch)
    epsilon = run.config.epsilon if epsilon is None else epsilon
    data = datasets.load(run.config.dataset, cache_dir=cache_dir)
    with computing(device, threads) as place, Store(cache_dir).writer(run.config) as writer:
        network = placed(load_network(run, data, epoch), place)
        digest, library = digest_of_weights(weights_of(network)), _library()
        test, training = (image_set(split, place).first(images) for split in (data.test, data.train))
        request = (epoch, epsilon, len(test), seed, digest, CHECKS_VERSION, library)
        for old in writer.read().checks():
            rules = old.rules, {name: old.versions.get(name) for name in library}
            if (old.epoch, old.epsilon, old.num_images, old.seed, old.model_digest, *rules) == request:
                return old
        start_time, receiver = perf_counter(), listener or Listener()
        checks = check_robustness(
            network,
            test.images,
            test.labels,
            epsilon=epsilon,
            seed=seed,
            progress=lambda done, total, part="": receiver.evaluating(done / (total + 1)),
        )
        overfitting = training_against_test(
            Trial(network, test, epsilon, seed), Trial(network, training, epsilon, seed)
        )
        receiver.evaluating(1.0)
        report = CheckReport(
            epoch=epoch,
            epsilon=epsilon,
            num_images=len(test),
            checks=(*checks, overfitting),
            seed=seed,
            seconds=perf_counter() - start_time,
            model_digest=digest,
            device=describe(place),
            num_threads=torch.get_num_threads(),
            versions=versions() | library,
            rules=CHECKS_VERSION,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        writer.add_checks(report)
    return report


def _library() -> dict[str, str]:
    with suppress(ImportError):
        return AutoAttack.version()
    return {}
