"""Names of runs for people."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aat_explore.presets import PRESETS, preset
from aat_explore.views import names

N = st.sampled_from([0, 100, 1000, "all"])
CONFIGS = st.builds(
    lambda name, n, power, seed, lr: preset(name, num_perturbed=n, norm_power=power, seed=seed, lr=lr),
    st.sampled_from(sorted(PRESETS)), N, st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 3),
    st.sampled_from([0.1, 0.01]),
)  # fmt: skip


def test_the_parts_of_a_name_stand_in_a_fixed_order():
    config = preset("frontier-fashion", num_perturbed=10_000, seed=3)
    assert list(names.name_parts(config).values()) == ["Fashion-MNIST", "n 10,000", "Norm", "PGD-7 ε 0.1"]
    assert names.full_name(config).endswith("seed 3")


def test_what_means_nothing_for_a_run_is_not_in_its_name():
    assert list(names.name_parts(preset("mini", num_perturbed=0)).values()) == ["Fashion-mini", "standard training"]
    everything = names.name_parts(preset("mini", num_perturbed="all")).values()
    assert list(everything) == ["Fashion-mini", "n all", "FGSM ε 0.3"]


@given(st.lists(CONFIGS, min_size=1, max_size=8))
def test_every_run_among_others_has_a_name_of_its_own(configs):
    by_id = {config.run_id: config for config in configs}
    named = names.names(by_id)
    assert list(named) == list(by_id)
    assert len(set(named.values())) == len(named)
    assert all(name and "None" not in name for name in named.values())


def test_runs_that_differ_in_one_setting_are_told_apart_by_it_alone():
    for field, values, words in (
        ("epsilon", (0.1, 0.3), ("ε 0.1", "ε 0.3")),
        ("epochs", (2, 3), ("2 epochs", "3 epochs")),
        ("lr", (0.1, 0.2), ("lr 0.1", "lr 0.2")),
        ("num_perturbed", (10, 20), ("n 10", "n 20")),
    ):
        configs = [preset("mini", **{field: value}) for value in values]
        named = list(names.names({config.run_id: config for config in configs}).values())
        assert all(word in name for word, name in zip(words, named, strict=True))
        assert not any("Fashion" in name for name in named)


def test_runs_equal_in_all_that_is_named_are_told_apart_by_their_ids():
    config = preset("mini")
    named = names.names({"a-b-11111111": config, "a-b-22222222": config})
    assert {name.rsplit(" ", 1)[-1] for name in named.values()} == {"11111111", "22222222"}


@pytest.mark.parametrize("words", list(itertools.permutations(["pgd7", "10000", "squared"])))
def test_a_search_finds_words_in_any_order_without_commas_and_hyphens(words):
    text = "Fashion-MNIST · n 10,000 · Squared Norm · PGD-7 ε 0.1 · seed 0"
    assert names.matches(" ".join(words), text)
    assert not names.matches(" ".join([*words, "cifar"]), text)
    assert names.matches("", text)
