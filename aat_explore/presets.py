"""Named configs: each data set's defaults, and its settings under each reading.

`readings` explains letter, paper, small, frontier and fast.
"""

from typing import Any

from aat_explore.config import AttackConfig, RunConfig, checked_config
from aat_explore.dataset_specs import FASHION_MINI, SPECS, DatasetSpec, Reading
from aat_explore.errors import AATError

_MIXED: dict[str, Any] = {"perturbing_network": "on-the-fly", "drawn_samples": "half"}
_SMALL: dict[str, Any] = {"model": "StdCNN", "optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "lr_milestones": ()}
_ROBUST: dict[str, Any] = {
    "perturbing_network": "on-the-fly",
    "attack": AttackConfig(kind="pgd", steps=7),
    "epsilon": 0.1,
}
_FAST: dict[str, Any] = _ROBUST | {"attack": AttackConfig(random_start=True)}
_READINGS: dict[Reading, dict[str, Any]] = {
    "letter": {"epochs": 100},
    "paper": {"epochs": 100, **_MIXED},
    "small": {"epochs": 30, **_SMALL, **_MIXED},
    "frontier": {"epochs": 30, **_ROBUST},
    "fast": {"epochs": 30, **_FAST},
}


def _config(spec: DatasetSpec, reading: Reading) -> RunConfig:
    of_data = {"dataset": spec.name, "epsilon": spec.epsilon, **spec.training}
    return RunConfig(**{**of_data, **_READINGS[reading], **spec.readings[reading]})


# The first preset of a data set is what --dataset alone implies.
PRESETS: dict[str, RunConfig] = {
    "mini": RunConfig(),
    **{
        f"{reading}-{spec.short_name or spec.name}": _config(spec, reading)
        for reading in _READINGS
        for spec in (FASHION_MINI, *SPECS.values())
        if reading in spec.readings
    },
}


def preset(name: str, **overrides: Any) -> RunConfig:
    """Return the preset `name` with some fields replaced; AATError names an unknown preset or field."""
    if name not in PRESETS:
        raise AATError(f"preset={name} is unknown; choose one of {', '.join(PRESETS)}")
    return checked_config(PRESETS[name].model_dump() | overrides)


def preset_of(dataset: str) -> str:
    """Return the default preset of a data set, so that `--dataset cifar10` alone means ResNet18 and ε = 0.02."""
    return next((name for name, config in PRESETS.items() if config.dataset == dataset), "mini")


def flat(config: RunConfig) -> dict[str, Any]:
    """Every field by name, those of the attack as `attack.kind` and so on."""
    fields: dict[str, Any] = {}
    for name, value in config:
        fields |= {f"attack.{part}": of_attack for part, of_attack in value} if name == "attack" else {name: value}
    return fields
