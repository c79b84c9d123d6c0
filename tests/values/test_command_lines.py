"""The command printed for a run is the run: it parses back to the config that it was made from."""

import dataclasses
import shlex
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aat_explore import command_lines
from aat_explore.cli.arguments import parse
from aat_explore.cli.commands.training import Train
from aat_explore.config import NETWORKS, AttackConfig, RunConfig, checked_config
from aat_explore.dataset_specs import SPECS
from aat_explore.errors import AATError
from aat_explore.presets import PRESETS, flat
from aat_explore.scores import SCORES

SHARES = st.floats(0.001, 0.999)
DATASETS = ("fashion-mini", *SPECS, "photos-1a2b3c4d", "my photos", "-x", "$HOME;'\"")
VALUES = {
    "dataset": st.sampled_from(DATASETS),
    "model": st.sampled_from((*NETWORKS, "nets.small:Net")),
    "score": st.sampled_from((*SCORES, "scores:entropy")),
    "num_perturbed": st.just("all") | st.integers(0, 60_000),
    "lr_milestones": st.lists(SHARES, max_size=3).map(tuple),
}
RANGES = {
    "norm_power": (0.0, 9.0), "epsilon": (0.0, 1.0), "lr": (1e-12, 1e3), "momentum": (0.0, 0.999),
    "weight_decay": (0.0, 1.0), "dropout": (0.0, 0.999), "attack.step_size": (1e-9, 1.0), "epochs": (1, 9999),
    "seed": (0, 2**32 - 1),
}  # fmt: skip
FIELDS = list(flat(RunConfig()))


def values_of(field: str) -> st.SearchStrategy:
    """Any value of a field, by its type."""
    model = AttackConfig if field.startswith("attack.") else RunConfig
    kind = model.model_fields[field.removeprefix("attack.")].annotation
    if field in VALUES:
        return VALUES[field]
    members = [one for one in get_args(kind) if one is not type(None)] or [kind]
    nothing = st.none() if type(None) in get_args(kind) else st.nothing()
    if bool in members:
        return st.booleans() | nothing
    if float in members:
        return st.floats(*RANGES[field]) | nothing
    if int in members:
        return st.integers(*RANGES.get(field, (1, 500))) | nothing
    return st.sampled_from(members) | nothing


def changed(config: RunConfig, **fields: object) -> RunConfig:
    """The config with some fields replaced, by the names that `flat` gives them; one that is refused is none."""
    attack = {name.removeprefix("attack."): value for name, value in fields.items() if name.startswith("attack.")}
    others = {name: value for name, value in fields.items() if not name.startswith("attack.")}
    try:
        return checked_config(config.model_dump() | others | {"attack": config.attack.model_dump() | attack})
    except AATError:
        assume(False)
        raise


def means(line: str) -> Train:
    """What `aat` makes of a line typed into a shell."""
    aat, *words = shlex.split(line)
    assert aat == "aat"
    command = parse(words)
    assert isinstance(command, Train)
    return command


def config_of(command: Train) -> RunConfig:
    return checked_config(dataclasses.asdict(command.flags))


@pytest.mark.parametrize("name", PRESETS)
def test_the_command_of_a_preset_means_the_preset(name):
    line = command_lines.aat(command_lines.train(PRESETS[name]), Path("cache"))
    assert config_of(means(line)) == PRESETS[name]


@pytest.mark.parametrize("name", PRESETS)
@settings(max_examples=20)  # tyro takes 30 ms to read a command
@given(data=st.data())
def test_the_command_of_a_preset_with_any_one_field_changed_means_that_config(name, data):
    field = data.draw(st.sampled_from(FIELDS))
    config = changed(PRESETS[name], **{field: data.draw(values_of(field))})
    assert config_of(means(command_lines.aat(command_lines.train(config), Path("cache")))) == config


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_can_be_changed_alone_or_with_what_it_needs(field):
    """So that the property above is not true for want of cases."""
    kinds = {"attack.steps": "pgd", "attack.step_size": "pgd", "attack.options": "n-fgsm"}
    needs = {"attack.kind": kinds[field]} if field in kinds else {}
    other = {
        "dataset": "my photos", "model": "nets:Net", "score": "loss", "num_perturbed": "all", "norm_power": 0.0,
        "lr_milestones": (0.5,), "attack.kind": "pgd", "attack.label": "predicted", "attack.random_start": True,
        "scoring": "carry-over", "perturbing_network": "on-the-fly", "drawn_samples": "add", "optimizer": "sgd",
        "precision": "bfloat16", "attack_precision": "bfloat16",
        "replacement": True, "normalize": False, "augment": True, "dropout": 0.25,
        "epsilon": 0.25, "lr": 0.25, "momentum": 0.25, "weight_decay": 0.25, "attack.step_size": 0.25,
        "attack.options": (("k", 3),),
    }.get(field, 7)  # fmt: skip
    config = changed(RunConfig(), **{field: other, **needs})
    assert flat(config)[field] != flat(RunConfig())[field]
    assert config_of(means(command_lines.aat(command_lines.train(config), Path("cache")))) == config


@settings(max_examples=40)
@given(
    data=st.data(), device=st.sampled_from((None, "cpu", "cuda")), threads=st.none() | st.integers(1, 64),
    evaluate=st.booleans(), cache=st.sampled_from(("cache", "/tmp/a b", "it's")),
)  # fmt: skip
def test_the_command_of_any_config_means_it_and_says_where_and_how(data, device, threads, evaluate, cache):
    config = changed(
        RunConfig(), **{field: data.draw(values_of(field)) for field in data.draw(st.sets(st.sampled_from(FIELDS)))}
    )
    words = command_lines.train(config, device=device, threads=threads, evaluate=evaluate)
    command = means(command_lines.aat(words, Path(cache)))
    assert config_of(command) == config
    assert (command.place.device, command.place.threads, command.evaluate) == (device, threads, evaluate)
    assert command.place.cache_dir == Path(cache)


@settings(max_examples=10)
@given(data=st.data())
def test_the_command_of_a_run_like_another_has_that_runs_id(data):
    config = changed(RunConfig(), norm_power=2.0, seed=data.draw(values_of("seed")))
    line = command_lines.aat(command_lines.train_like(config, num_perturbed=0), Path("cache"))
    assert config_of(means(line)).run_id == changed(config, num_perturbed=0).run_id
    assert "norm-power" not in line
