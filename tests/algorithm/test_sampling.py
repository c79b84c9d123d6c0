"""The sampling distribution in closed form, and the draw against the exact law of successive sampling."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aat_explore.algorithm import draw, probabilities
from aat_explore.algorithm.sampling import DeadNetworkError
from aat_explore.errors import AATError

NORMS = st.lists(st.floats(0, 1e150), min_size=1, max_size=40).filter(lambda norms: max(norms) > 0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inclusion_probabilities(p: list[float], n: int) -> np.ndarray:
    """Exact chance of each sample to be among n drawn one after another without replacement: sum over all orders."""
    chances = np.zeros(len(p))
    for order in itertools.permutations(range(len(p)), n):
        left, chance = 1.0, 1.0
        for i in order:
            chance *= p[i] / left
            left -= p[i]
        chances[list(order)] += chance
    return chances


@given(norms=NORMS, power=st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0, 300.0]))
def test_p_is_a_distribution_that_keeps_the_order_of_the_norms(norms, power):
    p = probabilities(torch.tensor(norms, dtype=torch.float64), norm_power=power)
    assert p.dtype == torch.float64
    assert (p >= 0).all()
    assert abs(float(p.sum()) - 1) < 1e-12
    order = np.argsort(norms, kind="stable")
    assert (np.diff(p.numpy()[order]) >= 0).all()


def test_norm_squared_norm_and_uniform_are_the_papers():
    norms = torch.tensor([1.0, 2.0, 5.0])
    torch.testing.assert_close(probabilities(norms, norm_power=1), torch.tensor([1, 2, 5]).double() / 8)
    torch.testing.assert_close(probabilities(norms, norm_power=2), torch.tensor([1, 4, 25]).double() / 30)
    torch.testing.assert_close(probabilities(norms * 0, norm_power=0), torch.full((3,), 1 / 3).double())


def test_squares_of_tiny_norms_do_not_underflow():
    p = probabilities(torch.tensor([1e-200, 2e-200], dtype=torch.float64), norm_power=2)
    torch.testing.assert_close(p, torch.tensor([0.2, 0.8], dtype=torch.float64))


def test_a_dead_network_is_an_error():
    with pytest.raises(DeadNetworkError, match="all 3 scores are 0"):
        probabilities(torch.zeros(3), norm_power=1)


@pytest.mark.parametrize("bad", [[-1.0, 1.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_impossible_norms_are_an_error(bad):
    with pytest.raises(AATError, match="finite and >= 0"):
        probabilities(torch.tensor(bad), norm_power=1)


@pytest.mark.parametrize("power", [-1.0, float("nan"), float("inf")])
def test_impossible_powers_are_an_error(power):
    with pytest.raises(AATError, match="norm_power"):
        probabilities(torch.ones(2), norm_power=power)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_draw_frequencies_are_the_inclusion_probabilities_of_successive_sampling(n):
    p, trials = [0.5, 0.25, 0.15, 0.08, 0.02], 20_000
    stream, tensor = generator(), torch.tensor(p, dtype=torch.float64)
    counts = torch.zeros(5)
    for _ in range(trials):
        counts[draw(tensor, n, generator=stream)] += 1
    exact = inclusion_probabilities(p, n)
    five_sigma = 5 * np.sqrt(exact * (1 - exact) / trials)
    assert (np.abs(counts.numpy() / trials - exact) < five_sigma).all()


def test_the_first_drawn_has_law_p():
    """The order is that of successive sampling, so the head of K is a fair sample of it."""
    p, trials = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64), 20_000
    stream = generator(3)
    firsts = torch.bincount(torch.stack([draw(p, 3, generator=stream)[0] for _ in range(trials)]), minlength=3) / trials
    assert (firsts - p).abs().max() < 5 * 0.5 / trials**0.5


def test_draw_frequencies_with_replacement_are_multinomial():
    p, n = torch.tensor([0.5, 0.3, 0.2, 0.0], dtype=torch.float64), 200_000
    counts = torch.bincount(draw(p, n, generator=generator(), replacement=True), minlength=4) / n
    assert (counts - p).abs().max() < 5 * 0.5 / n**0.5
    assert counts[3] == 0


@settings(max_examples=60)
@given(norms=NORMS, share=st.floats(0, 1), replacement=st.booleans(), seed=st.integers(0, 99))
def test_only_possible_samples_are_drawn_and_as_a_set(norms, share, replacement, seed):
    p = probabilities(torch.tensor(norms, dtype=torch.float64), norm_power=1)
    n, possible = int(share * len(norms)), int((p > 0).sum())
    drawn = draw(p, n, generator=generator(seed), replacement=replacement)
    assert drawn.dtype == torch.int64
    assert (p[drawn] > 0).all()
    assert len(drawn) == (n if replacement else min(n, possible))
    if not replacement:
        assert len(drawn.unique()) == len(drawn)


def test_fewer_than_n_possible_samples_give_only_those():
    """`torch.multinomial` fills up with impossible indices here; the trap that `draw` exists to avoid."""
    p = torch.zeros(20, dtype=torch.float64)
    p[:10] = 0.1
    drawn = draw(p, 15, generator=generator())
    assert sorted(drawn.tolist()) == list(range(10))


def test_probabilities_too_small_for_float32_can_still_be_drawn():
    p = torch.tensor([1e-300, 1e-300], dtype=torch.float64)
    assert sorted(draw(p, 2, generator=generator()).tolist()) == [0, 1]


def test_more_than_2_to_the_24_categories_can_be_drawn_from():
    p = torch.full((2**24 + 10,), 1 / (2**24 + 10), dtype=torch.float64)
    assert len(draw(p, 3, generator=generator()).unique()) == 3


def test_one_seed_gives_one_draw():
    p = torch.rand(1000, generator=generator(), dtype=torch.float64)
    assert torch.equal(draw(p, 100, generator=generator(5)), draw(p, 100, generator=generator(5)))
    assert not torch.equal(draw(p, 100, generator=generator(5)), draw(p, 100, generator=generator(6)))


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("bad", [[float("nan"), 0.5], [-0.5, 1.5], [0.0, 0.0]])
def test_what_is_no_distribution_is_not_drawn_from(bad, replacement):
    with pytest.raises(AATError, match="probabilities holds"):
        draw(torch.tensor(bad), 1, generator=generator(), replacement=replacement)


@pytest.mark.parametrize("n", [-1, 4])
def test_n_outside_the_set_is_an_error(n):
    with pytest.raises(AATError, match=f"num_perturbed={n}"):
        draw(torch.ones(3) / 3, n, generator=generator())
