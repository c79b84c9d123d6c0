"""Custom networks: how they are imported and built, which are refused, and that runs of them are runs."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import fresh, mini_set
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small, resnet18

from aat_explore.cli import main
from aat_explore.config import EvaluationConfig, RunConfig
from aat_explore.engine import capture
from aat_explore.engine.admission import admit, check_network
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.networks import build_network, load_weights, placed, starting_network, weights_of
from aat_explore.engine.trainer import Resume, Trainer, train
from aat_explore.errors import AATError
from aat_explore.examples import SmallCNN
from aat_explore.experiments import run as experiment
from aat_explore.presets import preset
from aat_explore.store import Store

SHAPE = (1, 28, 28)
QUICK_TEST = EvaluationConfig(epsilons=(0.0, 0.1), steps=2, images=20)
NET = """
from torch import nn

class Net(nn.Module):
    '''Strided, with `view`, which takes no other memory format.'''

    def __init__(self, in_channels, num_classes, dropout=0.0):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 5, stride=4)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(4 * 36, num_classes)

    def forward(self, x):
        x = self.conv(x).relu()
        return self.out(self.drop(x.view(len(x), -1)))
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a module into the current folder, as a user has one; it can be written again."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(source: str, name: str = "mynets") -> Path:
        sys.modules.pop(name, None)
        path = tmp_path / f"{name}.py"
        path.write_text(source, encoding="utf-8")
        return path

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("mynets"):
            del sys.modules[name]


def small(**fields) -> RunConfig:
    usual = {
        "model": "mynets:Net", "epochs": 2, "num_perturbed": 40, "val_attack_steps": 1, "val_attack_images": 10,
        "num_recorded": 5,
    }  # fmt: skip
    return preset("mini", **usual | fields)


def trained(config: RunConfig, root: Path, **options):
    usual = {"evaluate_with": None, "device": "cpu", "threads": 1}
    return experiment.train(config, cache_dir=root, **usual | options)


def built(config: RunConfig, shape=SHAPE, **statistics) -> nn.Module:
    return build_network(config, shape, 10, **statistics)


# --- Found and made --------------------------------------------------------------------------------------------------


def test_a_network_is_given_those_of_our_arguments_that_it_names(write):
    write(
        """
from torch import nn

class Told(nn.Linear):
    def __init__(self, **given):
        super().__init__(2, 2)
        self.given = given

def all_of_them(in_channels, image_size, *, num_classes, dropout, other=3):
    return Told(in_channels=in_channels, image_size=image_size, num_classes=num_classes, dropout=dropout, other=other)

def none(*args):
    return Told(args=args)

def any_name(image_size=0, **others):
    return Told(image_size=image_size, **others)
"""
    )

    def given(name, shape=(3, 20, 20)):
        return built(small(model=f"mynets:{name}", dropout=0.25), shape)[1].given

    named = {"in_channels": 3, "image_size": 20, "num_classes": 10, "dropout": 0.25}
    assert given("all_of_them") == named | {"other": 3}
    assert given("all_of_them", (3, 8, 20))["image_size"] == (8, 20)
    assert given("none") == {"args": ()}
    assert given("any_name") == {"image_size": 20, "num_classes": 10}
    assert given("Told") == {"num_classes": 10}


def test_a_factory_of_torchvision_is_its_network():
    network = build_network(small(model="torchvision.models:mobilenet_v3_small"), (3, 32, 32), 7)
    assert weights_of(network[1]).keys() == mobilenet_v3_small(num_classes=7).state_dict().keys()
    assert network.eval()(torch.rand(2, 3, 32, 32)).shape == (2, 7)


def test_a_custom_network_starts_from_the_runs_seed_and_leaves_torchs_random_state_alone(write):
    write(NET)
    before = torch.get_rng_state()
    one, again, other = (weights_of(built(small(seed=seed))) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["1.conv.weight"], other["1.conv.weight"])


def test_a_custom_network_is_normalised_inside_so_that_epsilon_is_in_pixels(write):
    write(NET)
    training, x = mini_set(0, 100), torch.rand(3, *SHAPE)
    mean, sd = training.channel_statistics()
    network = starting_network(small(), training, 10).eval()
    torch.testing.assert_close(network(x), network[1]((x - mean[0]) / sd[0]))
    plain = starting_network(small(normalize=False), training, 10).eval()
    assert torch.equal(plain(x), plain[1](x))


