"""A run's settings: what may be asked for, what is said of what may not, and the name that they make."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from aat_explore.config import (
    NETWORKS,
    AttackConfig,
    EvaluationConfig,
    RunConfig,
    checked,
    checked_config,
    checked_run_id,
)
from aat_explore.dataset_specs import SPECS
from aat_explore.errors import AATError
from aat_explore.presets import PRESETS, preset, preset_of
from aat_explore.scores import SCORES

RUN_ID = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}\Z", re.ASCII)
POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False)
NOT_NEGATIVE = st.floats(0, allow_infinity=False) | st.just(-0.0)
COUNT = st.integers(1, 10**40)

FGSM = st.fixed_dictionaries({"kind": st.just("fgsm"), "label": st.sampled_from(["true", "predicted"])})
RANDOM_START_FGSM = st.fixed_dictionaries(
    {"kind": st.just("fgsm"), "random_start": st.just(True)}, optional={"step_size": POSITIVE, "steps": st.just(1)}
)
PGD = st.fixed_dictionaries(
    {"kind": st.just("pgd")}, optional={"steps": COUNT, "step_size": POSITIVE, "random_start": st.booleans()}
)
RUN_FIELDS = {
    "dataset": st.sampled_from(["fashion-mini", *SPECS]) | st.text(max_size=80),
    "model": st.sampled_from([*NETWORKS, "nets.custom:Net", "nets:custom"]),
    "num_perturbed": st.just("all") | st.integers(0, 10**40),
    "norm_power": NOT_NEGATIVE,
    "score": st.sampled_from([*SCORES, "scores:custom", "scores:other"]),
    "score_every": COUNT,
    "replacement": st.booleans(),
    "perturbing_network": st.sampled_from(["epoch-start", "on-the-fly"]),
    "drawn_samples": st.sampled_from(["replace", "add", "half"]),
    "warmup_epochs": st.just(0),
    "epsilon": st.floats(0, 1),
    "attack": FGSM | RANDOM_START_FGSM | PGD,
    "epochs": st.integers(1, 9999),
    "batch_size": COUNT,
    "optimizer": st.sampled_from(["adam", "sgd"]),
    "lr": POSITIVE,
    "momentum": st.floats(0, 1, exclude_max=True),
    "weight_decay": NOT_NEGATIVE,
    "lr_milestones": st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), max_size=3).map(tuple),
    "dropout": st.floats(0, 1, exclude_max=True),
    "precision": st.sampled_from(["float32", "bfloat16"]),
    "attack_precision": st.sampled_from(["float32", "bfloat16"]),
    "normalize": st.booleans(),
    "augment": st.booleans(),
    "val_attack_steps": COUNT,
    "val_attack_images": COUNT,
    "num_recorded": st.integers(0, 10**40),
    "seed": st.integers(0, 2**32 - 1),
}
CONFIGS = st.fixed_dictionaries({}, optional=RUN_FIELDS).map(checked_config)


# --- Names ---------------------------------------------------------------------------------------------------------


def test_every_field_but_scoring_is_varied_here():
    """carry-over excludes score_every > 1 and other scores, so scoring alone is not drawn freely."""
    assert RunConfig.model_fields.keys() - RUN_FIELDS.keys() == {"scoring"}


@given(CONFIGS)
def test_every_config_has_a_run_id_that_can_be_a_folder(config):
    assert RUN_ID.match(config.run_id)
    assert config.run_id.endswith(config.digest()[:8])


@given(CONFIGS, CONFIGS)
@example(preset("mini", num_perturbed="all"), preset("mini", num_perturbed="all", norm_power=0.0))
def test_equal_configs_have_one_run_id_and_different_ones_two(one, other):
    """Equal but for settings that have no effect on them: n = all draws from no p."""
    made = [config.canonical() for config in (one, other)]
    resolved = [config.model_copy(update={"attack": config.resolved_attack}) for config in made]
    assert (one.run_id == other.run_id) == (resolved[0] == resolved[1])


OTHER_VALUES = {
    "dataset": "mnist", "model": "ResNet18", "num_perturbed": "all", "norm_power": 2, "score": "loss", "score_every": 2,
    "replacement": True, "perturbing_network": "on-the-fly", "drawn_samples": "half", "warmup_epochs": 1,
    "epsilon": 0.2, "attack": {"kind": "pgd"}, "epochs": 11, "batch_size": 64, "optimizer": "sgd", "lr": 0.01,
    "momentum": 0.5, "weight_decay": 0.1, "lr_milestones": (0.5,), "dropout": 0, "normalize": False, "augment": True,
    "val_attack_steps": 5, "val_attack_images": 10, "num_recorded": 5, "seed": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_changing_any_one_field_changes_the_run_id(name):
    assert preset("mini", **{name: OTHER_VALUES[name]}).run_id != preset("mini").run_id


@pytest.mark.parametrize(
    ("left_open", "said"),
    [
        ({"kind": "fgsm"}, {"kind": "fgsm", "steps": 1, "random_start": False, "label": "true"}),
        ({"kind": "fgsm", "random_start": True}, {"kind": "fgsm", "random_start": True, "step_size": 1.25 * 0.3}),
        ({"kind": "pgd"}, {"kind": "pgd", "steps": 10, "random_start": True, "step_size": 2.5 * 0.3 / 10}),
        ({"kind": "pgd", "steps": 7}, {"kind": "pgd", "steps": 7, "step_size": 2.5 * 0.3 / 7}),
    ],
)
def test_an_attack_left_open_is_the_run_of_the_attack_spelt_out(left_open, said):
    assert preset("mini", attack=left_open).run_id == preset("mini", attack=said).run_id
    assert preset("mini", attack=left_open).resolved_attack == preset("mini", attack=said).resolved_attack


@pytest.mark.parametrize("name", ["epsilon", "norm_power", "momentum", "weight_decay", "dropout"])
def test_minus_zero_is_zero(name):
    assert preset("mini", **{name: -0.0}).run_id == preset("mini", **{name: 0}).run_id


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "fashion-mini-n1000-p1-fgsm-s0"),
        ({"dataset": "cifar10", "num_perturbed": "all", "norm_power": 2, "seed": 7}, "cifar10-nall-p1-fgsm-s7"),
        ({"attack": {"kind": "pgd", "steps": 7}, "norm_power": 0.5}, "fashion-mini-n1000-p0.5-pgd7-s0"),
        ({"attack": {"random_start": True}, "norm_power": 1e20}, "fashion-mini-n1000-p1e20-rs-fgsm-s0"),
        ({"dataset": "../My Data/"}, "my-data-n1000-p1-fgsm-s0"),
        ({"dataset": "x" * 99}, "x" * 38 + "-n1000-p1-fgsm-s0"),
    ],
)
def test_a_run_id_can_be_read(fields, name):
    assert re.fullmatch(re.escape(name) + "-[0-9a-f]{8}", preset("mini", **fields).run_id)


@pytest.mark.parametrize(
    "run_id",
    ["..", ".", "", "a/b", "/", "a\\b", "a" * 65, "abc\n", "run\u0661", "A", "a b", "a\0", "-a", "_a", "é", "a\r"],
)
def test_a_hostile_run_id_is_refused(run_id):
    with pytest.raises(AATError, match="is not a run id"):
        checked_run_id(run_id)


@given(st.text(max_size=70))
def test_a_run_id_is_accepted_exactly_if_it_fits_the_pattern(text):
    try:
        accepted = checked_run_id(text) == text
    except AATError:
        accepted = False
    assert accepted == bool(RUN_ID.match(text))


# --- Values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [AttackConfig, RunConfig, EvaluationConfig])
def test_every_field_says_what_it_is_and_whose_choice(model):
    for name, field in model.model_fields.items():
        assert re.match(r"\[(paper|ours)\] \S.*[.]$", field.description or ""), name


@pytest.mark.parametrize("value", [RunConfig(), AttackConfig(), EvaluationConfig()])
def test_configs_are_frozen_and_hashable(value):
    for name in type(value).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(value, name, getattr(value, name))
    assert hash(value) == hash(type(value)())


@given(CONFIGS)
def test_a_config_comes_back_from_json_exactly(config):
    for text in (config.model_dump_json(), json.dumps(config.model_dump(mode="json"))):
        back = RunConfig.model_validate_json(text)
        assert back == config
        assert back.run_id == config.run_id


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lern_rate": 0.1}, r"^lern_rate=0\.1 is not a field; correct its name or drop it$"),
        ({"attack": {"kindd": "pgd"}}, r"^attack\.kindd='pgd' is not a field"),
        ({"epsilon": 1.5}, r"^epsilon=1\.5: input should be less than or equal to 1$"),
        ({"epsilon": -0.1}, r"^epsilon=-0\.1: input should be greater than or equal to 0$"),
        ({"epsilon": float("nan")}, r"^epsilon=nan: input should be a finite number$"),
        ({"lr": float("inf")}, r"^lr=inf: input should be a finite number$"),
        ({"lr": 0}, r"^lr=0: input should be greater than 0$"),
        (
            {"model": "VGG"},
            rf"^model='VGG' is none of {', '.join(NETWORKS)}; write a custom one as package\.module",
        ),
        ({"score": "los"}, rf"^score='los' is none of {', '.join(SCORES)}; write a custom one as package"),
        ({"model": "nets:"}, r"^model='nets:' is none of"),
        ({"score": "a-b:f"}, r"^score='a-b:f' is none of"),
        ({"model": "../nets:Net"}, r"^model='\.\./nets:Net' is none of"),
        ({"score": "loss", "scoring": "carry-over"}, r"^score=loss is not available with scoring=carry-over.*drop one"),
        ({"num_perturbed": "lots"}, r"^num_perturbed='lots': .*valid integer.* or input should be 'all'$"),
        ({"num_perturbed": 1.5}, r"^num_perturbed=1\.5: .*integer.* or input should be 'all'$"),
        ({"num_perturbed": -1}, r"^num_perturbed=-1 is negative; use 0 for standard training, or all$"),
        ({"epochs": 0}, r"^epochs=0: input should be greater than or equal to 1$"),
        ({"epochs": 10_000}, r"^epochs=10000: input should be less than or equal to 9999$"),
        ({"epochs": 3, "warmup_epochs": 4}, r"^warmup_epochs=4 exceeds epochs=3; lower it$"),
        ({"lr_milestones": (0.5, 1)}, r"^lr_milestones=1 is not a share of the epochs; use values between 0 and 1$"),
        ({"lr_milestones": (float("nan"),)}, r"^lr_milestones\.0=nan: input should be a finite number$"),
        (
            {"attack": {"steps": 3}},
            r"^attack\.steps=3 has no meaning for FGSM, which takes one; use None, or attack\.kind pgd$",
        ),
        ({"attack": {"step_size": 0.1}}, r"^attack\.step_size=0\.1 has no meaning for FGSM from the clean image"),
        ({"attack": {"kind": "pgd", "steps": 0}}, r"^attack\.steps=0: input should be greater than or equal to 1$"),
        ({"seed": -1}, r"^seed=-1: input should be greater than or equal to 0$"),
        ({"seed": 2**32}, r"^seed=4294967296: input should be less than 4294967296$"),
        ({"dropout": 1}, r"^dropout=1: input should be less than 1$"),
        ({"model": "a\nb"}, r"^model='a\\nb' is none of "),
        ({"dataset": "a\ud800b"}, r"^dataset='a\\ud800b' is no text; write it in UTF-8$"),
        ({"epochs": 0, "batch_size": 0}, r"^epochs=0: [^;]*; batch_size=0: [^;]*$"),
    ],
)
def test_a_bad_value_is_one_line_that_names_field_value_and_limit(fields, said):
    with pytest.raises(AATError, match=said) as caught:
        preset("mini", **fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"epsilons": (0.1, 1.1)}, r"^epsilons=1\.1 is outside a pixel's range \[0, 1\]; use e\.g\. 8/255$"),
        ({"epsilons": (-0.1,)}, r"^epsilons=-0\.1 is outside"),
        ({"split": "all"}, r"^split='all': input should be 'test', 'validation' or 'train'$"),
        ({"restarts": 0}, r"^restarts=0: "),
        ({"images": 0}, r"^images=0: "),
    ],
)
def test_a_bad_evaluation_is_one_line_too(fields, said):
    with pytest.raises(AATError, match=said):
        checked(EvaluationConfig, fields)


def test_an_unknown_preset_is_answered_with_those_there_are():
    with pytest.raises(AATError, match=rf"^preset=nope is unknown; choose one of {', '.join(PRESETS)}$"):
        preset("nope")


# --- The paper's settings (DESIGN, section 4) ----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "dataset"), [("letter-mnist", "mnist"), ("letter-fashion", "fashion-mnist")])
def test_the_papers_settings_for_mnist_and_fashion_mnist(name, dataset):
    config = preset(name)
    said = {
        "dataset": dataset, "model": "StdCNN", "epsilon": 0.3, "epochs": 100, "optimizer": "adam", "lr": 1e-3,
        "batch_size": 128, "dropout": 0.5, "augment": False, "norm_power": 1.0, "scoring": "epoch-start",
        "score_every": 1, "replacement": False, "perturbing_network": "epoch-start", "drawn_samples": "replace",
        "weight_decay": 0.0, "lr_milestones": (),
    }  # fmt: skip
    assert config.model_dump(include=set(said)) == said
    attack = config.resolved_attack
    assert (attack.kind, attack.step_size, attack.random_start, attack.label) == ("fgsm", 0.3, False, "true")


def test_the_papers_settings_for_cifar10():
    said = {
        "dataset": "cifar10", "model": "ResNet18", "epsilon": 0.02, "epochs": 100, "optimizer": "sgd", "lr": 0.1,
        "momentum": 0.9, "weight_decay": 5e-4, "lr_milestones": (0.5, 0.75), "augment": True, "batch_size": 128,
    }  # fmt: skip
    assert preset("letter-cifar10").model_dump(include=set(said)) == said


def test_the_default_run_needs_no_download():
    assert preset("mini") == RunConfig()
    assert RunConfig().dataset == "fashion-mini"


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("cifar10", "letter-cifar10"), ("mnist", "letter-mnist"), ("fashion-mnist", "letter-fashion"), ("mine", "mini")],
)
def test_a_data_set_brings_its_preset(dataset, name):
    assert preset_of(dataset) == name


@settings(max_examples=30)
@given(st.floats(0, 1), st.integers(1, 100))
def test_pgd_left_open_takes_steps_of_two_and_a_half_epsilon_over_their_number(epsilon, steps):
    attack = AttackConfig(kind="pgd", steps=steps).resolve(epsilon)
    assert (attack.steps, attack.random_start) == (steps, True)
    assert attack.step_size == pytest.approx(2.5 * epsilon / steps)


def test_the_evaluation_of_the_paper_is_pgd_40_over_its_grid_of_epsilon():
    config = EvaluationConfig()
    assert (config.split, config.num_steps, config.random_start, config.images) == ("test", 40, True, None)
    assert config.grid(RunConfig(dataset="mnist")) == pytest.approx(
        [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4], abs=1e-12
    )
    cifar10 = config.grid(preset("letter-cifar10"))
    assert (cifar10[0], cifar10[-1]) == (0, 16 / 255)
    assert any(epsilon == pytest.approx(0.02) for epsilon in cifar10)  # the training ε is tested
    assert len(cifar10) == 9
    assert config.grid(RunConfig(epsilon=0.03))[:3] == (0, 0.03, 0.05)
    assert EvaluationConfig(epsilons=(0.3, 0.1, 0.3)).grid(RunConfig()) == (0.1, 0.3)
    assert EvaluationConfig(attack="autoattack").grid(RunConfig(epsilon=0.1)) == (0.0, 0.1)


def test_samples_are_drawn_only_between_none_and_all():
    assert [preset("mini", num_perturbed=n).samples for n in (0, 1, "all")] == [False, True, False]


def test_a_baseline_has_one_name_whatever_is_said_of_the_sampling_it_does_not_do():
    """n = 0 and all stand in both panels of the paper's figures; nobody should train the same network twice."""
    idle = {"norm_power": 2.0, "replacement": True, "score_every": 3, "score": "loss"}
    for n in (0, "all"):
        assert preset("mini", num_perturbed=n, **idle).run_id == preset("mini", num_perturbed=n).run_id
    assert preset("mini", num_perturbed=0, attack={"kind": "pgd"}).run_id == preset("mini", num_perturbed=0).run_id
    assert (
        preset("mini", num_perturbed="all", attack={"kind": "pgd"}).digest()
        != preset("mini", num_perturbed="all").digest()
    )
    assert preset("mini", num_perturbed=0, epochs=3).run_id != preset("mini", num_perturbed=0).run_id


