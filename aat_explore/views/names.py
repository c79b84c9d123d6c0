"""Names of runs for people: `Fashion-MNIST · n 1,000 · Norm · PGD-7 ε 0.1 · seed 0`.

A list of runs is named by what tells its runs apart, always in this order: data set, n, norm, attack with ε, other
settings, seed. Ids stay what files, links and commands use.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aat_explore.budgets import epsilon_text
from aat_explore.config import RunConfig
from aat_explore.presets import PRESETS, preset_of
from aat_explore.readings import BOOKKEEPING
from aat_explore.scores import PAPERS_SCORE
from aat_explore.views.recipes import norm_name

SEPARATOR = " · "
DATASETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "fashion-mini": "Fashion-mini", "cifar10": "CIFAR10"}
IN_PARTS = {
    "dataset",
    "num_perturbed",
    "norm_power",
    "score",
    "attack",
    "epsilon",
    "seed",
}  # see `name_parts`


def dataset_name(name: str) -> str:
    """A data set's name as papers write it; a custom one's name is its folder's."""
    return DATASETS.get(name, name)


def n_name(num_perturbed: int | str) -> str:
    """`n 1,000`, `n all` or, for n = 0, what that is: `standard training`."""
    if num_perturbed == 0:
        return "standard training"
    return f"n {num_perturbed}" if isinstance(num_perturbed, str) else f"n {num_perturbed:,}"


def name_parts(config: RunConfig) -> dict[str, str]:
    """The parts of a run's name in order; those that mean nothing for it (the norm of n = all) are left out."""
    named = {"dataset": dataset_name(config.dataset), "n": n_name(config.num_perturbed)}
    if config.samples:
        named["norm"] = norm_name(config.norm_power, config.canonical().score)
    if config.num_perturbed != 0:
        named["attack"] = f"{config.resolved_attack.name} ε {epsilon_text(config.epsilon)}"
    return named


def full_name(config: RunConfig) -> str:
    """One run's name with all its usual parts, and the settings that differ from its data set's preset."""
    base = PRESETS[preset_of(config.dataset)]
    other = {name: value for name, value in _others(config).items() if value != _others(base).get(name)}
    other.pop("epochs", None)
    return SEPARATOR.join([*name_parts(config).values(), *_worded(other), f"seed {config.seed}"])


def settings_name(config: RunConfig) -> str:
    """What the runs of one recipe share: attack with ε, score, settings that differ from the preset's, epochs."""
    base, canonical = PRESETS[preset_of(config.dataset)], config.canonical()
    other = {name: value for name, value in _others(config).items() if value != _others(base).get(name)}
    other = {name: value for name, value in other.items() if name not in ("epochs", "epsilon")}
    attack = name_parts(config).get("attack", n_name(0))
    score = [] if not config.samples or canonical.score == PAPERS_SCORE else [f"score {canonical.score}"]
    return SEPARATOR.join([attack, *score, *_worded(other), f"{config.epochs} epochs"])


def names(configs: Mapping[str, RunConfig]) -> dict[str, str]:
    """Run id → name, unique among these runs: n and norm, and every other part in which the runs differ.

    Runs equal in all of them (renamed copies) are told apart by the end of their id.
    """
    named = {run_id: name_parts(config) for run_id, config in configs.items()}
    shared = {
        part
        for part in ("dataset", "attack")
        if len({of_run[part] for of_run in named.values() if part in of_run}) == 1 and len(named) > 1
    }
    short = {run_id: [text for part, text in of_run.items() if part not in shared] for run_id, of_run in named.items()}
    others = _apart(configs, short)
    several_seeds = len({config.seed for config in configs.values()}) > 1 or len(configs) == 1
    worded = {
        run_id: SEPARATOR.join([*short[run_id], *others[run_id], *([f"seed {config.seed}"] if several_seeds else [])])
        for run_id, config in configs.items()
    }
    taken = list(worded.values())
    return {
        run_id: name if taken.count(name) == 1 else f"{name}{SEPARATOR}{run_id.rsplit('-', 1)[-1]}"
        for run_id, name in worded.items()
    }


def matches(query: str, text: str) -> bool:
    """Whether every word of `query` occurs in `text`, in any order, whatever its case, commas and hyphens."""
    flat = _flat(text)
    return all(_flat(word) in flat for word in query.split())


def _flat(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum() or character == ".")


def _others(config: RunConfig) -> dict[str, Any]:
    """The settings that `name_parts` does not word, as far as they mean something for the run."""
    canonical = config.canonical()
    left_out = (IN_PARTS | set(BOOKKEEPING)) - ({"epsilon"} if config.num_perturbed == 0 else set())
    return {name: getattr(canonical, name) for name in RunConfig.model_fields if name not in left_out}


def _apart(configs: Mapping[str, RunConfig], short: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """For each run the other settings in which it differs from a run with the same parts."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for run_id, of_run in short.items():
        groups.setdefault(tuple(of_run), []).append(run_id)
    apart: dict[str, list[str]] = {}
    for members in groups.values():
        settings = {run_id: _others(configs[run_id]) for run_id in members}
        differing = [
            name for name in settings[members[0]] if len({repr(of_run.get(name)) for of_run in settings.values()}) > 1
        ]
        for run_id in members:
            apart[run_id] = _worded({name: settings[run_id][name] for name in differing})
    return apart


def _worded(settings: Mapping[str, Any]) -> list[str]:
    return [_setting(name, value) for name, value in settings.items()]


def _setting(name: str, value: Any) -> str:
    """`lr 0.01`, `30 epochs`, `on-the-fly`: values that speak for themselves go without their field's name."""
    if name == "epochs":
        return f"{value} epochs"
    if name == "epsilon":
        return f"ε {value:.3g}"
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return name.replace("_", " ") if value else f"no {name.replace('_', ' ')}"
    if isinstance(value, tuple):
        return f"{name.replace('_', ' ')} {', '.join(map(str, value)) or 'none'}"
    return f"{name.replace('_', ' ')} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
