"""A run's config: every setting that changes its result, and the readable, unique name made from them.

Each field is tagged *paper* (stated in Kamath, Deshpande, Subrahmanyam 2019) or *ours* (the paper leaves it open).
What only changes speed (device, threads) is an argument of `experiment.train`, not a field here.
"""

import hashlib
import json
import re
from dataclasses import asdict
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from aat_explore import attacks, scores
from aat_explore.attacks import REGISTRY as ATTACKS
from aat_explore.attacks import Label, Options, ResolvedAttack, checked_options, is_place, resolved, spec_of
from aat_explore.budgets import FRACTION, number
from aat_explore.dataset_specs import SPECS, epsilon_grid
from aat_explore.errors import AATError
from aat_explore.robustness_tests import REGISTRY as ROBUSTNESS_TESTS
from aat_explore.robustness_tests import weak_tests
from aat_explore.scores import PAPERS_SCORE, SCORES

RUN_ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

NETWORKS = ("StdCNN", "ResNet18")  # the paper's; others are package.module:Name

Precision = Literal["float32", "bfloat16"]
EpochAsked = int | Literal["best"] | None  # of a run: its best epoch whose weights are kept; None: its last


class Values(BaseModel):
    """A frozen value that rejects unknown fields; only `store.reading` ignores them, in files of the cache."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, fields: Any, info: ValidationInfo) -> Any:
        """Accept the old names of fields, which only `store.reading` passes as context."""
        names = info.context[cls] if info.context and cls in info.context else {}
        if not names or not isinstance(fields, dict):
            return fields
        return {names.get(name, name): value for name, value in fields.items() if names.get(name) not in fields}

    @field_validator("*", mode="after")
    @classmethod
    def _no_negative_zero(cls, value: Any) -> Any:
        """Turn -0.0 into 0.0, so that equal configs have one digest."""
        return value + 0.0 if isinstance(value, float) else value


class Settings(Values):
    """Values that people write; records of the cache, read by the thousand, do without these checks."""

    @field_validator("*", mode="before")
    @classmethod
    def _fractions(cls, value: Any, info: ValidationInfo) -> Any:
        """Accept 8/255, as a text, where a number is asked for."""
        if "float" not in str(cls.model_fields[str(info.field_name)].annotation):
            return value
        return [_number(part) for part in value] if isinstance(value, list | tuple) else _number(value)

    @field_validator("*", mode="after")
    @classmethod
    def _text(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse half of a surrogate pair, which stands for no character and is in no file."""
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError(f"{info.field_name}={value!r} is no text; write it in UTF-8") from None
        return value


def _number(value: Any) -> Any:
    return number(value) if isinstance(value, str) and FRACTION.fullmatch(value) else value


Model = TypeVar("Model", bound=Values)


