"""Robustness that is not real is caught: networks masked on purpose fail, and honest ones pass."""

import json

import pytest
import torch
from networks import Linear, confident, fresh, mini, mini_set
from torch import nn

from aat_explore.algorithm import fgsm, pgd
from aat_explore.cli import main
from aat_explore.errors import AATError
from aat_explore.experiments import checking
from aat_explore.experiments import run as experiment
from aat_explore.presets import preset
from aat_explore.records import by_accuracy, by_excess
from aat_explore.robustness import checks
from aat_explore.robustness.checks import Trial, check_robustness, training_against_test
from aat_explore.store import Store
from aat_explore.views import checks as views

EPSILON = 0.05
NAMES = {
    "clean accuracy collapsed", "label leaking", "zero gradients", "PGD weaker than FGSM", "noise as strong as FGSM",
    "accuracy not falling with ε", "accuracy above chance at large ε", "more steps or restarts find more",
    "another loss finds more", "transfer finds more", "Square finds more",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def quicker():
    """Square by fewer queries: its verdicts are not what is tested here, but what is done with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "SQUARE_QUERIES", 50)
        yield


@pytest.fixture(scope="module")
def few() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = mini()
    return images[:60], labels[:60]


def found(model: nn.Module, few, epsilon: float = EPSILON) -> dict[str, str]:
    return {check.name: check.status for check in check_robustness(model, *few, epsilon=epsilon)}


class Scaled(nn.Module):
    """Logits times a constant: the same predictions, and a cross-entropy that saturates."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.network(x)


class Rounding(nn.Module):
    """Pixels rounded to steps of ⅛ before anything else: no gradient comes back."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network((8 * x).round() / 8)


# --- What is caught --------------------------------------------------------------------------------------------------


def test_logits_times_a_thousand_are_caught(few):
    status = found(Scaled(confident("StdCNN"), 1000.0), few)
    assert status["zero gradients"] == "fail"
    assert status["another loss finds more"] == "fail"  # it does not saturate


def test_rounding_in_the_first_layer_is_caught(few):
    """At an ε that reaches over a step: most pixels are black, and stay so at less."""
    status = found(Rounding(confident("StdCNN")), few, 0.1)
    assert status["zero gradients"] == "fail"
    assert status["transfer finds more"] == "fail"
    assert status["accuracy above chance at large ε"] == "fail"
    assert status["noise as strong as FGSM"] in ("warn", "fail")  # FGSM moves nothing


def test_square_sees_what_gradients_do_not(few, monkeypatch):
    pytest.importorskip("pyautoattack")
    monkeypatch.setattr(checks, "SQUARE_QUERIES", 300)
    trial = Trial(Rounding(confident("StdCNN")), mini_set(0, 60), 0.1, 0)
    check = checks._square(trial)
    assert check.status == "fail"
    assert check.figures["missed by PGD"] > 5


def test_a_network_that_reads_the_label_off_the_perturbation_is_caught():
    """It answers with the sign of what was added to grey: FGSM on the true label spells the label out."""

    class Leaking(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            distance = (x - 0.5).mean(dim=(1, 2, 3))
            far = (distance.abs() > 0.05).float()
            return torch.stack([-(distance - 0.01), distance - 0.01 + 10 * far], 1)

    images, labels = torch.full((20, 1, 16, 16), 0.5), torch.ones(20, dtype=torch.int64)
    status = {check.name: check.status for check in check_robustness(Leaking(), images, labels, epsilon=0.1)}
    assert status["label leaking"] == "fail"
    assert status["clean accuracy collapsed"] == "fail"


def test_a_surface_that_leads_small_steps_astray_is_caught():
    """Downhill it goes to a hollow at 0.02; behind the hill after it, at 0.08, lies what one large step reaches."""

    class Hollow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            d = (x - 0.5).mean(dim=(1, 2, 3))
            score = torch.where(d < 0.02, 1 - d, torch.where(d < 0.08, 0.98 + 5 * (d - 0.02), -1 + 0 * d))
            return torch.stack([score, -score], 1)

    images, labels = torch.full((20, 1, 16, 16), 0.5), torch.zeros(20, dtype=torch.int64)
    made = {check.name: check for check in check_robustness(Hollow(), images, labels, epsilon=0.1)}
    assert made["PGD weaker than FGSM"].status == "fail"
    assert made["PGD weaker than FGSM"].figures["fooled by FGSM alone"] == 20


@pytest.mark.parametrize(
    ("clean", "num_classes", "status"),
    [(0.24, 10, "fail"), (0.26, 10, "warn"), (0.49, 10, "warn"), (0.5, 10, "pass"), (0.54, 2, "fail"), (0.6, 2, "pass"),
     (0.36, 3, "fail"), (0.4, 3, "warn"), (0.024, 100, "fail"), (0.04, 100, "warn"), (0.05, 100, "pass")],
)  # fmt: skip
def test_a_clean_accuracy_near_chance_is_a_collapse_and_a_low_one_is_worth_a_look(clean, num_classes, status):
    assert by_accuracy(clean, num_classes) == status


def test_a_constant_network_is_caught(few):
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([1.0] + [0.0] * 9) + 0 * x.sum(dim=(1, 2, 3))[:, None]

    status = found(Constant(), few)
    assert status["clean accuracy collapsed"] == "fail"
    assert status["zero gradients"] == "fail"


# --- What passes -----------------------------------------------------------------------------------------------------


def test_a_standard_network_that_resists_nothing_hides_nothing(few):
    status = found(confident("StdCNN"), few, 0.1)
    assert set(status) == NAMES
    assert {name for name, said in status.items() if said == "fail"} == set()


def test_a_linear_network_passes():
    """Its gradient is the same everywhere, so that one step of FGSM is the strongest attack there is."""
    network = Linear(10, 256)
    images = 0.3 + 0.4 * torch.rand(80, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = network(images).argmax(1)
    status = {check.name: check.status for check in check_robustness(network, images, labels, epsilon=0.01)}
    assert {name for name, said in status.items() if said == "fail"} == set()


@pytest.mark.slow
def test_a_network_trained_with_pgd_passes_every_check():
    """5,000 images, PGD-5 on the fly at ε = 0.1: robust, and by every check for real."""
    images, labels = mini()
    network = fresh("StdCNN").train()
    network[-2].p = 0.0
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(25):
            for rows in torch.randperm(1800).split(60):
                x_adv = pgd(network, images[rows], labels[rows], epsilon=EPSILON, steps=5, generator=generator)
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(x_adv), labels[rows]).backward()
                optimizer.step()
    network.eval()
    made = check_robustness(network, images[1800:], labels[1800:], epsilon=EPSILON)
    robust = next(check for check in made if check.name == "Square finds more").figures["PGD accuracy"]
    assert robust > 0.4
    assert {check.name: check.status for check in made if check.status == "fail"} == {}


# --- What each check counts ------------------------------------------------------------------------------------------


def test_numbers_are_what_the_attacks_themselves_say(few):
    network, (images, labels) = confident("StdCNN"), few
    made = {check.name: check for check in check_robustness(network, images, labels, epsilon=EPSILON)}
    after = network(fgsm(network, images, labels, epsilon=EPSILON)).argmax(1) == labels
    assert made["label leaking"].figures["FGSM accuracy"] == pytest.approx(float(after.double().mean()))
    chance = float(torch.bincount(labels).max()) / len(labels)
    assert made["accuracy above chance at large ε"].figures["chance"] == pytest.approx(chance)


def test_the_verdict_on_an_excess_has_two_thresholds():
    assert [by_excess(x, 0.01, 0.02) for x in (-0.1, 0.01, 0.011, 0.02, 0.021)] == [
        *("pass", "pass", "warn", "warn", "fail")
    ]


def test_a_check_does_not_depend_on_which_others_were_made(few):
    network = confident("StdCNN")
    alone = checks._more_finds_more(Trial(network, mini_set(0, 60), 0.01, 0))
    trial = Trial(network, mini_set(0, 60), 0.01, 0)
    for check in checks.CHECKS[:7]:
        check(trial)
    assert checks._more_finds_more(trial) == alone


def test_no_check_changes_what_another_counts(few):
    trial = Trial(Rounding(confident("StdCNN")), mini_set(0, 60), 0.1, 0)
    before = trial.pgd.clone()
    for check in checks.CHECKS:
        check(trial)
    assert torch.equal(trial.pgd, before)


def test_the_network_and_torchs_chance_are_left_as_they_were(few):
    network = fresh("StdCNN").train()
    chance = torch.get_rng_state()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    check_robustness(network, *few, epsilon=0.02)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in state.items())
    assert torch.equal(torch.get_rng_state(), chance)


def test_robust_overfitting_compares_training_with_test():
    network = confident("StdCNN")  # fitted to the first 400
    seen, unseen = Trial(network, mini_set(0, 200), 0.005, 0), Trial(network, mini_set(600, 800), 0.005, 0)
    assert training_against_test(unseen, seen).status == "warn"
    assert training_against_test(unseen, unseen).status == "pass"


@pytest.mark.parametrize(
    ("images", "labels", "epsilon", "said"),
    [
        (torch.zeros(3, 1, 16, 16), torch.zeros(3).long(), 0.0, "epsilon=0.0 is not in"),
        (torch.zeros(3, 1, 16, 16), torch.zeros(3).long(), 8.0, "divide by 255"),
        (torch.zeros(3, 256), torch.zeros(3).long(), 0.1, "do not fit"),
        (torch.zeros(0, 1, 16, 16), torch.zeros(0).long(), 0.1, "do not fit"),
        (torch.zeros(3, 1, 16, 16), torch.zeros(2).long(), 0.1, "do not fit"),
        (torch.zeros(3, 1, 16, 16), torch.zeros(3), 0.1, "labels.long()"),
        (torch.full((3, 1, 16, 16), 2.0), torch.zeros(3).long(), 0.1, "pixels outside"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(images, labels, epsilon, said):
    with pytest.raises(AATError, match=said.replace("(", r"\(").replace(")", r"\)")):
        check_robustness(Linear(10, 256), images, labels, epsilon=epsilon)


def test_without_pyautoattack_the_check_is_not_run_and_says_how_to_get_it(few, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyautoattack", None)
    check = checks._square(Trial(confident("StdCNN"), mini_set(0, 10), 0.05, 0))
    assert (check.status, views.verdict(check)) == ("warn", "not run")
    assert "pip install 'aat-explore[eval]'" in check.reason


# --- A run, the command line, the record -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache with one small run."""
    root = tmp_path_factory.mktemp("cache")
    config = preset("mini", num_perturbed="all", epochs=1, epsilon=0.3, num_recorded=0)
    experiment.train(config, cache_dir=root, evaluate_with=None)
    return root, config.run_id


def test_aat_check_prints_every_check_stores_it_and_tells_by_its_exit_code(cache, capsys):
    root, run_id = cache
    words = ["check", run_id, "--images", "40", "--cache-dir", str(root)]
    code = main(words)
    printed = capsys.readouterr().out
    run = Store(root).open(run_id)
    (report,) = run.checks()
    run.verify()
    assert code == int("fail" in {check.status for some in views.of_run(run).values() for check in some})
    assert {check.name for check in report.checks} == NAMES | {"robust overfitting"}
    assert all(check.reason in printed for check in report.checks)
    assert main([*words, "--json"]) == code  # not made twice
    shown = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in shown["40 test images"]] == [check.name for check in report.checks]
    assert len(Store(root).open(run_id).checks()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--images", "0"], "images=0"), (["--epsilon", "2"], "epsilon=2.0"), (["--epoch", "7"], "epoch=7")],
)
def test_bad_input_is_one_line_and_stores_nothing(cache, capsys, words, said):
    root, run_id = cache
    before = Store(root).open(run_id).revision
    assert main(["check", run_id, *words, "--cache-dir", str(root)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("aat: ")
    assert said in error
    assert Store(root).open(run_id).revision == before


def test_a_check_of_another_epsilon_or_epoch_does_not_stand_for_the_run(cache):
    root, run_id = cache
    checking.check(run_id, cache_dir=root, images=10, epsilon=0.01)
    reported = views.reported(Store(root).open(run_id))
    assert reported is None or reported.epsilon == 0.3


def test_every_check_is_explained_under_its_good_state_with_its_flag():
    explained = views.explanations()
    troubles = NAMES | {"robust overfitting", "catastrophic overfitting", "AutoAttack finds more"}
    assert set(views.GOOD_STATES) == troubles
    assert set(views.GOOD_STATES.values()) == set(explained)
    assert all(explained[good].startswith(f"Flag: *{trouble}*.") for trouble, good in views.GOOD_STATES.items())
    assert views.link("label leaking") == views.link("no label leaking")
    assert views.link("label leaking").endswith("checks.md#no-label-leaking")
