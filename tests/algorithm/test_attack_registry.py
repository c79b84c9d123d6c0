"""Attacks as values: each keeps its word, N-FGSM and MI-FGSM are what their papers say, a new one is an entry."""

import copy
import dataclasses
import re
from types import MappingProxyType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Linear, confident, fitted, fresh, mini, mini_set
from torch import nn

from aat_explore import attacks, robustness_tests
from aat_explore.algorithm import fgsm, mi_fgsm, n_fgsm, pgd
from aat_explore.algorithm.attacks import uniform_start
from aat_explore.attacks import checked_options
from aat_explore.config import AttackConfig, EvaluationConfig, RunConfig, checked_config
from aat_explore.engine import perturb as perturbing
from aat_explore.engine.perturb import perturb
from aat_explore.errors import AATError
from aat_explore.experiments.run import evaluate, train
from aat_explore.jobs.cost import passes
from aat_explore.presets import preset
from aat_explore.robustness.attempts import described
from aat_explore.robustness.evaluation import correct_at
from aat_explore.store import open_run
from aat_explore.views import frames
from aat_explore.views.evaluations import counting, headline

KINDS = tuple(attacks.REGISTRY)
OPTIONS = sorted({name for spec in attacks.REGISTRY.values() for name in spec.options})
SETTINGS = st.fixed_dictionaries(
    {"kind": st.sampled_from(KINDS), "label": st.sampled_from(["true", "predicted"])},
    optional={
        "steps": st.integers(1, 4),
        "step_size": st.floats(1e-3, 0.5),
        "random_start": st.booleans(),
        "options": st.dictionaries(st.sampled_from(OPTIONS), st.floats(0, 4), max_size=1),
    },
)

WIDER = {"n-fgsm"}  # whose noise leaves the ε-ball


