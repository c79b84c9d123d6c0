"""What a run leaves behind: one `EpochRecord` an epoch and `Evaluation`s, as plain values and numpy arrays.

This is the schema of the cache: `store` writes it, `views` reads it, and none of them needs torch. How it may change:

- A field or column is added with a default that is true of every run before it, usually None. Where a file lacks it, or
  its cell is empty, it has its default. Only a missing *required* one, without a default, is damage.
- Unknown fields and columns, of a newer version, are ignored on reading. A trainer that goes on with such a run writes
  unknown columns again, empty in its own rows. HEAD may gain only fields that every writer may drop.
- An unknown *setting* is ignored only where the run's name shows that it changes nothing: settings at their default do
  not enter `RunConfig.digest`. Any other run is refused, and the setting named, because its figures would stand under
  settings that it was not trained with.
- A field or column is renamed by an entry in `RENAMED`. A setting goes by its old name in `RunConfig.digest` for ever.
- `SCHEMA_VERSION` rises when a reader of the old version would be wrong: where a field or column changes its meaning,
  unit or type, or a required one is left out. A reader refuses what is newer than itself.
- `CHECKS_VERSION` rises when a check judges by another rule: `aat check` then makes stored checks again.

`store.reading` is where this is done.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from aat_explore.config import Values

SCHEMA_VERSION = 1
CHECKS_VERSION = 2  # 2: a clean accuracy near chance is a collapse, one below half a warning

# By model, the name that a field or column had in files of older versions, and its name today.
RENAMED: dict[type[Values], dict[str, str]] = {}

Arrays = Mapping[str, np.ndarray[Any, Any]]

COST_PHASES = ("seconds_scoring", "seconds_draw", "seconds_perturb", "seconds_train")  # of what an epoch costs


class EpochMetrics(Values):
    """One row of `metrics.parquet`. Accuracies are shares in [0, 1]; None where a figure does not exist.

    Required is what readers calculate with: an epoch's checks, cost and best checkpoint would be wrong without it.
    """

    epoch: int = Field(description="Epoch, counted from 1.")
    lr: float = Field(description="Learning rate during the epoch.")
    loss: float = Field(description="Mean training cross-entropy over all samples as trained on, in nats.")
    loss_drawn: float | None = Field(
        None, description="The same over perturbed samples only, in nats; None if none was."
    )
    loss_rest: float | None = Field(
        None, description="The same over unperturbed samples, in nats; None if none was left."
    )
    clean_accuracy_val: float = Field(description="Clean accuracy on the validation split, after the epoch.")
    clean_accuracy_attacked: float = Field(
        description="Clean accuracy on the quick validation images, those that FGSM and PGD attack."
    )
    fgsm_accuracy_val: float = Field(description="Robust accuracy (FGSM, training ε) on the same.")
    robust_accuracy_val: float = Field(
        description="Robust accuracy (PGD with `val_attack_steps` steps and random start, training ε) on the same."
    )
    num_drawn: int = Field(description="Distinct samples perturbed: |K|.")
    shortfall: int = Field(
        0, description="How many fewer than n were drawn because too few had a non-zero probability."
    )
    sum_gradient_norms: float | None = Field(
        None,
        description="Σ of the scores over all T samples, by default ‖∇ₓJ‖₂, when last scored; None if never.",
    )
    seconds_scoring: float = Field(description="Seconds in the pass that yields the gradient norms, or other scores.")
    seconds_draw: float = Field(description="Seconds for probabilities and draw.")
    seconds_perturb: float = Field(description="Seconds perturbing at the epoch's start (on-the-fly: in train).")
    seconds_train: float = Field(description="Seconds in training steps, and asking the network about the recorded.")
    seconds_validate: float = Field(description="Seconds for clean, FGSM and PGD accuracy on validation.")
    seconds_record: float = Field(description="Seconds to assemble this record (not to write it).")
    device: str = Field(description="Device the epoch ran on: cpu, cuda or mps, and its name.")
    num_threads: int = Field(description="CPU threads of torch; another number gives other bits.")


@dataclass(frozen=True)
class EpochRecord:
    """Everything kept of one epoch.

    `probabilities`: float32 (T,), row i is training image i; None when nothing was drawn (n = 0, all, warm-up).
    `drawn`: int32 (|K|,), distinct rows in the order they were drawn; every row when n = all.
    `x_adv`: uint8 (m, C, H, W), the perturbed images of `drawn[:m]` rounded to 1/255, for looking at.
    `recorded_losses`: float32 (m, 2), cross-entropy of the true class in nats, of x and of x′ (unrounded), and
    `recorded_classes`: int32 (m, 2), the class predicted; both by the network that made x′, when it did, in eval mode,
    and on the fly of the images as augmented.
    `weights`: the network after the epoch. `training_state`: what a resumed trainer needs besides it.
    """

    metrics: EpochMetrics
    probabilities: np.ndarray[Any, Any] | None
    drawn: np.ndarray[Any, Any]
    x_adv: np.ndarray[Any, Any]
    recorded_losses: np.ndarray[Any, Any]
    recorded_classes: np.ndarray[Any, Any]
    weights: Arrays = field(repr=False)
    training_state: Arrays = field(repr=False)


class Evaluation(Values):
    """Clean and robust accuracy of one checkpoint over a grid of ε, with all that is needed to repeat it."""

    epoch: int = Field(ge=1, description="Epoch whose weights were attacked.")
    split: Literal["train", "validation", "test"] = Field(description="train, validation or test.")
    num_images: int = Field(ge=1, description="Images attacked.")
    attack: dict[str, str | int | float | bool | None] = Field(
        description="Kind, steps, step size, restarts, random start."
    )
    epsilons: tuple[float, ...] = Field(description="ℓ∞ budgets in pixel units, ascending; 0 is clean accuracy.")
    num_correct: tuple[int, ...] = Field(description="Images classified correctly under every attempt, for each ε.")
    attacks: tuple[str, ...] = Field(
        (), description="Attacks tried in turn, each on what the ones before it left; () in older records."
    )
    verdicts: str | None = Field(
        None, description="sha256 of the file with a bit an attack, ε and image; None in older records."
    )
    seed: int = Field(description="Seed of all that the attack draws.")
    seconds: float = Field(description="Wall time of the whole evaluation.")
    model_digest: str = Field(description="sha256 of the weights, to tell whether two evaluations attacked the same.")
    device: str = Field(description="Device and its name.")
    num_threads: int = Field(description="CPU threads torch used; they change the bits of a result.")
    versions: dict[str, str] = Field(description="Versions of aat-explore, torch, Python and of a library's attack.")
    created: str = Field(description="UTC time the evaluation ended, ISO 8601.")

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        grid = self.epsilons
        if not grid or not 0 <= grid[0] <= grid[-1] <= 1 or list(grid) != sorted(set(grid)):
            raise ValueError(f"epsilons={grid} is not an ascending grid within [0, 1]")
        if len(self.num_correct) != len(grid) or not all(0 <= count <= self.num_images for count in self.num_correct):
            raise ValueError(f"num_correct={self.num_correct} is not one count of {self.num_images} images for each ε")
        return self

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Robust accuracy for each ε, shares in [0, 1]."""
        return tuple(count / self.num_images for count in self.num_correct)

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """95 % interval of each accuracy, had other images been drawn: `wilson_interval`."""
        return tuple(wilson_interval(count, self.num_images) for count in self.num_correct)


