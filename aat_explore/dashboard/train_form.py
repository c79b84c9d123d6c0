"""The form of the Train page, made from `RunConfig`, and its settings in the URL."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic import BaseModel

from aat_explore import datasets
from aat_explore.attacks import REGISTRY as ATTACKS
from aat_explore.config import NETWORKS, AttackConfig, RunConfig, checked_config
from aat_explore.dashboard import choices, page, state
from aat_explore.dashboard.labels import LABELS
from aat_explore.errors import AATError
from aat_explore.jobs.job import Job
from aat_explore.presets import PRESETS, flat, preset_of
from aat_explore.scores import SCORES
from aat_explore.views.names import dataset_name

IN_FRONT = ("dataset", "num_perturbed", "norm_power", "attack.kind", "epsilon", "attack.steps", "epochs", "lr", "seed")
PER_ROW = 3
DEVICES = ("auto", "cuda", "mps", "cpu")
OFFERED: dict[str, tuple[str, ...]] = {"model": NETWORKS, "score": tuple(SCORES), "attack.kind": tuple(ATTACKS)}
DEFAULT_OR = {"default": None, "yes": True, "no": False}


def ask() -> tuple[list[RunConfig], Job] | None:
    """One config per seed, and how to compute them; None, with a message, if the settings are invalid."""
    preset = choices.choose(
        "Start from the preset",
        list(PRESETS),
        "preset",
        names={name: _preset_name(name) for name in PRESETS},
        help="All fields below start from its values; the Guide explains the readings of the paper.",
    )
    start = _asked(preset)
    fields: dict[str, Any] = {"attack": {}}
    _grid(fields, preset, start, IN_FRONT)
    with st.expander("All other settings", icon=":material/tune:"):
        _grid(fields, preset, start, [name for name in start if name not in IN_FRONT])
        how = _how_to_compute()
    seeds = [part.strip() for part in fields.pop("seed").split(",") if part.strip()]
    try:
        configs = [checked_config({**fields, "seed": seed}) for seed in dict.fromkeys(seeds)]
        if not configs:
            raise AATError("seed is empty; use 0, or several separated by commas")
    except AATError as error:
        st.error(page.plain(str(error)))
        return None
    _keep(preset, configs)
    return configs, how(configs[0])


def built_in(config: RunConfig) -> bool:
    """Whether network, score and attack are the project's, so that training runs no other code."""
    return all(flat(config)[name] in offered for name, offered in OFFERED.items())


def _preset_name(name: str) -> str:
    """`Fashion-MNIST · paper`, for `paper-fashion-mnist`."""
    reading = "quick start" if name == "mini" else name.split("-")[0]
    return f"{dataset_name(PRESETS[name].dataset)} · {reading}"


def _grid(fields: dict[str, Any], preset: str, start: Mapping[str, Any], names: Sequence[str]) -> None:
    """Ask for these fields, `PER_ROW` beside one another; each row's widgets stand on one line."""
    for first in range(0, len(names), PER_ROW):
        columns = st.columns(PER_ROW, vertical_alignment="bottom")
        for column, name in zip(columns, names[first : first + PER_ROW], strict=False):
            with column:
                _ask(fields, preset, start, name)


def _ask(fields: dict[str, Any], preset: str, start: Mapping[str, Any], name: str) -> None:
    """Ask for one field with a widget of its type, and put the answer into `fields`."""
    model: type[BaseModel] = AttackConfig if name.startswith("attack.") else RunConfig
    part = name.removeprefix("attack.")
    info = model.model_fields[part]
    key = f"train {preset} {name}"
    description = f"`{name}`: {page.plain(info.description or '')}"
    answer = _widget(name, info.annotation, start[name], key, description)
    (fields["attack"] if model is AttackConfig else fields)[part] = answer


