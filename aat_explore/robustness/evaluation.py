"""Accuracy under an attack over a grid of ε, with a verdict on every image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aat_explore.config import EvaluationConfig
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.counting import skip_starts
from aat_explore.engine.device import describe, versions
from aat_explore.engine.networks import digest_of_weights, weights_of
from aat_explore.progress import Progress, silent
from aat_explore.records import Evaluation
from aat_explore.robustness.attempts import attempt_of, described

Correct = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on some consecutive images: `correct`, bool (attacks, ε, B), and the seconds that they took.

    `correct[a, e, i]`: image i is classified correctly at the e-th ε, clean and after attacks 0 … a.
    """

    correct: Correct
    seconds: float


def verdicts(
    network: nn.Module,
    data: ImageSet,
    config: EvaluationConfig,
    epsilons: Sequence[float],
    *,
    skip: int = 0,
    transfer_from: nn.Module | None = None,
    progress: Progress = silent,
) -> Iterator[Verdicts]:
    """Yield the verdicts on the images chunk by chunk, at each of the ascending ε, without the first `skip` images.

    Each ε is attacked from the same random starts, scaled to it; `config.curve` says whether results at a smaller ε are
    used. An image's verdict does not depend on `skip`, which must be a number of whole chunks, so an interrupted
    evaluation can be resumed. `transfer_from` is the network that attack "transfer" makes x′ for. `progress` counts
    images. Raises AATError for AutoAttack if pyautoattack is not installed.
    """
    starts = torch.Generator().manual_seed(config.seed)
    attempt = attempt_of(config, transfer_from)
    for rows, chunk in data.chunks():
        if rows.start < skip:
            skip_starts(chunk, restarts=config.restarts, generator=starts)
            continue
        start_time, correct = perf_counter(), []
        start_state = starts.get_state()
        progress(rows.start, len(data))
        for survivors in attempt.survivors(network, chunk, epsilons, starts):
            correct.append(survivors.cpu())
            if len(correct) < len(epsilons):
                progress(rows.start + len(chunk) * len(correct) / len(epsilons), len(data))
        starts.set_state(start_state)
        skip_starts(chunk, restarts=config.restarts, generator=starts)
        yield Verdicts(torch.stack(correct, 1).numpy(), perf_counter() - start_time)
    progress(len(data), len(data))


def correct_at(
    network: nn.Module, data: ImageSet, config: EvaluationConfig, epsilons: Sequence[float]
) -> Iterator[Tensor]:
    """Yield which images stay correct under the configured attack at each ε, bool (N,); clean for ε = 0."""
    parts = [part.correct[-1] for part in verdicts(network, data, config, epsilons)]
    yield from torch.from_numpy(np.concatenate(parts, axis=-1))


def evaluate(
    network: nn.Module,
    data: ImageSet,
    config: EvaluationConfig,
    epsilons: tuple[float, ...],
    *,
    epoch: int,
    progress: Progress = silent,
) -> tuple[Evaluation, Correct]:
    """Attack `data`, images of one split, at each of the ascending ε; return the counts and all `Verdicts.correct`.

    Accuracy under any attack is an upper bound on robust accuracy. See `verdicts` for the rest.
    """
    parts = list(verdicts(network, data, config, epsilons, progress=progress))
    return summed_up(network, data, config, epsilons, parts, epoch=epoch)


def summed_up(
    network: nn.Module,
    data: ImageSet,
    config: EvaluationConfig,
    epsilons: tuple[float, ...],
    parts: Sequence[Verdicts],
    *,
    epoch: int,
) -> tuple[Evaluation, Correct]:
    """Return the evaluation made of all chunks' verdicts, and the verdicts as one array."""
    correct = np.concatenate([part.correct for part in parts], axis=-1)
    assert correct.shape[-1] == len(data)
    attempt = attempt_of(config)
    result = Evaluation(
        epoch=epoch,
        split=config.split,
        num_images=len(data),
        attack=described(config),
        epsilons=epsilons,
        num_correct=tuple(int(count) for count in correct[-1].sum(axis=-1)),
        attacks=attempt.names,
        seed=config.seed,
        seconds=sum(part.seconds for part in parts),
        model_digest=digest_of_weights(weights_of(network)),
        device=describe(data.images.device),
        num_threads=torch.get_num_threads(),
        versions=versions() | attempt.versions(),
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    return result, correct