def sample(count: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = mini()
    return images[:count], labels[:count]


# --- Every registered attack -----------------------------------------------------------------------------------------


@settings(max_examples=120, deadline=None)
@given(fields=SETTINGS, epsilon=st.floats(0, 1), seed=st.integers(0, 99))
def test_every_attack_keeps_within_its_reach_and_the_box_or_is_refused_in_one_line(fields, epsilon, seed):
    spec = attacks.REGISTRY[fields["kind"]]
    refusal = spec.refusal(*(fields.get(name) for name in ("steps", "step_size", "random_start")))
    if refusal or spec.refused_options(checked_options(fields.get("options", ()))):
        with pytest.raises(AATError, match=r"^attack\."):
            checked_config({"attack": fields})
        return
    attack = AttackConfig(**fields).resolve(epsilon)
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(4, 1, 3, 3, generator=generator).round(decimals=1)
    x_adv = perturb(Linear(), images, torch.arange(4), attack, generator)
    assert x_adv.dtype == torch.float32
    assert (x_adv - images).abs().max() <= attack.reach + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert attack.reach <= max(epsilon, 0) + 1e-12 or attack.kind in WIDER


@pytest.mark.parametrize("kind", KINDS)
def test_every_attack_leaves_the_network_as_it_found_it_and_repeats_with_its_generator(kind):
    network, (images, labels) = fresh("ResNet18").train(), sample(4)
    before = copy.deepcopy(network.state_dict())
    attack = AttackConfig(kind=kind).resolve(0.1)
    once, again = (perturb(network, images, labels, attack, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(once, again)
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_every_attack_raises_the_loss_of_a_trained_network(kind):
    network, (images, labels) = confident("StdCNN"), sample(100)
    attack = AttackConfig(kind=kind).resolve(0.1)
    x_adv = perturb(network, images, labels, attack, torch.Generator().manual_seed(0))
    with torch.no_grad():
        clean, adversarial = (nn.functional.cross_entropy(network(x), labels) for x in (images, x_adv))
    assert adversarial > clean + 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_every_attack_has_an_equation_a_source_a_name_and_an_explicit_function(kind):
    attack = AttackConfig(kind=kind).resolve(0.3)
    spec = attack.spec
    assert spec.kind == kind
    assert "x'" in spec.equation
    assert spec.source
    assert attack.name.startswith(spec.title)
    assert spec.function.startswith("aat_explore.algorithm.attacks.")
    assert callable(perturbing.attack_function(attack))


@pytest.mark.parametrize("kind", KINDS)
def test_every_attack_can_train_and_test_a_run_under_its_own_name(kind, tmp_path):
    config = preset("mini", epochs=1, num_perturbed=50, num_recorded=5, val_attack_images=20, attack={"kind": kind})
    test = EvaluationConfig(attack=kind, images=40, epsilons=(0.0, 0.1))
    run = train(config, cache_dir=tmp_path, threads=1, device="cpu", evaluate_with=test)
    assert f"-{config.resolved_attack.slug}-s0-" in run.id
    (made,) = run.evaluations()
    assert made.attack["kind"] == kind
    assert made.num_correct[1] <= made.num_correct[0]
    (name,) = counting(run)
    assert name.startswith(config.resolved_attack.spec.title)
    alone = headline(run, 0.1)[1]
    assert (alone is not None) == (kind == "pgd")
    assert frames.runs.runs_table([run])["attack"].item().startswith(config.resolved_attack.spec.title)


# --- What each is ----------------------------------------------------------------------------------------------------


def test_n_fgsm_without_noise_is_fgsm():
    network, (images, labels) = confident("StdCNN"), sample()
    assert torch.equal(
        n_fgsm(network, images, labels, epsilon=0.1, k=0, generator=torch.Generator()),
        fgsm(network, images, labels, epsilon=0.1),
    )


def test_n_fgsm_on_a_linear_network_has_a_closed_form():
    """x′ = clip(x + η + α·sign(Wᵀ(softmax(W(x + η)) − onehot))) (de Jorge et al. 2022), with η ~ U(−kε, kε)."""
    network, images, labels = Linear(), torch.full((6, 1, 3, 3), 0.5), torch.arange(6) % 4
    start = uniform_start(images, 2 * 0.1, torch.Generator().manual_seed(3)).double()
    assert 0.1 < (start - images).abs().max() <= 0.2
    W = network.W.detach().double()
    residual = torch.softmax(start.flatten(1) @ W.T, 1) - nn.functional.one_hot(labels, 4)
    expected = (start + 0.1 * (residual @ W).sign().view(-1, 1, 3, 3)).clamp(0, 1).float()
    x_adv = n_fgsm(network, images, labels, epsilon=0.1, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(x_adv, expected)


def test_n_fgsm_leaves_the_ball_as_its_paper_has_it():
    network, (images, labels) = confident("StdCNN"), sample(64)
    x_adv = n_fgsm(network, images, labels, epsilon=0.1, generator=torch.Generator().manual_seed(0))
    farthest = (x_adv - images).abs().max()
    assert 0.25 < farthest <= 0.3 + 1e-6


def test_mi_fgsm_without_momentum_is_pgd_from_the_image():
    network, (images, labels) = confident("StdCNN"), sample()
    ours = mi_fgsm(network, images, labels, epsilon=0.1, steps=4, decay=0)
    assert torch.equal(ours, pgd(network, images, labels, epsilon=0.1, steps=4, step_size=0.025, random_start=False))


def test_mi_fgsm_accumulates_gradients_of_unit_l1_norm():
    """g ← μg + ∇J/‖∇J‖₁, x′ ← Π(x′ + α·sign g) (Dong et al. 2018), in float64 on a network with a closed form."""
    network, images, labels = Linear(scale=3), torch.full((5, 1, 3, 3), 0.4), torch.arange(5) % 4
    W, x, x_adv = network.W.detach().double(), images.double(), images.double()
    momentum = torch.zeros_like(x)
    for _ in range(6):
        residual = torch.softmax(x_adv.flatten(1) @ W.T, 1) - nn.functional.one_hot(labels, 4)
        gradient = (residual @ W).view(-1, 1, 3, 3)
        momentum = 0.7 * momentum + gradient / gradient.abs().sum((1, 2, 3), keepdim=True)
        x_adv = torch.minimum(torch.maximum(x_adv + 0.05 * momentum.sign(), x - 0.2), x + 0.2).clamp(0, 1)
    ours = mi_fgsm(network, images, labels, epsilon=0.2, steps=6, step_size=0.05, decay=0.7)
    torch.testing.assert_close(ours, x_adv.float())


def test_mi_fgsm_does_not_move_a_sample_without_a_gradient():
    images = torch.rand(3, 1, 3, 3)
    assert torch.equal(mi_fgsm(Linear(scale=0), images, torch.tensor([0, 1, 2]), epsilon=0.3), images)


def test_mi_fgsm_agrees_with_foolbox():
    foolbox = pytest.importorskip("foolbox", reason="foolbox is in the [eval] extra")
    network, (images, labels) = fitted("StdCNN", 400, 20), sample(300)
    attack = foolbox.attacks.LinfMomentumIterativeFastGradientMethod(steps=10, abs_stepsize=0.003, momentum=1.0)
    model = foolbox.PyTorchModel(network, bounds=(0, 1))
    _, theirs, fooled = attack(model, images, labels, epsilons=0.03)
    ours = mi_fgsm(network, images, labels, epsilon=0.03, steps=10)
    assert 0.05 < fooled.double().mean() < 0.95  # an ε at which the comparison says something
    verdicts = (network(ours).argmax(1) != labels) == fooled
    assert verdicts.double().mean() >= 0.95
    assert ((ours - theirs).abs() < 1e-5).double().mean() > 0.8


# --- Names, costs, refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "name", "slug"),
    [
        ({}, "FGSM", "fgsm"),
        ({"random_start": True}, "random-start FGSM", "rs-fgsm"),
        ({"kind": "pgd", "steps": 7, "random_start": False}, "PGD-7 (no random start)", "pgd7"),
        ({"kind": "n-fgsm"}, "N-FGSM", "n-fgsm"),
        ({"kind": "n-fgsm", "options": {"k": 1}, "step_size": 0.2}, "N-FGSM (step 0.2, k 1)", "n-fgsm"),
        ({"kind": "mi-fgsm", "options": [("decay", "0.9")]}, "MI-FGSM-10 (decay 0.9)", "mi-fgsm10"),
        ({"kind": "my.attacks:SPSA", "options": {"steps": 7}}, "SPSA (steps 7)", "spsa"),
        ({"kind": "a:_"}, "_", "custom"),
    ],
)
def test_an_attack_has_one_name_for_people_and_one_for_folders(fields, name, slug):
    attack = AttackConfig(**fields).resolve(0.3)
    assert (attack.name, attack.slug) == (name, slug)
    assert f"-{slug}-s0-" in checked_config({"attack": fields}).run_id


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        (
            {"kind": "mim"},
            f"attack.kind='mim' is none of {', '.join(KINDS)}; write a custom one as package",
        ),
        ({"kind": "n-fgsm", "steps": 2}, "attack.steps=2 has no meaning for N-FGSM"),
        ({"kind": "n-fgsm", "random_start": False}, "attack.random_start=False has no meaning for N-FGSM"),
        ({"kind": "mi-fgsm", "random_start": True}, "attack.random_start=True has no meaning for MI-FGSM"),
        ({"kind": "pgd", "options": {"k": 2}}, "attack.options: k is not an option of PGD; it takes none"),
        ({"kind": "n-fgsm", "options": {"k": -1}}, "attack.options: k=-1 is negative"),
        ({"kind": "n-fgsm", "options": {"k": "many"}}, "attack.options: k='many' is not a number"),
        ({"kind": "n-fgsm", "options": [("k", 1), ("k", 2)]}, "attack.options: 'k' is not a name, or is given twice"),
        ({"kind": "a:b", "steps": 3}, "attack.steps, attack.step_size and attack.random_start have no meaning"),
        ({"kind": "a:b", "options": {"k": float("inf")}}, "attack.options: k=inf is not a number"),
    ],
)
def test_what_an_attack_cannot_be_is_said_in_one_line(fields, refusal):
    with pytest.raises(AATError) as caught:
        checked_config({"attack": fields})
    assert str(caught.value).startswith(refusal)
    assert "\n" not in str(caught.value)


def test_equal_options_are_equal_runs_however_they_are_written():
    ways = [{"decay": 1}, {"decay": 1.0}, [("decay", "1.0")], {}]
    ids = {checked_config({"attack": {"kind": "mi-fgsm", "options": options}}).run_id for options in ways}
    assert len(ids) == 1


def test_the_cost_of_an_attack_is_its_gradients():
    costs = {
        kind: passes(RunConfig(num_perturbed=500, attack=AttackConfig(kind=kind)), 1000) for kind in (*KINDS, "a:b")
    }
    # 3 to train, 2 to score; then 2 for each gradient of half the samples
    known = {"fgsm": 5, "pgd": 15, "n-fgsm": 6, "mi-fgsm": 15, "a:b": 6}
    assert costs == {kind: 3 + 2 + AttackConfig(kind=kind).resolve(0.3).gradients for kind in costs} | known


@pytest.mark.parametrize(
    ("fields", "reused"),
    [
        ({}, True),
        ({"attack": {"random_start": True}}, False),
        ({"attack": {"label": "predicted"}}, False),
        ({"attack": {"kind": "n-fgsm"}}, False),
        ({"attack": {"kind": "pgd", "steps": 1}}, False),
        ({"perturbing_network": "on-the-fly"}, False),
        ({"score": "loss"}, False),
        ({"num_perturbed": "all"}, False),
        ({"num_perturbed": 0}, False),
    ],
)
def test_only_fgsm_by_the_epoch_start_network_reuses_the_gradient_of_scoring(fields, reused):
    assert checked_config(fields).reuses_scoring_gradient is reused


# --- A new attack ----------------------------------------------------------------------------------------------------


def random_signs(network, images, labels, *, epsilon, steps, strength=1.0, generator=None):
    noise = torch.randint(0, 2, images.shape, generator=generator) * 2.0 - 1
    return (images + strength * epsilon * noise).clamp(0, 1)


def test_a_new_attack_is_a_function_and_an_entry_in_the_registry(tmp_path, monkeypatch):
    """Train, test, name and price an attack that nothing else in the package has heard of."""
    spec = attacks.AttackSpec(
        kind="random-signs", title="Random signs", source="this test", equation="x' = x + εs", steps=3,
        function=f"{__name__}:random_signs", step_size=lambda epsilon, steps, random_start: epsilon / steps,
        step_in_words="ε/steps", start_is_fixed=True, options=MappingProxyType({"strength": 0.5}),
    )  # fmt: skip
    monkeypatch.setitem(attacks.REGISTRY, spec.kind, spec)
    monkeypatch.setattr(perturbing, "_registered", lambda place: random_signs)
    config = preset(
        "mini", epochs=1, num_perturbed=40, num_recorded=40, val_attack_images=20, attack={"kind": spec.kind}
    )
    run = train(config, cache_dir=tmp_path, threads=1, device="cpu", evaluate_with=None)
    made = evaluate(run.id, EvaluationConfig(attack=spec.kind, images=30, epsilons=(0.0, 0.2)), cache_dir=tmp_path)
    assert "-random-signs3-s0-" in run.id
    assert config.resolved_attack.name == "Random signs-3"
    assert made.attack == {
        "kind": "random-signs", "norm": "linf", "loss": "cross-entropy", "steps": 3, "strength": 0.5,
        "counts": "clean and perturbed image",
    }  # fmt: skip
    rows, x_adv = run.drawn(1)[:40], run.x_adv(1).astype(float) / 255
    from aat_explore import datasets

    moved = np.abs(x_adv - datasets.load("fashion-mini").train.images(rows) / 255)
    assert moved.max() == pytest.approx(0.5 * config.epsilon, abs=1 / 255)
    assert passes(config, 1000) == 3 + 2 + 2 * 3 * 0.04
    assert "Random signs" in frames.attack.attacks_offered(config)
    run = open_run(run.id, tmp_path)
    assert list(counting(run)) == ["Random signs-3, 30 test images"]
    assert headline(run, 0.2)[1] is None  # nobody knows how strong it is


def test_an_attack_that_nobody_registered_is_no_test_either():
    known = ", ".join(dict.fromkeys([*robustness_tests.REGISTRY, *KINDS]))
    with pytest.raises(ValueError, match=f"attack='mim' is none of {known}; write a custom one"):
        EvaluationConfig(attack="mim")


def test_the_help_names_every_attack_and_test_with_its_defaults():
    """From the registries, so that a new entry needs no line in a help text."""
    helps = {name: field.description for name, field in AttackConfig.model_fields.items()}
    tested = EvaluationConfig.model_fields["attack"].description
    for kind, spec in attacks.REGISTRY.items():
        assert re.search(rf"\b{kind}\b", helps["kind"])
        assert re.search(rf"\b{kind}\b", tested)
        assert f"{kind}: {spec.step_in_words}" in helps["step_size"]
        assert (f"{spec.steps} for {kind}" in helps["steps"]) == (spec.steps is not None)
        assert (f"{'yes' if spec.random_start else 'no'} for {kind}" in helps["random_start"]) != spec.start_is_fixed
        assert all(f"{name} of {kind} ({value:g})" in helps["options"] for name, value in spec.options.items())
    for kind, test in robustness_tests.REGISTRY.items():
        assert re.search(rf"\b{kind}\b", tested)
        assert test.meaning in tested


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 7])
def test_the_words_for_a_step_size_say_what_it_is(kind, steps):
    spec = attacks.REGISTRY[kind]
    cases = spec.step_in_words.split(", from a random start ")
    starts = [spec.random_start] if len(cases) == 1 else [False, True]
    for words, random_start in zip(cases, starts, strict=True):
        factor, by_steps = re.fullmatch(r"(?:([\d.]+) )?ε(/steps)?", words).groups()
        alpha = float(factor or 1) * 0.3 / (steps if by_steps else 1)
        assert spec.step_size(0.3, steps, random_start) == pytest.approx(alpha)


