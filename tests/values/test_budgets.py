"""ε as the field writes it: fractions are read wherever a number is, and shown where a number is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aat_explore.budgets import epsilon_text, number
from aat_explore.cli.arguments import parse
from aat_explore.config import EvaluationConfig, RunConfig, checked, checked_config
from aat_explore.errors import AATError
from aat_explore.presets import preset
from aat_explore.views.names import full_name


@given(st.integers(0, 255))
def test_every_level_of_a_pixel_is_read_as_written_and_written_as_one_of_both(level):
    assert number(f"{level}/255") == level / 255
    assert number(epsilon_text(level / 255)) == level / 255


@given(st.floats(0, 1))
def test_a_number_that_is_no_level_is_written_to_three_digits(epsilon):
    assert number(epsilon_text(epsilon)) == pytest.approx(epsilon, rel=5.1e-3)


@pytest.mark.parametrize(
    ("epsilon", "text"),
    [
        (8 / 255, "8/255"), (2 / 255, "2/255"), (0.3, "0.3"), (0.0314, "0.0314"), (0.03137, "0.0314"), (0.2, "0.2"),
        (0.0, "0"), (1.0, "1"), (5.1 / 255, "0.02"), (0.8, "0.8"),
    ],
)  # fmt: skip
def test_decimals_of_three_digits_stay_decimals(epsilon, text):
    assert epsilon_text(epsilon) == text


@pytest.mark.parametrize("text", ["8/0", "8/", "/255", "8/255/2", "-8/255", "eight", "", "8 255"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011, float's own message among them
        number(text)


def test_flags_that_take_numbers_take_fractions():
    asked = parse(["train", "--epsilon", "8/255", "--attack", "pgd", "--attack.step-size=2/255", "--lr", "1/1000"])
    assert (asked.flags.epsilon, asked.flags.attack.step_size, asked.flags.lr) == (8 / 255, 2 / 255, 0.001)
    assert parse(["check", "RUN", "--epsilon", "4/255"]).epsilon == 4 / 255
    assert parse(["evaluate", "RUN", "--epsilons", "0", "8/255", "0.1"]).flags.epsilons == (0.0, 8 / 255, 0.1)
    with pytest.raises(AATError, match=r"--epsilon: 8/0 divides by 0; see `aat train --help`"):
        parse(["train", "--epsilon", "8/0"])


def test_configs_take_fractions_and_leave_texts_alone():
    config = checked_config({"epsilon": "8/255", "attack": {"kind": "pgd", "step_size": "2/255"}, "dataset": "3/4"})
    assert (config.epsilon, config.attack.step_size, config.dataset) == (8 / 255, 2 / 255, "3/4")
    assert config.run_id == RunConfig(epsilon=8 / 255, attack=config.attack, dataset="3/4").run_id
    assert checked(EvaluationConfig, {"epsilons": ["0", "8/255"]}).epsilons == (0.0, 8 / 255)


def test_a_run_at_a_level_is_named_by_it():
    assert "ε 8/255" in full_name(preset("mini", epsilon=8 / 255))