def test_images_that_are_small_and_no_squares_are_for_custom_networks_alone():
    assert built(small(model="aat_explore.examples:SmallCNN"), (2, 8, 12))(torch.rand(3, 2, 8, 12)).shape == (3, 10)
    for model in ("StdCNN", "ResNet18"):
        with pytest.raises(AATError, match=f"has images of 8×12; {model} takes squares of 16 or more"):
            built(small(model=model), (2, 8, 12))


@pytest.mark.parametrize(
    ("source", "model", "said"),
    [
        (
            NET, "mynetz:Net",
            r"^model=mynetz:Net cannot be imported; searched .* and Python's import path \(ModuleNotFoundError: No",
        ),
        (NET, "mynets.sub:Net", r"^model=mynets\.sub:Net cannot be imported.*'mynets' is not a package\)$"),
        (NET, "mynets:Nett", r"^model=mynets:Nett does not exist: .*mynets\.py has no 'Nett'; correct the name$"),
        ("import nowhere_at_all", "mynets:Net", r"cannot be imported.*No module named 'nowhere_at_all'\)$"),
        ("def f(:\n", "mynets:f", r"cannot be imported.*\(SyntaxError: invalid syntax"),
        ("1 / 0", "mynets:f", r"cannot be imported.*\(ZeroDivisionError: division by zero\)$"),
        ("f = 3", "mynets:f", r"^model=mynets:f is a int; name a class, or a function that builds a new network$"),
        ("from torch import nn\nf = nn.Flatten()", "mynets:f", r"^model=mynets:f is a Flatten; name a class"),
        (
            "def f(num_classes): return 3", "mynets:f",
            r"^model=mynets:f returns a int; name what returns a torch\.nn\.Mod",
        ),
        ("def f(num_classes, width): pass", "mynets:f", r"cannot be built with num_classes=10; .*\(TypeError.*width"),
        (
            "def f():\n raise OSError('a\\nb')", "mynets:f",
            r"cannot be built with no arguments; other .*\(OSError: a b\)$",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_found_or_made_is_one_line_that_says_what_was_looked_for(write, source, model, said):
    write(source)
    with pytest.raises(AATError, match=said) as caught:
        built(small(model=model))
    assert "\n" not in str(caught.value)


# --- Admitted or refused ---------------------------------------------------------------------------------------------


def colour(count: int = 8) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    return ImageSet(
        torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator), torch.arange(count) % 10
    )


class Around(nn.Module):
    """A small convolutional network with something done to its features, or around it."""

    def __init__(self, *inside: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())
        self.inside = nn.Sequential(*inside)
        self.out = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inside(self.features(x)).mean((2, 3)))


class Applied(nn.Module):
    """A function as a layer."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class After(nn.Sequential):
    """A network whose logits have something done to them."""

    def __init__(self, function) -> None:
        super().__init__(Around(), Applied(function))


class Before(nn.Sequential):
    """A network whose images have something done to them."""

    def __init__(self, function) -> None:
        super().__init__(Applied(function), Around())


class OnlyInTraining(Around):
    """Other outputs in training, as networks with auxiliary heads have."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class BatchAttention(nn.Module):
    """Each sample attends to all of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        keys = x.flatten(1)
        return ((keys @ keys.T).softmax(1) @ keys).view_as(x)


def frozen() -> nn.Module:
    return Around().requires_grad_(False)


ADMITTED = {
    "StdCNN": lambda: built(preset("mini"), (3, 32, 32)),
    "ResNet18": lambda: built(preset("letter-cifar10"), (3, 32, 32)),
    "SmallCNN": lambda: SmallCNN(3, 10),
    "mobilenet": lambda: mobilenet_v3_small(num_classes=10),
    "resnet of torchvision": lambda: resnet18(num_classes=10),
    "dropout": lambda: Around(nn.Dropout(0.5)),
    "batch norm": lambda: Around(nn.BatchNorm2d(4)),
    "instance norm": lambda: Around(nn.InstanceNorm2d(4)),
    "group norm": lambda: Around(nn.GroupNorm(2, 4)),
    "log-probabilities": lambda: After(lambda z: z.log_softmax(1)),
    "some frozen": lambda: nn.Sequential(frozen(), nn.Linear(10, 10)),
}
NOT_DIFFERENTIABLE = "is not differentiable with respect to its images"
REFUSED = {
    "no parameters": (lambda: nn.Flatten(), "no parameter that requires a gradient"),
    "frozen": (frozen, "no parameter that requires a gradient"),
    "lazy": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), "lazy layers"),
    "wrong channels": (lambda: SmallCNN(1, 10), r"fails on images \(8, 3, 32, 32\) in \[0, 1\]; .*\(RuntimeError"),
    "wrong classes": (lambda: SmallCNN(3, 9), r"in training mode returns \(8, 9\) for 8 images of 10 classes"),
    "one number": (lambda: After(lambda z: z.mean()), r"returns \(\) for 8 images"),
    "a tuple": (lambda: After(lambda z: (z, z)), "returns a tuple; return logits"),
    "a tuple in training": (OnlyInTraining, "in training mode returns a tuple"),
    "a dictionary": (lambda: After(lambda z: {"logits": z}), "returns a dict; return logits"),
    "half precision": (lambda: After(lambda z: z.half()), r"returns torch\.float16; return logits in float32"),
    "bfloat16": (lambda: After(lambda z: z.bfloat16()), r"returns torch\.bfloat16; return logits in float32"),
    "whole numbers": (lambda: After(lambda z: (100 * z).long()), r"returns torch\.int64; return logits in float32"),
    "weights of half precision": (lambda: Around().half(), r"fails on images .*\(RuntimeError"),
    "preprocessing in place": (lambda: Before(lambda x: x.sub_(0.5)), r"changes the images passed to it; write x = x"),
    "NaN": (lambda: After(lambda z: z * float("nan")), "NaN or infinite logits"),
    "softmax": (lambda: After(lambda z: z.softmax(1)), "returns probabilities; return logits"),
    "functional dropout": (lambda: Around(Applied(F.dropout)), "other logits when called again in eval mode"),
    "noise": (lambda: Before(lambda x: x + 1e-4 * torch.randn_like(x)), "other logits when called again"),
    "detach": (lambda: Before(lambda x: x.detach()), NOT_DIFFERENTIABLE),
    "no_grad": (lambda: After(torch.no_grad()(lambda z: z * 1)), NOT_DIFFERENTIABLE),
    "numpy": (lambda: After(lambda z: torch.from_numpy(z.detach().numpy())), NOT_DIFFERENTIABLE),
    "rounded images": (lambda: Before(lambda x: (8 * x).round() / 8), "zero everywhere; look for detach"),
    "argmax": (lambda: After(lambda z: F.one_hot(z.argmax(1), 10) - 0.5), NOT_DIFFERENTIABLE),
    "images unused": (lambda: After(lambda z: 0 * z + torch.arange(10.0)), "zero everywhere"),
    "root of 0": (lambda: Before(lambda x: (x - x.detach()).sqrt() + x), "NaN or infinite input gradient"),
    "batch norm without statistics": (
        lambda: Around(nn.BatchNorm2d(4, track_running_stats=False)), "mixes the samples of a batch in eval mode",
    ),
    "batch attention": (lambda: Around(BatchAttention()), "mixes the samples"),
    "mean of the batch, detached": (lambda: Around(Applied(lambda x: x - x.detach().mean(0))), "mixes the samples"),
    "a trace of the others": (lambda: Before(lambda x: x + 1e-6 * x.mean(0)), "mixes the samples"),
    "softmax over the batch": (lambda: After(lambda z: z.softmax(0)), "mixes the samples"),
}  # fmt: skip


@pytest.mark.parametrize("name", ADMITTED)
def test_admitted(name):
    torch.manual_seed(0)
    check_network(ADMITTED[name](), colour(), 10)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line_with_a_remedy(name):
    torch.manual_seed(0)
    make, said = REFUSED[name]
    with pytest.raises(AATError, match=f"^mine .*{said}") as caught:
        check_network(make(), colour(), 10, name="mine")
    assert "\n" not in str(caught.value)


POOLED = """
from torch import nn

def pooled(in_channels, num_classes):
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(8))
    return nn.Sequential(nn.Conv2d(in_channels, 8, 5), pool, nn.Linear(8, num_classes))
