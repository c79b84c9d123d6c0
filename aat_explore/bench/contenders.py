"""`aat bench`: seconds of an epoch by phase, ours and those of what a user would write or install instead.

Everything runs in one process, one epoch of each contender in turn, round after round, so that a slow minute of the
machine affects all of them; ratios are taken within a round.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from typing import Any, Literal

import torch
from torch import Tensor, nn

from aat_explore.attacks import ResolvedAttack
from aat_explore.bench.baseline_attacks import Attack, foolbox_attack
from aat_explore.bench.baselines import BASELINES
from aat_explore.bench.machine import Counts, copy_rate, counted, matrix_rate, processor
from aat_explore.config import AttackConfig, EvaluationConfig, RunConfig, checked, checked_config
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.counting import correct_after
from aat_explore.engine.device import Stopwatch, describe, versions
from aat_explore.engine.perturb import perturb
from aat_explore.engine.trainer import Trainer
from aat_explore.errors import AATError
from aat_explore.progress import Progress, silent
from aat_explore.records import Benchmark, Timing
from aat_explore.robustness.evaluation import correct_at

PAPERS_T = 55_000
AAT, AAT_PGD = "AAT n={n:,}, {scoring}", "AAT-PGD-10 n={n:,}, {scoring}"
MADRY: dict[str, Any] = {"num_perturbed": "all", "perturbing_network": "on-the-fly"}
PGD10: dict[str, Any] = {"attack": {"kind": "pgd", "steps": 10}}
LIBRARIES = ("foolbox", "torchattacks", "adversarial-robustness-toolbox")


def share(of_paper: int, num_train: int) -> int:
    """Return the n that is the same share of `num_train` samples as the paper's n of its 55,000."""
    return max(1, round(of_paper * num_train / PAPERS_T))


def our_rows(num_train: int) -> dict[str, dict[str, Any]]:
    """Return our rows by name, as changes to the base config."""
    n_large = share(10_000, num_train)
    aat = {
        AAT.format(n=n, scoring=scoring): {"num_perturbed": n, "scoring": scoring}
        for n in (share(100, num_train), share(1000, num_train), n_large)
        for scoring in ("epoch-start", "carry-over")
    }
    aat_pgd = {
        AAT_PGD.format(n=n_large, scoring=scoring): {"num_perturbed": n_large, "scoring": scoring, **PGD10}
        for scoring in ("epoch-start", "carry-over")
    }
    return {
        "standard": {"num_perturbed": 0},
        **aat,
        "full FGSM": MADRY,
        "full FGSM, once an epoch": {"num_perturbed": "all"},
        **aat_pgd,
        "full PGD-10": MADRY | PGD10,
    }


@dataclass
class Contender:
    """Something to time: `run` does it once and returns its seconds by phase, if known."""

    name: str
    kind: Literal["ours", "instead", "curve"]
    config: dict[str, Any]
    run: Callable[[], dict[str, float]]
    settles_in_two: bool = False  # the first epoch of carry-over has no norms yet


class Epochs:
    """Our trainer without validation and records, which the baselines lack too; each call runs the next epoch."""

    def __init__(self, config: RunConfig, training: ImageSet, num_classes: int) -> None:
        unrecorded = config.model_copy(update={"num_recorded": 0})  # changes nothing else
        self.trainer = Trainer(unrecorded, training, training.first(1), num_classes, None)
        self.epoch = 0

    def __call__(self) -> dict[str, float]:
        """Run one epoch; return its seconds by phase."""
        self.epoch += 1
        watch = Stopwatch(self.trainer.device)
        self.trainer.algorithm_1(self.epoch, watch)
        return watch.seconds


class Curve:
    """A way to compute a robustness curve; a call attacks all images at every ε and stores the accuracies."""

    def __init__(self, attack_all: Callable[[], Iterator[Tensor]]) -> None:
        self.attack_all = attack_all
        self.accuracies: tuple[float, ...] = ()

    def __call__(self) -> dict[str, float]:
        """Compute the curve; it has no phases."""
        self.accuracies = tuple(float(correct.float().mean()) for correct in self.attack_all())
        return {}