def test_a_uniform_draw_is_the_control_of_every_score():
    assert preset("mini", norm_power=0, score="loss").run_id == preset("mini", norm_power=0).run_id


@pytest.mark.parametrize("fields", [{"attack": "transfer"}, {"transfer_from": "some-run"}])
def test_a_transferred_test_and_its_source_come_together(fields):
    with pytest.raises(AATError, match="give both or neither"):
        checked(EvaluationConfig, fields)


def test_fgsm_as_a_test_takes_no_settings_of_pgd():
    with pytest.raises(AATError, match="no meaning for attack=fgsm"):
        checked(EvaluationConfig, {"attack": "fgsm", "steps": 10})


def test_the_names_of_the_presets_runs_never_change():
    """A field added to RunConfig must leave cached runs, the showcase among them, under the names they have."""
    pinned = {
        "mini": "fashion-mini-n1000-p1-fgsm-s0-d6d68bdc",
        "letter-mnist": "mnist-n1000-p1-fgsm-s0-e6ba52ea",
        "letter-fashion": "fashion-mnist-n1000-p1-fgsm-s0-a89fdc1b",
        "letter-cifar10": "cifar10-n1000-p1-fgsm-s0-7f383871",
        "paper-mnist": "mnist-n1000-p1-fgsm-s0-fd3ad0e5",
        "paper-fashion": "fashion-mnist-n1000-p1-fgsm-s0-3b0cf6bc",
        "paper-cifar10": "cifar10-n1000-p1-fgsm-s0-10a00ef0",
        "small-cifar10": "cifar10-n1000-p1-fgsm-s0-ba4dbe64",
        "frontier-mini": "fashion-mini-n1000-p1-pgd7-s0-d3792278",
        "frontier-fashion": "fashion-mnist-n1000-p1-pgd7-s0-34151e5c",
        "fast-fashion": "fashion-mnist-n1000-p1-rs-fgsm-s0-2d3f5b96",
    }
    assert {name: PRESETS[name].run_id for name in pinned} == pinned