def _widget(name: str, kind: Any, value: Any, key: str, description: str) -> Any:
    label = LABELS.get(name, name.replace("_", " ").capitalize())
    members = [member for member in get_args(kind) if member is not type(None)]
    if name in OFFERED or name == "dataset":
        options = OFFERED.get(name) or datasets.names(page.cache_dir())
        return st.selectbox(
            label, options, options.index(value), key=key, help=description, format_func=partial(_shown, name)
        )
    if name in ("num_perturbed", "seed"):
        return st.text_input(label, str(value), key=key, help=description)
    if name == "attack.options":
        text = st.text_input(
            label, ", ".join(f"{option} {number:g}" for option, number in value), key=key, help=description
        )
        return [part.split() for part in text.split(",") if part.strip()]
    if get_origin(kind) is tuple:
        text = st.text_input(label, ", ".join(map(str, value)), key=key, help=description)
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if get_origin(kind) is Literal:
        return st.selectbox(label, members, members.index(value), key=key, help=description)
    if kind is bool:
        return st.selectbox(label, ("no", "yes"), int(value), key=key, help=description) == "yes"
    if bool in members:
        names = list(DEFAULT_OR)
        return DEFAULT_OR[st.selectbox(label, names, list(DEFAULT_OR.values()).index(value), key=key, help=description)]
    if float in (kind, *members):
        return st.number_input(
            label, value=value, step=_step(value), format="%g", key=key, help=description, placeholder="default"
        )
    return st.number_input(label, value=value, step=1, key=key, help=description, placeholder="default")


def _shown(name: str, value: str) -> str:
    """An offered value as papers write it."""
    if name == "dataset":
        return dataset_name(value)
    return ATTACKS[value].title if name == "attack.kind" else value


def _step(value: float | None) -> float:
    """The step of a number's - and + buttons: a tenth of its order of magnitude."""
    return float(10.0 ** (math.floor(math.log10(value)) - 1)) if value else 1e-4


def _how_to_compute() -> Any:
    """Ask how to compute, which does not change the result; returns a function from config to job."""
    left, middle, right = st.columns(PER_ROW, vertical_alignment="bottom")
    with left:
        device = st.selectbox("Device", DEVICES, key="train device")
    with middle:
        threads = st.number_input(
            "CPU threads", 1, 4096, None, key="train threads", placeholder="all cores",
            help="A run repeats bit for bit only with the same number.",
        )  # fmt: skip
    with right:
        evaluate = st.toggle("Evaluate at the end", True, key="train evaluate", help="By PGD-40 over a grid of ε.")
    return lambda config: Job(
        config=config, evaluate=evaluate, device=None if device == DEVICES[0] else device, threads=threads
    )


# --- The form in the URL ---------------------------------------------------------------------------------------------


def _asked(preset: str) -> dict[str, Any]:
    """The form's initial values by name: the preset's, with the differences that the URL's `fields` lists."""
    if state.TRAIN_PRESET.get() not in (None, preset):
        choices.set_param("fields", None)
    state.TRAIN_PRESET.set(preset)
    base = PRESETS[preset]
    text = choices.param("fields")
    if not text:
        return flat(base)
    try:
        differing = json.loads(text)
        seeds = differing.pop("seeds", str(base.seed))
        for seed in str(seeds).split(","):
            checked_config({"seed": seed})
        attack = base.attack.model_dump() | differing.pop("attack", {})
        config = checked_config(base.model_dump() | differing | {"attack": attack})
        if config.dataset not in datasets.names(page.cache_dir()):
            raise AATError(f"dataset={config.dataset} is unknown")
        if not built_in(config):
            raise AATError("a link must not name code to run")
        return flat(config) | {"seed": str(seeds)}
    except (AATError, ValueError, TypeError, AttributeError, RecursionError):
        choices.set_param("fields", None)
        st.caption(":material/link_off: The link names settings that do not fit here; starting from the preset.")
        return flat(base)


def _keep(preset: str, configs: list[RunConfig]) -> None:
    """Write the differences from the preset to the URL."""
    choices.set_param("fields", _differences(preset, configs[0], ",".join(str(config.seed) for config in configs)))


def _differences(preset: str, config: RunConfig, seeds: str) -> str | None:
    """What of a config and its seeds differs from a preset, as the URL's `fields`; None if nothing does."""
    base = flat(PRESETS[preset])
    fields: dict[str, Any] = {}
    for name, value in flat(config).items():
        if name != "seed" and value != base[name]:
            place = fields.setdefault("attack", {}) if name.startswith("attack.") else fields
            place[name.removeprefix("attack.")] = value
    if seeds != str(base["seed"]):
        fields["seeds"] = seeds
    return json.dumps(fields) if fields else None


def filled_with(config: RunConfig) -> dict[str, str]:
    """The choices, by their names in the URL, with which the form opens on this config."""
    preset = preset_of(config.dataset)
    return {"preset": preset, "fields": _differences(preset, config, str(config.seed)) or ""}