"""


@pytest.mark.parametrize(
    ("fields", "num_train", "fits"),
    [
        ({"batch_size": 128}, 385, False),
        ({"batch_size": 128}, 384, True),
        ({"batch_size": 1}, 384, False),
        ({"batch_size": 100, "drawn_samples": "add", "num_perturbed": 17}, 384, False),
        ({"batch_size": 100, "drawn_samples": "add", "num_perturbed": 18}, 384, True),
        ({"batch_size": 100, "drawn_samples": "add", "num_perturbed": 18, "replacement": True}, 384, False),
    ],
)
def test_a_network_that_cannot_be_trained_on_one_sample_is_refused_if_a_batch_may_hold_one(
    write, fields, num_train, fits
):
    write(POOLED)
    config = small(model="mynets:pooled", **fields)
    if fits:
        admit(config, mini_set(0, 8), 10, num_train)
    else:
        with pytest.raises(AATError, match=r"^model=mynets:pooled fails on a batch of one.*batch_size=.*ValueError"):
            admit(config, mini_set(0, 8), 10, num_train)
        admit(small(model="aat_explore.examples:SmallCNN", **fields), mini_set(0, 8), 10, num_train)


@pytest.mark.parametrize("name", ["batch norm", "dropout", "some frozen", "softmax over the batch"])
def test_trying_a_network_leaves_it_and_torchs_random_state_as_they_were(name):
    network = (ADMITTED.get(name) or REFUSED[name][0])().train()
    network.get_submodule("0" if name in ("some frozen", "softmax over the batch") else "features").eval()
    flags = [parameter.requires_grad for parameter in network.parameters()]
    modes = [module.training for module in network.modules()]
    state = {key: value.clone() for key, value in network.state_dict().items()}
    before = torch.get_rng_state()
    try:
        check_network(network, colour(), 10)
    except AATError:
        assert name in REFUSED
    assert torch.equal(torch.get_rng_state(), before)
    assert [parameter.requires_grad for parameter in network.parameters()] == flags
    assert [module.training for module in network.modules()] == modes
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_what_is_refused_is_refused_before_training_and_is_no_run(write, tmp_path, capsys):
    write(NET.replace("self.drop(", "nn.functional.dropout("))
    words = ["train", "--model", "mynets:Net", "--epochs", "1", "--no-evaluate", "--cache-dir", str(tmp_path / "cache")]
    assert main(words) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("aat: model=mynets:Net gives other logits when called again in eval mode; ")
    assert "\n" not in said
    assert not (tmp_path / "cache" / "runs").exists()


# --- Runs of them ----------------------------------------------------------------------------------------------------


def test_a_network_written_by_the_user_is_trained_evaluated_and_read_back(write, tmp_path):
    write(NET)
    run = trained(small(dropout=0.3), tmp_path / "cache", evaluate_with=QUICK_TEST)
    assert run.complete
    assert run.config.model == "mynets:Net"
    assert run.metrics()["loss"].iloc[1] < run.metrics()["loss"].iloc[0]
    assert run.evaluations()[0].num_correct[0] > 2
    from aat_explore import datasets

    data = datasets.load("fashion-mini")
    network = experiment.load_network(run, data)
    assert network[1].drop.p == 0.3
    weights = run.weights(2)
    assert all(np.array_equal(array, weights[name]) for name, array in weights_of(network).items())


def test_a_run_of_custom_network_and_score_cut_off_goes_on_as_if_it_had_not_been():
    training, validation = mini_set(0, 300), mini_set(1000, 1040)
    config = small(model="aat_explore.examples:SmallCNN", score="aat_explore.examples:entropy", epochs=3)
    whole = list(train(config, training, validation, num_classes=10))
    cut = Resume(1, whole[0].weights, whole[0].training_state)
    resumed = list(train(config, training, validation, num_classes=10, resume=cut))
    for one, other in zip(whole[1:], resumed, strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)
        assert all(np.array_equal(one.weights[name], other.weights[name]) for name in one.weights)


@pytest.mark.parametrize(
    ("fields", "num_captured"),
    [
        ({"model": "StdCNN"}, 3),
        ({"model": "aat_explore.examples:SmallCNN"}, 0),
        ({"model": "StdCNN", "attack": {"kind": "aat_explore.examples:margin_pgd"}}, 2),
    ],
    ids=["StdCNN", "custom network", "custom attack"],
)
def test_steps_of_a_custom_network_and_attack_are_never_captured(fields, num_captured, monkeypatch):
    """They may decide in Python, which a CUDA graph would repeat for ever."""
    devices, real = [], capture.Captured.__init__
    monkeypatch.setattr(
        capture.Captured, "__init__", lambda self, *arguments: (devices.append(arguments[1]), real(self, *arguments))[1]
    )
    training, validation = mini_set(0, 256), mini_set(1000, 1040)
    Trainer(small(**fields), training, validation, 10, None)
    assert len(devices) - devices.count(None) == num_captured


def test_a_custom_network_keeps_its_memory_format():
    network = placed(SmallCNN(3, 10), torch.device("cpu"))
    assert network[0][0].weight.is_contiguous()
    assert not placed(fresh("ResNet18"), torch.device("cpu"))[1].layer1[0].conv1.weight.is_contiguous()


# --- Code that changes -----------------------------------------------------------------------------------------------


def test_weights_that_do_not_fit_the_code_any_more_are_one_line(write, tmp_path):
    write(NET)
    run = trained(small(), tmp_path / "cache")
    write(NET.replace("4, 5, stride", "4, 6, stride"))
    said = rf"^the weights of run={run.id}, epoch=2 do not fit the network that its config describes; undo the change"
    with pytest.raises(AATError, match=said):
        experiment.evaluate(run.id, QUICK_TEST, cache_dir=tmp_path / "cache", device="cpu", threads=1)


def test_a_run_whose_module_is_gone_is_one_line_and_still_listed(write, tmp_path):
    path = write(NET)
    run = trained(small(), tmp_path / "cache")
    path.unlink()
    del sys.modules["mynets"]
    with pytest.raises(AATError, match=r"^model=mynets:Net cannot be imported"):
        experiment.evaluate(run.id, QUICK_TEST, cache_dir=tmp_path / "cache", device="cpu", threads=1)
    assert Store(tmp_path / "cache").run_ids() == [run.id]


CHANGED = NET.replace(".relu()", ".tanh()")


def test_a_complete_run_of_other_code_is_not_called_complete(write, tmp_path):
    write(NET)
    run = trained(small(), tmp_path / "cache")
    write("# the same\n" + NET.replace("stride=4)", "stride = 4)  # still"))
    assert trained(small(), tmp_path / "cache").id == run.id
    write(CHANGED)
    with pytest.raises(AATError, match=rf"^run={run.id} was trained with other code of model=mynets:Net; undo"):
        trained(small(), tmp_path / "cache")


def test_a_run_cut_off_does_not_go_on_with_other_code(write):
    training, validation = mini_set(0, 256), mini_set(1000, 1040)
    write(NET + "\ndef score(network, images, labels):\n    return images.mean((1, 2, 3))\n")
    config = small(score="mynets:score")
    first = next(train(config, training, validation, num_classes=10))
    cut = Resume(1, first.weights, first.training_state)
    assert len(list(train(config, training, validation, num_classes=10, resume=cut))) == 1
    write(NET + "\ndef score(network, images, labels):\n    return images.amax((1, 2, 3))\n")
    with pytest.raises(AATError, match="other code of model=mynets:Net score=mynets:score"):
        next(train(config, training, validation, num_classes=10, resume=cut))


def test_what_is_built_in_leaves_no_trace_of_code_in_its_records():
    record = next(train(small(model="StdCNN", score="loss"), mini_set(0, 256), mini_set(1000, 1040), num_classes=10))
    assert all(name.startswith("optimizer.") for name in record.training_state)


def test_a_checkpoint_of_another_network_is_refused():
    with pytest.raises(AATError, match=r"^the weights of this checkpoint do not fit"):
        load_weights(SmallCNN(3, 10), weights_of(SmallCNN(1, 10)))