@pytest.mark.parametrize(
    "kind", [kind for kind in robustness_tests.REGISTRY if kind not in KINDS or not attacks.REGISTRY[kind].options]
)
def test_only_attacks_to_train_with_take_options(kind):
    with pytest.raises(ValueError, match=r"options"):
        EvaluationConfig(attack=kind, options={"k": 2})


def test_as_a_test_n_fgsm_is_taken_back_to_the_ball(monkeypatch):
    """What counts as robust accuracy at ε is x′ within ε."""
    network, data = confident("StdCNN"), mini_set(0, 60)
    asked = []
    forward = type(network).forward
    monkeypatch.setattr(type(network), "forward", lambda self, x: asked.append(x.detach().clone()) or forward(self, x))
    list(correct_at(network, data, EvaluationConfig(attack="n-fgsm"), (0.1,)))
    images = data.images.float() / 255
    assert (asked[-1] - images).abs().max() <= 0.1 + 1e-6  # the x′ that is judged
    assert max(float((x - images).abs().max()) for x in asked if x.shape == images.shape) > 0.15  # where it was made


def test_older_records_are_described_as_before():
    assert described(EvaluationConfig()) == {
        "kind": "pgd", "norm": "linf", "loss": "cross-entropy", "steps": 40, "step_size": "2.5 ε/steps", "restarts": 1,
        "random_start": True, "counts": "worst iterate", "curve": "nested",
    }  # fmt: skip
    assert described(EvaluationConfig(attack="fgsm")) == {
        "kind": "fgsm", "norm": "linf", "loss": "cross-entropy", "counts": "perturbed image",
    }  # fmt: skip
    assert described(EvaluationConfig(attack="autoattack")) == {
        "kind": "autoattack", "norm": "linf", "version": "standard", "curve": "nested",
    }  # fmt: skip
    assert dataclasses.asdict(AttackConfig().resolve(0.3))["options"] == ()