def measure(
    base: RunConfig,
    training: ImageSet,
    test: ImageSet,
    *,
    num_classes: int,
    rounds: int = 5,
    progress: Progress = silent,
) -> Benchmark:
    """Time every contender `rounds` times, after a first epoch in which memory and operations are counted.

    `test` holds the images of the robustness curves, which attack the network of `AAT n = 1,000, epoch-start` after its
    rounds. `progress` counts epochs and curves and names the next contender. Raises AATError for rounds < 1.
    """
    if rounds < 1:
        raise AATError(f"rounds={rounds} is less than 1; use 5 or more for meaningful medians")
    configs = {name: checked_config(base.model_dump() | change) for name, change in our_rows(len(training)).items()}
    ours = {name: Epochs(config, training, num_classes) for name, config in configs.items()}
    plain = AAT.format(n=share(1000, len(training)), scoring="epoch-start")
    baselines, left_out = _baselines(configs[plain], training, num_classes)
    contenders = [
        *(
            Contender(name, "ours", configs[name].model_dump(mode="json"), run, "carry" in name)
            for name, run in ours.items()
        ),
        *baselines,
    ]
    curves, missing = _curves(ours[plain].trainer.network, test, base)
    steps, done = (len(contenders) + len(curves)) * (rounds + 1), 0

    def announce(name: str) -> None:
        nonlocal done
        progress(done, steps, name)
        done += 1

    timings = _interleaved(contenders, rounds, training.images.device, announce)
    timings += _interleaved(curves, rounds, training.images.device, announce)
    return Benchmark(
        dataset=base.dataset,
        num_train=len(training),
        num_attacked=len(test),
        model=base.model,
        rounds=rounds,
        device=describe(training.images.device),
        cpu=processor(),
        num_threads=torch.get_num_threads(),
        versions=versions() | _library_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        matrix_flops=matrix_rate(training.images.device),
        copy_bytes=copy_rate(training.images.device),
        timings=tuple(timings),
        left_out=left_out | missing,
    )


def _interleaved(
    contenders: list[Contender], rounds: int, device: torch.device, announce: Callable[[str], None]
) -> list[Timing]:
    counts: dict[str, Counts] = {}
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    phases: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for contender in contenders:
        announce(contender.name)
        counts[contender.name] = counted(contender.run, device, again=contender.settles_in_two)
    for _ in range(rounds):
        for contender in contenders:
            announce(contender.name)
            watch = Stopwatch(device)
            for phase, duration in contender.run().items():
                phases[contender.name][phase].append(duration)
            watch.lap("all")
            seconds[contender.name].append(watch.seconds["all"])
    return [
        Timing(
            name=contender.name,
            kind=contender.kind,
            config=contender.config,
            seconds=tuple(seconds[contender.name]),
            phases={phase: statistics.median(durations) for phase, durations in phases[contender.name].items()},
            peak_bytes=counts[contender.name].peak_bytes,
            flops=counts[contender.name].flops,
            bytes_moved=counts[contender.name].bytes_moved,
            robust_accuracy=contender.run.accuracies if isinstance(contender.run, Curve) else (),
        )
        for contender in contenders
    ]


def _baselines(config: RunConfig, training: ImageSet, num_classes: int) -> tuple[list[Contender], dict[str, str]]:
    contenders, left_out = [], {}
    for name, make in BASELINES.items():
        try:
            baseline = make(config, training, num_classes)
        except AATError as error:
            left_out[name] = str(error)
        else:
            contenders.append(Contender(name, "instead", config.model_dump(mode="json"), baseline.run_epoch))
    return contenders, left_out


def _curves(network: nn.Module, test: ImageSet, base: RunConfig) -> tuple[list[Contender], dict[str, str]]:
    """Return ours, nested and independent; the same attack on every image to the end, as in libraries; foolbox's."""
    grid = EvaluationConfig().grid(base)
    curves = []
    for name in ("nested", "independent"):
        config = checked(EvaluationConfig, {"curve": name})
        run = Curve(partial(correct_at, network, test, config, grid))
        curves.append(Contender(f"PGD-40 curve, {name}", "curve", config.model_dump(mode="json"), run))
    left_out = {}
    attacks = [AttackConfig(kind="pgd", steps=40).resolve(epsilon) for epsilon in grid if epsilon > 0]
    to_the_end = Curve(lambda: (_last_iterate_correct(network, test, _our_attack(attack)) for attack in attacks))
    curves.append(Contender("PGD-40 curve, every image to the end", "curve", {}, to_the_end))
    try:
        foolbox_attacks = [foolbox_attack(attack) for attack in attacks]
    except AATError as error:
        left_out["PGD-40 curve, foolbox"] = str(error)
    else:
        library = Curve(lambda: (_last_iterate_correct(network, test, attack) for attack in foolbox_attacks))
        curves.append(Contender("PGD-40 curve, foolbox", "curve", {}, library))
    return curves, left_out


def _our_attack(attack: ResolvedAttack) -> Attack:
    """Return our PGD as a function of network, images and labels."""
    generator = torch.Generator().manual_seed(0)
    return lambda network, images, labels: perturb(network, images, labels, attack, generator)


def _last_iterate_correct(network: nn.Module, test: ImageSet, attack: Attack) -> Tensor:
    network.eval()
    return correct_after(network, test, attack)


def _library_versions() -> dict[str, str]:
    installed = {}
    for library in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            installed[library] = metadata.version(library)
    return installed