class AttackConfig(Settings):
    """The attack A of Algorithm 1; fields left at None take the attack's default, see `attacks.REGISTRY`."""

    kind: str = Field(
        "fgsm",
        description=f"[paper] fgsm in the main results, pgd in the appendix; or (ours) {attacks.others()}, or "
        "package.module:function, a custom attack.",
    )
    steps: int | None = Field(
        None, ge=1, description=f"[ours] Steps; None = {attacks.usual_steps()}. Other attacks take one."
    )
    step_size: float | None = Field(
        None, gt=0, description=f"[ours] Pixel units; None = the attack's own ({attacks.usual_step_sizes()})."
    )
    random_start: bool | None = Field(
        None, description=f"[ours] Start uniformly in the ε-ball; None = {attacks.usual_starts()}."
    )
    label: Label = Field(
        "true",
        description="[ours] Label whose loss is maximised; `predicted` avoids label leaking (Kurakin et al. 2017).",
    )
    options: Options = Field(
        (),
        description=f"[ours] Further settings by name: {attacks.usual_options()}; or a custom attack's arguments.",
    )

    @field_validator("kind")
    @classmethod
    def _registered_or_custom(cls, value: str) -> str:
        return spec_of(value).kind

    @field_validator("options", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Options:
        return checked_options(value)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        spec = spec_of(self.kind)
        refusal = spec.refusal(self.steps, self.step_size, self.random_start) or spec.refused_options(self.options)
        if refusal:
            raise ValueError(refusal)
        return self

    def resolve(self, epsilon: float) -> ResolvedAttack:
        """Return the attack at budget `epsilon` with every default filled in."""
        return resolved(epsilon=epsilon, **{name: getattr(self, name) for name in AttackConfig.model_fields})


class RunConfig(Settings):
    """Everything that determines one training run of Algorithm 1."""

    dataset: str = Field(
        "fashion-mini",
        description=f"[paper] fashion-mini (ours), {', '.join(SPECS)}; or custom images (ours): a folder, or the "
        "name they were added under.",
    )
    model: str = Field(
        "StdCNN",
        description="[paper] StdCNN; ResNet18 for CIFAR10; or package.module:Name (ours), a custom network from pixels "
        "in [0, 1] to logits.",
    )
    num_perturbed: int | Literal["all"] = Field(
        1000,
        description="[paper] n, samples perturbed per epoch; 0 is standard training, all perturbs every sample.",
    )
    norm_power: float = Field(
        1.0, ge=0, description="[paper] p ∝ ‖∇ₓJ‖₂^k: 1 is Norm, 2 is Squared Norm; 0 is the uniform control (ours)."
    )
    score: str = Field(
        PAPERS_SCORE,
        description=f"[paper] p ∝ score^norm_power: {scores.of_the_paper()}; or (ours) {scores.others()}; or "
        "package.module:function.",
    )
    scoring: Literal["epoch-start", "carry-over"] = Field(
        "epoch-start",
        description="[paper] One pass over all T with the epoch-start network, eval mode, un-augmented; or carry-over "
        "(ours): norms collected during the previous epoch's training steps, almost free.",
    )
    score_every: int = Field(1, ge=1, description="[ours] Score every k-th epoch and reuse the scores in between.")
    replacement: bool = Field(False, description="[ours] Draw K with replacement (duplicates are perturbed once).")
    perturbing_network: Literal["epoch-start", "on-the-fly"] = Field(
        "epoch-start",
        description="[ours] Network that x′ is made for: that of the epoch's start, or the current one in each batch "
        "(Madry et al.).",
    )
    drawn_samples: Literal["replace", "add", "half"] = Field(
        "replace", description="[ours] x′ replaces x; or x is kept too (add); or their losses are averaged (half)."
    )
    warmup_epochs: int = Field(0, ge=0, description="[ours] Epochs of standard training at the start.")
    epsilon: float = Field(0.3, ge=0, le=1, description="[paper] ℓ∞ budget in pixel units: 0.3, or 0.02 for CIFAR10.")
    attack: AttackConfig = Field(default_factory=AttackConfig, description="[paper] The attack A of Algorithm 1.")
    epochs: int = Field(10, ge=1, le=9999, description="[paper] 100 in the paper's figures.")
    batch_size: int = Field(128, ge=1, description="[ours] Samples per optimiser step.")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="[ours] Adam, or SGD with momentum.")
    lr: float = Field(1e-3, gt=0, description="[ours] Initial learning rate.")
    momentum: float = Field(0.9, ge=0, lt=1, description="[ours] SGD's momentum; Adam ignores it.")
    weight_decay: float = Field(0.0, ge=0, description="[ours] L2 penalty.")
    lr_milestones: tuple[float, ...] = Field(
        (), description="[ours] Shares of the epochs after which the learning rate is divided by 10."
    )
    dropout: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="[paper] Dropout of StdCNN, and of a custom network that takes it; ResNet18 has none.",
    )
    precision: Precision = Field(
        "float32",
        description="[ours] Of the matrix products in training steps; scoring and tests stay in float32.",
    )
    attack_precision: Precision = Field(
        "float32",
        description="[ours] Of the matrix products while x′ is made; x′ that reuses scoring's gradients is float32.",
    )
    normalize: bool = Field(
        True, description="[ours] First layer standardises by the training set's mean and deviation."
    )
    augment: bool = Field(False, description="[paper] Random crop (pad 4) and horizontal flip, for CIFAR10.")
    val_attack_steps: int = Field(10, ge=1, description="[ours] PGD steps of each epoch's quick robust accuracy.")
    val_attack_images: int = Field(1000, ge=1, description="[ours] Validation images attacked after each epoch.")
    num_recorded: int = Field(100, ge=0, description="[ours] Adversarial images saved in each epoch, to look at.")
    seed: int = Field(0, ge=0, lt=2**32, description="[ours] Seed of every random stream of the run.")

    @field_validator("model", "score")
    @classmethod
    def _built_in_or_custom(cls, value: str, info: ValidationInfo) -> str:
        built_in = NETWORKS if info.field_name == "model" else SCORES
        if value not in built_in and not is_place(value):
            raise ValueError(
                f"{info.field_name}={value!r} is none of {', '.join(built_in)}; write a custom one as "
                "package.module:name"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.num_perturbed, int) and self.num_perturbed < 0:
            raise ValueError(f"num_perturbed={self.num_perturbed} is negative; use 0 for standard training, or all")
        if self.scoring == "carry-over" and self.score_every > 1:
            raise ValueError(
                f"score_every={self.score_every} has no meaning with scoring=carry-over, which scores in every epoch; "
                "drop one of them"
            )
        if self.scoring == "carry-over" and self.score != PAPERS_SCORE:
            raise ValueError(
                f"score={self.score} is not available with scoring=carry-over, whose training steps yield gradient "
                "norms only; drop one of them"
            )
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs={self.warmup_epochs} exceeds epochs={self.epochs}; lower it")
        for share in self.lr_milestones:
            if not 0 < share < 1:
                raise ValueError(f"lr_milestones={share:g} is not a share of the epochs; use values between 0 and 1")
        return self

    @property
    def resolved_attack(self) -> ResolvedAttack:
        """The training attack at this run's ε with every default filled in."""
        return self.attack.resolve(self.epsilon)

    @property
    def reuses_scoring_gradient(self) -> bool:
        """Whether x′ is made, at no cost, from the gradients of the same epoch's scoring pass."""
        scored_by_gradient = self.samples and self.canonical().score == PAPERS_SCORE
        fresh = self.perturbing_network == "epoch-start"
        return scored_by_gradient and fresh and self.resolved_attack.reuses_scoring_gradient

    @property
    def samples(self) -> bool:
        """Whether the run draws a set K: not for n = 0 or n = all."""
        return self.num_perturbed not in (0, "all")

    def canonical(self) -> "RunConfig":
        """Reset settings that have no effect on the run to their defaults, so that a baseline is trained only once.

        n = 0 and all draw nothing, and n = 0 attacks nothing: one such run serves both panels, Norm and Squared Norm.
        A uniform draw (norm_power 0) ignores the score.
        """
        sampling = ("norm_power", "score", "scoring", "score_every", "replacement")
        perturbing = (
            "attack", "attack_precision", "perturbing_network", "drawn_samples", "warmup_epochs", "num_recorded"
        )  # fmt: skip
        of_uniform = ("score",) if self.norm_power == 0 else ()
        idle = {0: (*sampling, *perturbing), "all": sampling}.get(self.num_perturbed, of_uniform)
        default = RunConfig()
        return self.model_copy(update={name: getattr(default, name) for name in idle})

    def digest(self) -> str:
        """Hash the settings that differ from their defaults, those of the attack as resolved: 8 hex digits.

        A new field whose default keeps the old behaviour leaves the names of older runs unchanged.
        """
        config = self.canonical()
        default = asdict(AttackConfig().resolve(config.epsilon))
        attack = {name: value for name, value in asdict(config.resolved_attack).items() if value != default[name]}
        fields = config.model_dump(mode="json", exclude_defaults=True) | {"attack": attack}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def run_id(self) -> str:
        """Data set, n, norm power, attack, seed and `digest`, e.g. `mnist-n1000-p1-fgsm-s0-e6ba52ea`."""
        config = self.canonical()
        attack, digest = config.resolved_attack.slug, self.digest()
        tail = f"-n{config.num_perturbed}-p{config.norm_power:g}-{attack}-s{config.seed}-{digest}"
        head = re.sub(r"[^a-z0-9._-]+", "-", self.dataset.lower()).strip("-._") or "data"
        readable = head[: max(1, 64 - len(tail))] + tail.replace("+", "")
        return checked_run_id(readable if len(readable) <= 64 else f"{readable[:55]}-{digest}")


