"""Names of attacks and settings, and recipes, which decide which runs may share a curve.

Runs that differ only in the seed are repetitions. Runs that also differ in data set, n or norm power are points of one
figure if they share all other settings: their recipe. Baselines have fewer settings: n = all has no sampling, n = 0 no
attack either, so one standard-training run is the baseline of every recipe with its optimiser and epochs. A uniform
draw uses no score, and is the control of every score.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any, assert_never

from aat_explore.attacks import REGISTRY as ATTACKS
from aat_explore.budgets import epsilon_text
from aat_explore.config import RunConfig
from aat_explore.errors import AATError
from aat_explore.presets import PRESETS, preset_of
from aat_explore.readings import BOOKKEEPING
from aat_explore.records import Evaluation
from aat_explore.robustness_tests import REGISTRY as ROBUSTNESS_TESTS
from aat_explore.robustness_tests import WORST_CASE, robustness_test
from aat_explore.scores import PAPERS_SCORE

AXES = {"dataset", "num_perturbed", "norm_power", "seed"}
SAMPLING = ("scoring", "score_every", "replacement")
PERTURBATION = ("perturbing_network", "drawn_samples", "warmup_epochs")
NAMED = {"epsilon", "attack", "epochs", "model"}  # always part of the name, in a wording of their own
DEFAULT_TEST = {"norm": "linf", "loss": "cross-entropy", "counts": "worst iterate"}  # named only where it differs
NORM_NAMES = {1.0: "Norm", 2.0: "Squared Norm"}


@dataclass(frozen=True)
class Recipe:
    """All settings except data set, n, norm power and seed, as text; None where a run has no such settings."""

    standard: str
    perturbation: str | None = None
    sampling: str | None = None
    score: str | None = None

    def __str__(self) -> str:
        score = None if self.score in (None, PAPERS_SCORE) else f"score {self.score}"
        return "; ".join(part for part in (self.perturbation, self.sampling, score, self.standard) if part)

    def covers(self, other: "Recipe") -> bool:
        """Whether a run of recipe `other` belongs to a figure of this one."""
        return all(theirs in (None, ours) for ours, theirs in zip(astuple(self), astuple(other), strict=True))


def recipe(config: RunConfig) -> Recipe:
    """The recipe of a run; it omits settings that equal those of the data set's preset."""
    defaults = PRESETS[preset_of(config.dataset)]

    def changed(fields: tuple[str, ...]) -> list[str]:
        return [
            f"{name} {getattr(config, name)}" for name in fields if getattr(config, name) != getattr(defaults, name)
        ]

    rest = set(RunConfig.model_fields) - AXES - set(BOOKKEEPING) - NAMED - set(SAMPLING) - set(PERTURBATION) - {"score"}
    standard = ", ".join([config.model, f"{config.epochs} epochs", *changed(tuple(sorted(rest)))])
    if config.num_perturbed == 0:
        return Recipe(standard)
    attack = f"{config.resolved_attack.name} at ε = {epsilon_text(config.epsilon)}"
    perturbation = ", ".join([attack, *changed(PERTURBATION)])
    if not config.samples:
        return Recipe(standard, perturbation)
    score = config.score if config.norm_power else None
    return Recipe(standard, perturbation, ", ".join(changed(SAMPLING)), score)


def norm_name(power: float, score: str | None = None) -> str:
    """The basis of p: the paper's Norm or Squared Norm, else the score and its power; Uniform for power 0."""
    if power == 0:
        return "Uniform"
    if score in (None, PAPERS_SCORE):
        return NORM_NAMES.get(power, f"Norm^{power:g}")
    return score if power == 1 else f"{score}^{power:g}"


def when_perturbed(config: RunConfig) -> str:
    """When a run's x′ are made and by which network, as the continuation of `x′ is made`."""
    match config.perturbing_network:
        case "epoch-start":
            return "once per epoch by the epoch-start network"
        case "on-the-fly":
            return "in each batch by the current network"
        case _:
            assert_never(config.perturbing_network)


def as_seen(config: RunConfig) -> str:
    """How the network that made x′ saw the images, as the continuation of `by the network that made x′`."""
    augmented = config.augment and config.perturbing_network == "on-the-fly"
    return ", of the images as augmented" if augmented else ""


def evaluation_name(evaluation: Evaluation) -> str:
    """The attack of an evaluation and its images, e.g. `PGD-40, 2,000 test images`."""
    return f"{attack_of(evaluation)}, {evaluation.num_images:,} {evaluation.split} images"


def attack_of(evaluation: Evaluation) -> str:
    """The attack of an evaluation, e.g. `PGD-40`, with non-default options in brackets."""
    return name_of_test(evaluation.attack)


def title_of_test(description: Mapping[str, Any]) -> str:
    """The title of a test by its recorded description, e.g. `FGSM`, with the number of steps if it has steps."""
    title, steps = _known(str(description.get("kind")))[0], description.get("steps")
    return title if steps is None else f"{title}-{steps}"


def name_of_test(description: Mapping[str, Any]) -> str:
    """`title_of_test`, with non-default options in brackets."""
    attack = dict(description)
    kind, steps = str(attack.pop("kind", "unknown attack")), attack.pop("steps", None)
    if kind == WORST_CASE:
        return f"worst of {attack.get('of')}"
    step_size, restarts = attack.pop("step_size", None), attack.pop("restarts", 1)
    random_start = attack.pop("random_start", True)
    title, defaults = _known(kind)
    details = [
        *([f"step {step_size:g}"] if isinstance(step_size, int | float) else []),
        *([f"{restarts} restarts"] if restarts != 1 else []),
        *(["no random start"] if random_start is False else []),
        *(["nested"] if attack.pop("curve", None) == "nested" else []),
        *(f"{name} {value}" for name, value in attack.items() if value != defaults.get(name)),
    ]
    name = title if steps is None else f"{title}-{steps}"
    return f"{name} ({', '.join(details)})" if details else name


def _known(kind: str) -> tuple[str, dict[str, Any]]:
    """The title and the default options of a test; records may name tests that this version lacks."""
    try:
        test = robustness_test(kind)
    except AATError:
        return kind.upper(), DEFAULT_TEST
    options = dict(ATTACKS[kind].options) if kind in ATTACKS else {}
    return test.title, DEFAULT_TEST | dict(test.usual) | options


def joins_worst_case(evaluation: Evaluation) -> bool:
    """Whether its test joins the worst case over attacks; tests known to be weak do not."""
    try:
        return robustness_test(str(evaluation.attack.get("kind"))).joins
    except AATError:
        return True


def stands_alone(evaluation: Evaluation) -> bool:
    """Whether its test is strong enough to stand for robust accuracy; the worst case over attacks is."""
    kind = str(evaluation.attack.get("kind"))
    return kind == WORST_CASE or (kind in ROBUSTNESS_TESTS and ROBUSTNESS_TESTS[kind].alone)
