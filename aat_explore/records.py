"""What a run leaves behind: one `EpochRecord` per epoch and `Evaluation`s, as plain values and numpy arrays.

This is the schema of the cache: `store` writes it, `views` reads it, and neither needs torch. How it may change:

- A new field or column has a default that is true of every earlier run, usually None; a file that lacks it, or an empty
  cell, has that default. Only a missing *required* one, which has no default, is damage.
- Unknown fields and columns, from a newer version, are ignored on reading. A trainer that resumes such a run keeps
  unknown columns, empty in its own rows. HEAD may gain only fields that every writer may drop.
- An unknown *setting* is ignored only if the run's name shows that it changes nothing: settings at their default do not
  enter `RunConfig.digest`. Any other run is refused and the setting named, because its results would be shown under
  settings that it was not trained with.
- A field or column is renamed by an entry in `RENAMED`. A setting keeps its old name in `RunConfig.digest` for ever.
- `SCHEMA_VERSION` rises when an old reader would be wrong: a field or column changes its meaning, unit or type, or a
  required one is dropped. A reader refuses versions newer than its own.
- `CHECKS_VERSION` rises when a check judges by another rule: `aat check` then repeats stored checks.

`store.reading` implements this.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from aat_explore.config import Values

SCHEMA_VERSION = 1
CHECKS_VERSION = 2  # 2: a clean accuracy near chance is a collapse, one below half a warning

Arrays = Mapping[str, np.ndarray[Any, Any]]

COST_PHASES = ("seconds_scoring", "seconds_draw", "seconds_perturb", "seconds_train")  # an epoch's cost


class EpochMetrics(Values):
    """One row of `metrics.parquet`. Accuracies are shares in [0, 1]; None where a value does not exist.

    Fields that readers calculate with are required: checks, cost and best checkpoint would be wrong without them.
    """

    epoch: int = Field(description="Epoch, counted from 1.")
    lr: float = Field(description="Learning rate during the epoch.")
    loss: float = Field(description="Mean training cross-entropy over all samples as trained on, in nats.")
    loss_drawn: float | None = Field(
        None, description="The same over perturbed samples only, in nats; None if there are none."
    )
    loss_rest: float | None = Field(
        None, description="The same over unperturbed samples, in nats; None if there are none."
    )
    clean_accuracy_val: float = Field(description="Clean accuracy on the validation split, after the epoch.")
    clean_accuracy_attacked: float = Field(
        description="Clean accuracy on the validation images that the quick FGSM and PGD attack."
    )
    fgsm_accuracy_val: float = Field(description="Robust accuracy (FGSM, training ε) on the same images.")
    robust_accuracy_val: float = Field(
        description="Robust accuracy (PGD with `val_attack_steps` steps and random start, training ε) on them."
    )
    num_drawn: int = Field(description="Distinct samples perturbed: |K|.")
    shortfall: int = Field(0, description="How many fewer than n were drawn, as too few had a non-zero probability.")
    sum_scores: float | None = Field(
        None,
        description="Sum of the scores, by default ‖∇ₓJ‖₂, over all T samples when last scored; None if never scored.",
    )
    seconds_scoring: float = Field(description="Seconds for the pass that computes the scores.")
    seconds_draw: float = Field(description="Seconds to compute the probabilities and draw.")
    seconds_perturb: float = Field(
        description="Seconds to perturb at the epoch's start (on-the-fly: part of `seconds_train`)."
    )
    seconds_train: float = Field(description="Seconds for training steps and predictions on the recorded images.")
    seconds_validate: float = Field(description="Seconds for clean, FGSM and PGD accuracy on validation.")
    seconds_record: float = Field(description="Seconds to assemble this record (not to write it).")
    device: str = Field(description="Device the epoch ran on: cpu, cuda or mps, and its name.")
    num_threads: int = Field(description="CPU threads of torch; another number changes the last bits.")


NEARLY_BEST = 0.1  # clean accuracy by which the best epoch may fall short of the highest


def best_epoch(rows: Sequence[EpochMetrics], among: Collection[int]) -> int:
    """The best of these epochs: the highest robust validation accuracy, then clean; the first of equals.

    Robust overfitting makes the last epoch a poor choice in adversarial training (Rice, Wong, Kolter 2020). Clean
    accuracy must be within `NEARLY_BEST` of the highest of all rows, because a barely trained network can be hard to
    fool by accident.
    """
    required = max(row.clean_accuracy_val for row in rows) - NEARLY_BEST
    return max(
        (row for row in rows if row.epoch in among),
        key=lambda row: (row.clean_accuracy_val >= required, row.robust_accuracy_val, row.clean_accuracy_val),
    ).epoch


@dataclass(frozen=True)
class EpochRecord:
    """Everything recorded of one epoch.

    `probabilities`: float32 (T,), row i is training image i; None when nothing was drawn (n = 0, all, warm-up).
    `drawn`: int32 (|K|,), distinct rows in the order drawn; every row when n = all.
    `x_adv`: uint8 (m, C, H, W), the perturbed images of `drawn[:m]` rounded to 1/255, to look at.
    `recorded_losses`: float32 (m, 2), cross-entropy of the true class in nats, of x and of x′ (unrounded), and
    `recorded_classes`: int32 (m, 2), the predicted classes; both by the network that x′ was made for, at that moment,
    in eval mode; on the fly, for the augmented images.
    `weights`: the network after the epoch. `training_state`: what else a trainer needs to resume.
    `scores`: by name, float (T,), finite and >= 0: what the epoch's pass over all samples computed of each, by the
    network at its start. The trainer names them loss, margin, entropy and gradient-norm, as `algorithm.scores` defines
    them, and a custom score "score"; there are none in an epoch without such a pass. They change no result.
    """

    metrics: EpochMetrics
    probabilities: np.ndarray[Any, Any] | None
    drawn: np.ndarray[Any, Any]
    x_adv: np.ndarray[Any, Any]
    recorded_losses: np.ndarray[Any, Any]
    recorded_classes: np.ndarray[Any, Any]
    weights: Arrays = field(repr=False)
    training_state: Arrays = field(repr=False)
    scores: Arrays = field(default_factory=dict, repr=False)


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
        (),
        description="Attacks tried in turn, each on the images that withstood the previous ones; () in older records.",
    )
    verdicts: str | None = Field(
        None, description="sha256 of the file with one bit per attack, ε and image; None in older records."
    )
    seed: int = Field(description="Seed of the attack's random numbers.")
    seconds: float = Field(description="Wall time of the whole evaluation.")
    model_digest: str = Field(
        description="sha256 of the weights, to tell whether two evaluations attacked the same network."
    )
    device: str = Field(description="Device and its name.")
    num_threads: int = Field(description="CPU threads of torch; another number changes the last bits.")
    versions: dict[str, str] = Field(
        description="Versions of aat-explore, torch, Python and the attack's library, if any."
    )
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
        """95% interval of each accuracy over the choice of images: `wilson_interval`."""
        return tuple(wilson_interval(count, self.num_images) for count in self.num_correct)


def wilson_interval(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a share, in [0, 1] (Wilson 1927): (p̂ + z²/2N ± z√(p̂(1−p̂)/N + z²/4N²)) / (1 + z²/N)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = count / total
    centre = share + z * z / (2 * total)
    half = z * (share * (1 - share) / total + (z / (2 * total)) ** 2) ** 0.5
    scale = 1 + z * z / total
    low = 0.0 if count == 0 else (centre - half) / scale  # exact, without rounding error
    high = 1.0 if count == total else (centre + half) / scale
    return low, high


Status = Literal["pass", "warn", "fail"]


class Check(Values):
    """One check of a network's robustness and its result, named after the trouble it looks for.

    Lists of checks show its good state instead (`views.checks.good_state`).
    """

    name: str = Field(description="Trouble looked for; `docs/checks.md` explains each.")
    status: Status = Field(description="pass, warn or fail.")
    reason: str = Field(description="What was found, in one sentence.")
    figures: dict[str, float] = Field(
        description="The numbers behind it; accuracies and shares in [0, 1]. A warning without any could not be made."
    )


NOTABLE, SERIOUS = 0.01, 0.02  # excess in shares of all images: one point is worth a look, two must not pass unflagged


def by_excess(excess: float, notable: float = 0.0, serious: float = NOTABLE) -> Status:
    """The verdict on a share that should not exceed `notable` and must not exceed `serious`."""
    return "fail" if excess > serious + 1e-9 else "warn" if excess > notable + 1e-9 else "pass"


def by_accuracy(clean: float, num_classes: int = 10) -> Status:
    """The verdict on a clean accuracy in [0, 1]: `fail` near chance, `warn` if mostly wrong.

    Ours: warn below half, or five times chance with more than ten classes; fail below half of that, or within a tenth
    of chance.
    """
    low = min(0.5, 5 / num_classes)
    return "fail" if clean < max(low / 2, 1.1 / num_classes) else "warn" if clean < low else "pass"


def _rules_by_version(fields: dict[str, Any]) -> int:
    """The rules of reports by 0.1.0 and 0.1.1, which do not state them: the first and the second."""
    return 1 if fields.get("versions", {}).get("aat-explore") == "0.1.0" else 2


class CheckReport(Values):
    """What `aat check` reports on one checkpoint, with all that is needed to repeat it."""

    epoch: int = Field(ge=1, description="Epoch whose weights were checked.")
    epsilon: float = Field(description="ε of the attacks, in pixel units.")
    num_images: int = Field(ge=1, description="First test images, and as many training images.")
    checks: tuple[Check, ...] = Field(description="In the order in which they ran.")
    seed: int = Field(description="Seed of the attacks' random numbers.")
    seconds: float = Field(description="Wall time of all checks.")
    model_digest: str = Field(description="sha256 of the weights.")
    device: str = Field(description="Device and its name.")
    num_threads: int = Field(description="CPU threads torch used.")
    versions: dict[str, str] = Field(description="Versions of aat-explore, torch, Python and pyautoattack.")
    rules: int = Field(
        default_factory=_rules_by_version,
        ge=1,
        description="`CHECKS_VERSION` of the rules that the checks were judged by.",
    )
    created: str = Field(description="UTC time the checks ended, ISO 8601.")


class Timing(Values):
    """One contender of `aat bench`: what it is, and its seconds in each round."""

    name: str = Field(description="What is timed.")
    kind: Literal["ours", "instead", "curve", "record"] = Field(
        description="An epoch of ours, or of an alternative one could write or install; a robustness curve; a commit."
    )
    config: dict[str, Any] = Field(description="The relevant settings.")
    seconds: tuple[float, ...] = Field(description="Wall-clock seconds of each round.")
    phases: dict[str, float] = Field(description="Median seconds of each phase of an epoch.")
    peak_bytes: int | None = Field(description="Most memory that the first epoch added; None where unknown.")
    flops: float | None = Field(description="Floating-point operations of an epoch, in matrix products.")
    bytes_moved: float | None = Field(description="Bytes that an epoch's operations read and write, ignoring caches.")
    robust_accuracy: tuple[float, ...] = Field(
        (), description="Of a curve: robust accuracy at each ε, shares in [0, 1]."
    )


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
    left_out: dict[str, str] = Field(description="Contenders that could not be run, and why.")


class ScoringEpoch(Values):
    """One epoch's distribution against that of the paper's scores for the same network."""

    epoch: int = Field(description="Epoch, counted from 1.")
    rank_correlation: float = Field(description="Spearman's ρ of the two distributions; 0 for a constant one.")
    total_variation: float = Field(description="Half their absolute difference, 0 to 1.")
    overlap: float = Field(description="Share of n in common between a draw from each, mean of eight pairs.")
    overlap_exact: float = Field(
        description="The same between two draws from the paper's distribution: the best possible."
    )


class ScoringRun(Values):
    """How close one way of scoring came to the paper's, and the accuracy after training."""

    scoring: str = Field(description="The way of scoring, in words.")
    config: dict[str, Any] = Field(description="The run's settings.")
    clean_accuracy: float = Field(description="On test images after the last epoch, in [0, 1].")
    robust_accuracy: float = Field(description="The same under PGD-40 at the training ε.")
    epochs: tuple[ScoringEpoch, ...]


class ScoringReport(Values):
    """What `aat fidelity` measured: several ways of scoring, attacks and seeds."""

    dataset: str
    num_train: int = Field(description="T.")
    num_test: int = Field(description="Test images.")
    device: str
    num_threads: int
    versions: dict[str, str]
    created: str = Field(description="UTC, ISO 8601.")
    runs: tuple[ScoringRun, ...]


# For each model, the old name of a field or column and its present one.
RENAMED: dict[type[Values], dict[str, str]] = {EpochMetrics: {"sum_gradient_norms": "sum_scores"}}
