"""The attacks A of Algorithm 1 as values: what is known of each without running it, and their registry.

An attack is added by its function in `algorithm/attacks/`, an `AttackSpec` in `REGISTRY`, and a test.
The command line, names, costs, evaluations, the attack lab and the notebooks read it here. A custom attack, named as
`package.module:name`, needs none of the three.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from aat_explore.errors import AATError

Label = Literal["true", "predicted"]
LARGEST = 1e15  # of an option: floats hold every integer up to here
Options = tuple[tuple[str, int | float], ...]
"""Settings beyond those that all attacks share, sorted by name."""


@dataclass(frozen=True)
class AttackSpec:
    """One attack: its equation, source, function and defaults.

    `function` is the `package.module:name` of a function of (network, images, labels) and whichever keyword arguments
    it names: epsilon, steps, step_size, random_start, generator and the `options`. `reach` gives the largest
    ‖x′ − x‖∞ in pixel units: ε for every attack that projects to the ball.
    """

    kind: str
    title: str
    source: str
    equation: str
    function: str
    step_size: Callable[[float, int, bool], float]  # α for ε, steps and random start
    step_in_words: str  # the same for the help, e.g. `2.5 ε/steps`; a second case after a comma
    steps: int | None = None  # None: always one step
    random_start: bool = False
    start_is_fixed: bool = False
    step_is_epsilon_from_image: bool = False
    follows_scoring_gradient: bool = False  # x′ = clip(x + ε·sign(∇ₓJ)), the gradient that scoring takes
    options: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    reach: Callable[["ResolvedAttack"], float] = lambda attack: attack.epsilon
    custom: bool = False

    def refusal(self, steps: int | None, step_size: float | None, random_start: bool | None) -> str | None:
        """Say in one line why the attack refuses these settings (None: its default); None if it takes them."""
        if self.custom and (steps, step_size, random_start) != (None, None, None):
            return (
                "attack.steps, attack.step_size and attack.random_start have no meaning for a custom attack; give its "
                "settings as attack.options, e.g. steps 7"
            )
        if self.steps is None and steps not in (None, 1):
            return (
                f"attack.steps={steps} has no meaning for {self.title}, which takes one; use None, or attack.kind pgd"
            )
        if self.start_is_fixed and random_start not in (None, self.random_start):
            start = "always starts at random" if self.random_start else "starts from the clean image"
            return f"attack.random_start={random_start} has no meaning for {self.title}, which {start}; drop it"
        if self.step_is_epsilon_from_image and step_size is not None and not random_start:
            return (
                f"attack.step_size={step_size:g} has no meaning for {self.title} from the clean image, whose step is "
                "ε; add attack.random_start or change epsilon"
            )
        return None

    def refused_options(self, options: Options) -> str | None:
        """Say in one line which of `options` this attack does not take; None if it takes them all."""
        if self.custom:
            return None
        for name, value in options:
            if name not in self.options:
                takes = f"it takes {', '.join(self.options)}" if self.options else "it takes none"
                return f"attack.options: {name} is not an option of {self.title}; {takes}"
            if value < 0:
                return f"attack.options: {name}={value:g} is negative; use 0 or more"
        return None


@dataclass(frozen=True)
class ResolvedAttack:
    """An ℓ∞ attack with nothing left to choose: what the engine runs and what an `Evaluation` records.

    `step_size` and `epsilon` are in pixel units of [0, 1]; `kind` "fgsm" with a random start is one PGD step.
    """

    kind: str
    epsilon: float
    steps: int
    step_size: float
    random_start: bool
    label: Label = "true"
    options: Options = ()

    @property
    def spec(self) -> AttackSpec:
        """The spec of its kind; AATError for an unknown kind."""
        return spec_of(self.kind)

    @property
    def gradients(self) -> int:
        """Input gradients per x′; for a custom attack its option `steps`, or else 1, a lower bound."""
        return max(1, int(dict(self.options).get("steps", 1))) if self.spec.custom else self.steps

    @property
    def reuses_scoring_gradient(self) -> bool:
        """Whether x′ follows from the gradient that scoring takes, ∇ₓJ(θ, x, y), without another pass."""
        return self.spec.follows_scoring_gradient and not self.random_start and self.label == "true"

    @property
    def reach(self) -> float:
        """The largest possible ‖x′ − x‖∞, in pixel units; at most 1."""
        return min(1.0, self.spec.reach(self))

    @property
    def name(self) -> str:
        """Its name without ε, e.g. `FGSM` or `PGD-10`, with settings other than the defaults in brackets."""
        spec = self.spec
        default_step = spec.step_size(self.epsilon, self.steps, self.random_start)
        details = [
            *(["no random start"] if spec.random_start and not self.random_start else []),
            *([f"step {self.step_size:g}"] if self.step_size != default_step else []),
            *(f"{name} {value:g}" for name, value in self.options if value != spec.options.get(name)),
            *([f"{self.label} label"] if self.label != "true" else []),
        ]
        name = spec.title if spec.steps is None else f"{spec.title}-{self.steps}"
        if self.random_start and not spec.random_start:
            name = f"random-start {name}"
        return f"{name} ({', '.join(details)})" if details else name

    @property
    def slug(self) -> str:
        """Its part of a run id, e.g. `fgsm`, `rs-fgsm`, `pgd10`: a-z, 0-9 and '-'."""
        spec = self.spec
        kind = self.kind.rpartition(":")[2] if spec.custom else self.kind
        start = "rs-" if self.random_start and not spec.random_start else ""
        steps = "" if spec.steps is None else str(self.steps)
        return start + (re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-") or "custom") + steps


REGISTRY: dict[str, AttackSpec] = {
    spec.kind: spec
    for spec in (
        AttackSpec(
            kind="fgsm",
            title="FGSM",
            source="Goodfellow, Shlens, Szegedy 2015; with a random start Wong, Rice, Kolter 2020",
            equation=r"x' = \mathrm{clip}\left(x + \varepsilon\,\mathrm{sign}\,\nabla_x J(\theta, x, y)\right)",
            function="aat_explore.algorithm.attacks.fgsm:fgsm",
            step_size=lambda epsilon, steps, random_start: 1.25 * epsilon if random_start else epsilon,
            step_in_words="ε, from a random start 1.25 ε",
            step_is_epsilon_from_image=True,
            follows_scoring_gradient=True,
        ),
        AttackSpec(
            kind="pgd",
            title="PGD",
            source="Madry et al. 2018",
            equation=r"x' \leftarrow \Pi_\varepsilon\left(x' + "
            r"\alpha\,\mathrm{sign}\,\nabla_{x} J(\theta, x', y)\right)",
            function="aat_explore.algorithm.attacks.pgd:pgd",
            step_size=lambda epsilon, steps, random_start: 2.5 * epsilon / steps,
            step_in_words="2.5 ε/steps",
            steps=10,
            random_start=True,
        ),
        AttackSpec(
            kind="n-fgsm",
            title="N-FGSM",
            source="de Jorge et al. 2022",
            equation=r"x' = \mathrm{clip}\left(x + \eta + \alpha\,\mathrm{sign}\,\nabla_x J(\theta, x + \eta, y)\right)"
            r",\quad \eta \sim U(-k\varepsilon, k\varepsilon)",
            function="aat_explore.algorithm.attacks.n_fgsm:n_fgsm",
            step_size=lambda epsilon, steps, random_start: epsilon,
            step_in_words="ε",
            random_start=True,
            start_is_fixed=True,
            options=MappingProxyType({"k": 2.0}),
            reach=lambda attack: dict(attack.options)["k"] * attack.epsilon + attack.step_size,
        ),
        AttackSpec(
            kind="mi-fgsm",
            title="MI-FGSM",
            source="Dong et al. 2018",
            equation=r"g \leftarrow \mu g + \frac{\nabla_x J(\theta, x', y)}{\|\nabla_x J(\theta, x', y)\|_1},\quad "
            r"x' \leftarrow \Pi_\varepsilon\left(x' + \alpha\,\mathrm{sign}\,g\right)",
            function="aat_explore.algorithm.attacks.mi_fgsm:mi_fgsm",
            step_size=lambda epsilon, steps, random_start: epsilon / steps,
            step_in_words="ε/steps",
            steps=10,
            start_is_fixed=True,
            options=MappingProxyType({"decay": 1.0}),
        ),
    )
}


PAPERS_ATTACKS = ("fgsm", "pgd")


def others() -> str:
    """The kinds that the paper does not use, for the help: `n-fgsm, mi-fgsm`."""
    return ", ".join(kind for kind in REGISTRY if kind not in PAPERS_ATTACKS)


def usual_steps() -> str:
    """The default steps of each attack that takes several, for the help: `10 for pgd; 10 for mi-fgsm`."""
    return "; ".join(f"{spec.steps} for {kind}" for kind, spec in REGISTRY.items() if spec.steps is not None)


def usual_step_sizes() -> str:
    """The default step size of each attack, for the help."""
    return "; ".join(f"{kind}: {spec.step_in_words}" for kind, spec in REGISTRY.items())


def usual_starts() -> str:
    """Where each attack starts that leaves the choice, for the help: `no for fgsm; yes for pgd`."""
    free = {kind: spec.random_start for kind, spec in REGISTRY.items() if not spec.start_is_fixed}
    return "; ".join(f"{'yes' if random_start else 'no'} for {kind}" for kind, random_start in free.items())


def usual_options() -> str:
    """The options of each attack with their defaults, for the help: `k of n-fgsm (2)`."""
    return "; ".join(
        f"{name} of {kind} ({value:g})" for kind, spec in REGISTRY.items() for name, value in spec.options.items()
    )


def is_place(text: str) -> bool:
    """Whether `text` has the form `package.module:name`, which names a custom part."""
    module, _, name = text.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), name))


def spec_of(kind: str) -> AttackSpec:
    """Return the registered attack, or a spec of the custom one at `package.module:name`; AATError for neither."""
    if kind in REGISTRY:
        return REGISTRY[kind]
    if not is_place(kind):
        raise AATError(
            f"attack.kind={kind!r} is none of {', '.join(REGISTRY)}; write a custom one as package.module:name"
        )
    return AttackSpec(
        kind=kind,
        title=kind.rpartition(":")[2],
        source=kind,
        equation=r"x' = A(\theta, x, y)",
        function=kind,
        step_size=lambda epsilon, steps, random_start: epsilon,
        step_in_words="",
        custom=True,
    )


def resolved(
    kind: str,
    epsilon: float,
    *,
    steps: int | None = None,
    step_size: float | None = None,
    random_start: bool | None = None,
    label: Label = "true",
    options: Options = (),
) -> ResolvedAttack:
    """Return the attack with its default for whatever is None or omitted; AATError for an unknown kind."""
    spec = spec_of(kind)
    start = spec.random_start if random_start is None else random_start
    count = 1 if spec.steps is None else steps or spec.steps
    alpha = step_size or spec.step_size(epsilon, count, start)
    filled = checked_options(dict(spec.options) | dict(options))
    return ResolvedAttack(kind, epsilon, count, alpha, start, label, filled)


def checked_options(options: object) -> Options:
    """Return options given as a mapping or as pairs, sorted by name; ValueError for anything else.

    Whole numbers become ints, so that equal options give equal run ids.
    """
    pairs = options.items() if isinstance(options, Mapping) else options
    if not isinstance(pairs, Iterable) or isinstance(pairs, str):
        raise ValueError(f"attack.options={options!r} is not a list of names and numbers; write e.g. k 2")
    numbers: dict[str, int | float] = {}
    for pair in pairs:
        name, value = pair if isinstance(pair, tuple | list) and len(pair) == 2 else (pair, None)
        if not str(name).isidentifier() or name in numbers:
            raise ValueError(f"attack.options: {name!r} is not a name, or is given twice; write e.g. k 2")
        numbers[str(name)] = _number(str(name), value)
    return tuple(sorted(numbers.items()))


def _number(name: str, value: object) -> int | float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) <= LARGEST:
        raise ValueError(f"attack.options: {name}={value!r} is not a number up to {LARGEST:g}; write e.g. {name} 2")
    return int(number) if number.is_integer() else number