def wilson_interval(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a share, in [0, 1] (Wilson 1927): (p̂ + z²/2N ± z√(p̂(1−p̂)/N + z²/4N²)) / (1 + z²/N)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = count / total
    centre = share + z * z / (2 * total)
    half = z * (share * (1 - share) / total + (z / (2 * total)) ** 2) ** 0.5
    scale = 1 + z * z / total
    low = 0.0 if count == 0 else (centre - half) / scale  # exactly, not to rounding
    high = 1.0 if count == total else (centre + half) / scale
    return low, high


Status = Literal["pass", "warn", "fail"]


class Check(Values):
    """One question to a network's robustness, and what came of it; the name is that of the trouble looked for."""

    name: str = Field(description="What is looked for; `docs/checks.md` explains each.")
    status: Status = Field(description="pass, warn or fail.")
    reason: str = Field(description="What was found, in one sentence.")
    figures: dict[str, float] = Field(description="The numbers; accuracies and shares in [0, 1].")


NOTABLE, SERIOUS = 0.01, 0.02  # of all images: one point more is worth a look, two are more than may pass unflagged


def by_excess(excess: float, notable: float = 0.0, serious: float = NOTABLE) -> Status:
    """The verdict on a share that should not be above `notable`, and must not be above `serious`."""
    return "fail" if excess > serious + 1e-9 else "warn" if excess > notable + 1e-9 else "pass"


def by_accuracy(clean: float, num_classes: int = 10) -> Status:
    """The verdict on a clean accuracy in [0, 1]: `fail` near chance, `warn` where a network is more wrong than right.

    Ours: warn below half, or five times chance with more than ten classes; fail below half of that, or within a tenth
    of chance.
    """
    low = min(0.5, 5 / num_classes)
    return "fail" if clean < max(low / 2, 1.1 / num_classes) else "warn" if clean < low else "pass"


def _rules_of_old(fields: dict[str, Any]) -> int:
    """Reports of 0.1.0 and 0.1.1 do not say by which rules; they were the first and the second."""
    return 1 if fields.get("versions", {}).get("aat-explore") == "0.1.0" else 2


class CheckReport(Values):
    """What `aat check` found of one checkpoint, with all that is needed to repeat it."""

    epoch: int = Field(ge=1, description="Epoch whose weights were checked.")
    epsilon: float = Field(description="ε of the attacks, in pixel units.")
    num_images: int = Field(ge=1, description="First test images, and as many training images.")
    checks: tuple[Check, ...] = Field(description="In the order in which they were made.")
    seed: int = Field(description="Seed of all that the attacks draw.")
    seconds: float = Field(description="Wall time of all checks.")
    model_digest: str = Field(description="sha256 of the weights.")
    device: str = Field(description="Device and its name.")
    num_threads: int = Field(description="CPU threads torch used.")
    versions: dict[str, str] = Field(description="Versions of aat-explore, torch, Python and pyautoattack.")
    rules: int = Field(
        default_factory=_rules_of_old, ge=1, description="`CHECKS_VERSION` of the rules that the checks were judged by."
    )
    created: str = Field(description="UTC time the checks ended, ISO 8601.")


class Timing(Values):
    """One contender of `aat bench`: what it is, and its seconds in each round."""

    name: str = Field(description="What is timed.")
    kind: Literal["ours", "instead", "curve", "record"] = Field(
        description="An epoch of ours; of what one would write or install instead; a robustness curve; a commit."
    )
    config: dict[str, Any] = Field(description="The settings, as far as they matter.")
    seconds: tuple[float, ...] = Field(description="Wall seconds of each round.")
    phases: dict[str, float] = Field(description="Median seconds of each phase of an epoch.")
    peak_bytes: int | None = Field(description="Most memory that the first epoch added; None where unknown.")
    flops: float | None = Field(description="Floating-point operations of an epoch, in matrix products.")
    bytes_moved: float | None = Field(description="Bytes that an epoch's operations read and write, caches aside.")
    robust_accuracy: tuple[float, ...] = Field((), description="Of a curve: what it found at each ε, shares in [0, 1].")


class Benchmark(Values):
    """What `aat bench` measured in one process, contenders interleaved in each round."""

    dataset: str
    num_train: int = Field(description="T: samples of an epoch.")
    num_attacked: int = Field(description="Images of the robustness curves.")
    model: str
    rounds: int = Field(description="Timed rounds, after the warm-up.")
    device: str
    cpu: str = Field(description="The processor's name.")
    num_threads: int = Field(description="CPU threads of torch.")
    versions: dict[str, str] = Field(description="Versions of aat-explore, torch, Python and the libraries compared.")
    created: str = Field(description="UTC, ISO 8601.")
    matrix_flops: float = Field(description="Measured FLOP/s of a matrix product: bfloat16 on CUDA, else float32.")
    copy_bytes: float = Field(description="Measured bytes a second, read and written, of a large copy.")
    timings: tuple[Timing, ...]
    left_out: dict[str, str] = Field(description="Contenders that could not be had, and why.")


class ScoringEpoch(Values):
    """One epoch's distribution against that of the paper's scores, taken of the same network."""

    epoch: int = Field(description="Epoch, counted from 1.")
    rank_correlation: float = Field(description="Spearman's ρ of the two distributions; 0 for a constant one.")
    total_variation: float = Field(description="Half their absolute difference, 0 to 1.")
    overlap: float = Field(description="Share of n in common between a draw from each, mean of eight pairs.")
    overlap_exact: float = Field(description="The same between two draws from the paper's own: what can be reached.")


class ScoringRun(Values):
    """How near one way of scoring came to the paper's, and where the training ended."""

    scoring: str = Field(description="The way of scoring, in words.")
    config: dict[str, Any] = Field(description="The run's settings.")
    clean_accuracy: float = Field(description="On test images after the last epoch, in [0, 1].")
    robust_accuracy: float = Field(description="The same under PGD-40 at the training ε.")
    epochs: tuple[ScoringEpoch, ...]


class ScoringReport(Values):
    """What `aat fidelity` found: several ways of scoring, attacks and seeds."""

    dataset: str
    num_train: int = Field(description="T.")
    num_test: int = Field(description="Test images.")
    device: str
    num_threads: int
    versions: dict[str, str]
    created: str = Field(description="UTC, ISO 8601.")
    runs: tuple[ScoringRun, ...]