class EvaluationConfig(Settings):
    """A robustness test of one epoch's weights on one split: accuracy when clean, and attacked over a grid of ε."""

    attack: str = Field(
        "pgd",
        description="[paper] pgd; autoattack (ours) is the standard ensemble, by pyautoattack. No other counts by "
        f"itself: the training attacks {', '.join(kind for kind in ATTACKS if kind != 'pgd')} and "
        f"package.module:function; and, to show how robust a network can be made to look, {weak_tests()}.",
    )
    options: Options = Field((), description="[ours] Settings of a training attack by name, as in attack.options.")
    transfer_from: str | None = Field(
        None, description="[ours] For transfer: the run whose final network x′ is made for, usually n = 0."
    )
    split: Literal["test", "validation", "train"] = Field(
        "test", description="[paper] Split whose images are attacked."
    )
    epsilons: tuple[float, ...] | None = Field(
        None,
        description="[ours] Grid of ε in pixel units; None = the data set's, e.g. 0…0.4 by 0.05 for MNIST, and "
        "the training ε; 0…2 times the training ε by ¼ for sets without a grid, such as custom images; for autoattack "
        "0 and the training ε.",
    )
    curve: Literal["nested", "independent"] = Field(
        "nested",
        description="[ours] nested: an image fooled at a smaller ε is fooled at a larger one, and PGD continues from "
        "there, so that accuracy never rises with ε; independent: each ε separately (the paper's reading).",
    )
    steps: int | None = Field(None, ge=1, description="[ours] PGD steps; None = 40.")
    step_size: float | None = Field(None, gt=0, description="[ours] PGD step size in pixel units; None = 2.5 ε/steps.")
    restarts: int = Field(1, ge=1, description="[ours] PGD attempts per image, which is robust if all fail.")
    random_start: bool = Field(True, description="[ours] PGD starts uniformly in the ε-ball.")
    images: int | None = Field(None, ge=1, description="[ours] First images of the split; None = all.")
    seed: int = Field(0, ge=0, lt=2**32, description="[ours] Seed of the random starts.")

    @field_validator("attack")
    @classmethod
    def _known_or_custom(cls, value: str) -> str:
        if value not in ROBUSTNESS_TESTS and value not in ATTACKS and not is_place(value):
            known = ", ".join(dict.fromkeys([*ROBUSTNESS_TESTS, *ATTACKS]))
            raise ValueError(f"attack={value!r} is none of {known}; write a custom one as package.module:name")
        return value

    @field_validator("options", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Options:
        return checked_options(value)

    @property
    def by_training_attack(self) -> bool:
        """Whether the test is a training attack rather than one made for testing."""
        return self.attack != "pgd" and (self.attack in ATTACKS or self.attack not in ROBUSTNESS_TESTS)

    @property
    def num_steps(self) -> int:
        """Steps of PGD."""
        return self.steps or 40

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        refusal = None
        if self.by_training_attack:
            refusal = spec_of(self.attack).refused_options(self.options)
        elif self.options:
            refusal = f"options={dict(self.options)} have no meaning for attack={self.attack}; drop them"
        if refusal:
            raise ValueError(refusal)
        return self

    @model_validator(mode="after")
    def _only_pgd_has_options(self) -> Self:
        if self.attack != "pgd" and (self.steps, self.step_size, self.restarts) != (None, None, 1):
            raise ValueError(
                f"steps, step_size and restarts have no meaning for attack={self.attack}; drop them or use attack pgd"
            )
        if (self.transfer_from is None) == (self.attack == "transfer"):
            raise ValueError(
                "attack=transfer needs transfer_from, the run that x′ is made for, and no other attack takes it; "
                "give both or neither"
            )
        return self

    @model_validator(mode="after")
    def _epsilons_in_range(self) -> Self:
        for epsilon in self.epsilons or ():
            if not 0 <= epsilon <= 1:
                raise ValueError(f"epsilons={epsilon:g} is outside a pixel's range [0, 1]; use e.g. 8/255")
        return self

    def grid(self, run: RunConfig) -> tuple[float, ...]:
        """The ε grid for a run, ascending and without repeats."""
        if self.epsilons:
            return tuple(sorted(set(self.epsilons)))
        if self.attack == "autoattack":
            return tuple(sorted({0.0, run.epsilon}))  # an ε takes minutes, with PGD seconds
        return epsilon_grid(run.dataset, run.epsilon)


def checked_config(fields: dict[str, Any]) -> RunConfig:
    """Build a `RunConfig` from a mapping; AATError says in one line what is wrong."""
    return checked(RunConfig, fields)


def checked(model: type[Model], fields: dict[str, Any]) -> Model:
    """Build a value from a mapping; AATError says in one line what is wrong."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise AATError(one_line(error)) from None


def one_line(error: ValidationError) -> str:
    """Say in one line which fields of a config are wrong, what they were, and what they may be."""
    reasons: dict[str, list[str]] = {}  # by field; a union reports each of its members
    for item in error.errors():
        if item["type"] == "value_error":
            reasons[str(item["ctx"]["error"])] = []
        elif item["type"] == "missing":
            reasons[f"{'.'.join(map(str, item['loc']))} is missing"] = []
        elif item["type"] == "extra_forbidden":
            where = ".".join(map(str, item["loc"]))
            reasons[f"{where}={item['input']!r} is not a field; correct its name or drop it"] = []
        else:
            where = ".".join(str(part) for part in item["loc"] if part not in ("int", "literal['all']"))
            message = item["msg"][:1].lower() + item["msg"][1:]
            reasons.setdefault(f"{where}={item['input']!r}: ", []).append(message)
    return "; ".join(start + " or ".join(messages) for start, messages in reasons.items())


def check_num_perturbed(config: RunConfig, num_train: int) -> None:
    """Raise AATError if n exceeds the number of training samples."""
    n = config.num_perturbed
    if n != "all" and n > num_train:
        raise AATError(f'num_perturbed={n} exceeds num_train={num_train}; use "all" for full adversarial training')


def checked_run_id(run_id: str) -> str:
    """Return `run_id` if it can be a folder's name (`^[a-z0-9][a-z0-9._-]{0,63}$`); the one place that decides."""
    if not RUN_ID_PATTERN.fullmatch(run_id):
        raise AATError(f"run={run_id!r} is not a run id (a-z, 0-9, '.', '_', '-', at most 64); `aat list` shows them")
    return run_id
