"""Names of attacks and settings, and with them the answer to: which runs may stand in one curve?

Runs that differ in seed alone are repetitions. Runs that differ in data set, n or norm power besides are the points of
one figure, if they share the rest: their recipe. The baselines need less of it: n = all has no sampling settings, n = 0
no attack either, and so one standard-training run is the baseline of every recipe with its optimiser and epochs. A
uniform draw has no score, and is the control of every one.
"""

from dataclasses import astuple, dataclass

from aat_explore.config import AttackConfig, ResolvedAttack, RunConfig
from aat_explore.presets import PRESETS, preset_of
from aat_explore.readings import BOOKKEEPING
from aat_explore.records import Evaluation

AXES = {"dataset", "num_perturbed", "norm_power", "seed"}
SAMPLING = ("scoring", "score_every", "replacement")
PERTURBATION = ("perturbing_network", "drawn_samples", "warmup_epochs")
NAMED = {"epsilon", "attack", "epochs", "model"}  # always said, in their own words
USUAL_TEST = {"norm": "linf", "loss": "cross-entropy", "counts": "worst iterate"}  # said only where it differs
USUAL_OF_KIND = {"fgsm": {"counts": "perturbed image"}, "autoattack": {"version": "standard"}}
USUAL_OF_KIND |= {kind: {"counts": "last iterate"} for kind in ("weak-pgd", "transfer")}
TEST_NAMES = {"fgsm": "FGSM", "autoattack": "AutoAttack", "weak-pgd": "weak PGD", "transfer": "transferred PGD"}
WEAK_TESTS = ("fgsm", "weak-pgd", "transfer")  # kinds that prove nothing alone
WORST_CASE = "worst case"  # kind of what several attacks leave together
NORM_NAMES = {1.0: "Norm", 2.0: "Squared Norm"}
PAPERS_SCORE = "gradient-norm"


@dataclass(frozen=True)
class Recipe:
    """All settings but data set, n, norm power and seed, in words; None where a run has no such settings."""

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
    """The recipe of a run; settings at the value of the data set's preset are not mentioned."""
    usual = PRESETS[preset_of(config.dataset)]

    def unusual(fields: tuple[str, ...]) -> list[str]:
        return [f"{name} {getattr(config, name)}" for name in fields if getattr(config, name) != getattr(usual, name)]

    rest = set(RunConfig.model_fields) - AXES - set(BOOKKEEPING) - NAMED - set(SAMPLING) - set(PERTURBATION) - {"score"}
    standard = ", ".join([config.model, f"{config.epochs} epochs", *unusual(tuple(sorted(rest)))])
    if config.num_perturbed == 0:
        return Recipe(standard)
    attack = f"{attack_name(config.resolved_attack)} at ε = {config.epsilon:g}"
    perturbation = ", ".join([attack, *unusual(PERTURBATION)])
    if not config.samples:
        return Recipe(standard, perturbation)
    score = config.score if config.norm_power else None
    return Recipe(standard, perturbation, ", ".join(unusual(SAMPLING)), score)


def norm_name(power: float, score: str | None = None) -> str:
    """What p is made from: the paper's Norm and Squared Norm, else the score and its power; Uniform for power 0."""
    if power == 0:
        return "Uniform"
    if score in (None, PAPERS_SCORE):
        return NORM_NAMES.get(power, f"Norm^{power:g}")
    return score if power == 1 else f"{score}^{power:g}"


def attack_name(attack: ResolvedAttack) -> str:
    """A training attack without its ε, e.g. `FGSM`, `PGD-10`, with whatever is not usual in brackets."""
    pgd = attack.kind == "pgd"
    usual = AttackConfig(kind=attack.kind, steps=attack.steps, random_start=attack.random_start).resolve(attack.epsilon)
    details = [
        *(["no random start"] if pgd and not attack.random_start else []),
        *([f"step {attack.step_size:g}"] if attack.step_size != usual.step_size else []),
        *([f"{attack.label} label"] if attack.label != "true" else []),
    ]
    name = f"PGD-{attack.steps}" if pgd else "random-start FGSM" if attack.random_start else "FGSM"
    return _bracketed(name, details)


def when_perturbed(config: RunConfig) -> str:
    """When the x′ of a run are made and by which network, to follow `x′ is made`."""
    if config.perturbing_network == "epoch-start":
        return "once an epoch by the epoch-start network"
    return "in each batch by the current network"


def as_seen(config: RunConfig) -> str:
    """How the network that made x′ saw the images it was asked about, to follow `by the network that made x′`."""
    augmented = config.augment and config.perturbing_network == "on-the-fly"
    return ", of the images as augmented" if augmented else ""


def evaluation_name(evaluation: Evaluation) -> str:
    """The attack of an evaluation and the images it was tried on, e.g. `PGD-40, 2,000 test images`."""
    return f"{attack_of(evaluation)}, {evaluation.num_images:,} {evaluation.split} images"


def attack_of(evaluation: Evaluation) -> str:
    """The attack of an evaluation, e.g. `PGD-40`, with whatever is not usual in brackets."""
    attack = dict(evaluation.attack)
    kind, steps = str(attack.pop("kind", "unknown attack")), attack.pop("steps", None)
    if kind == WORST_CASE:
        return f"worst of {attack.get('of')}"
    step_size, restarts = attack.pop("step_size", None), attack.pop("restarts", 1)
    random_start = attack.pop("random_start", True)
    usual = USUAL_TEST | USUAL_OF_KIND.get(kind, {})
    details = [
        *([f"step {step_size:g}"] if isinstance(step_size, int | float) else []),
        *([f"{restarts} restarts"] if restarts != 1 else []),
        *(["no random start"] if random_start is False else []),
        *(["nested"] if attack.pop("curve", None) == "nested" else []),
        *(f"{name} {value}" for name, value in attack.items() if value != usual.get(name)),
    ]
    known = TEST_NAMES.get(kind, kind.upper())
    return _bracketed(known if steps is None else f"{known}-{steps}", details)


def _bracketed(name: str, details: list[str]) -> str:
    return f"{name} ({', '.join(details)})" if details else name
