"""Steps can be captured: they do the same at the same addresses each time and never wait. On CUDA they are replayed."""

import numpy as np
import pytest
import torch
from networks import mini
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from aat_explore.attacks import REGISTRY
from aat_explore.engine import capture
from aat_explore.engine.batches import ImageSet
from aat_explore.engine.capture import Captured
from aat_explore.engine.counting import robust_correct
from aat_explore.engine.device import repeatable
from aat_explore.engine.first_layer import _block_taps
from aat_explore.engine.trainer import Trainer, train
from aat_explore.presets import preset

needs_cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device"),
]
READS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_consecutive", "is_nonzero", "equal")


def on_cuda(test):
    for mark in needs_cuda:
        test = mark(test)
    return test


class Trace(TorchDispatchMode):
    """What a function does: its operations, their shapes, and which tensors that outlast it they read and write.

    A tensor is known by its place among the `lasting` ones, or as the n-th that the function itself made.
    """

    def __init__(self, lasting):
        super().__init__()
        self.names = {tensor.untyped_storage().data_ptr(): f"lasting {k}" for k, tensor in enumerate(lasting)}
        self.kept, self.steps = [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        inputs = [self._name(leaf) for leaf in tree_leaves((args, kwargs))]
        assert not any(name.startswith("foreign") for name in inputs), (
            f"{func} reads a tensor that was made outside and does not last"
        )
        assert func.overloadpacket.__name__ not in READS, f"{func} waits for the device"
        masks = [leaf for leaf in tree_leaves(args[1:]) if isinstance(leaf, torch.Tensor) and leaf.dtype is torch.bool]
        assert not (func.overloadpacket.__name__ in ("index", "index_put", "index_put_") and masks), f"{func} by a mask"
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.kept.append(leaf)  # so that no address is used twice
                self.names.setdefault(leaf.untyped_storage().data_ptr(), f"made {len(self.names)}")
        self.steps.append((str(func), inputs))
        return result

    def _name(self, leaf):
        if not isinstance(leaf, torch.Tensor):
            return repr(leaf) if isinstance(leaf, int | float | bool | str) else type(leaf).__name__
        name = self.names.get(leaf.untyped_storage().data_ptr(), "foreign")
        return f"{name} {tuple(leaf.shape)} from {leaf.storage_offset()}"


def lasting_tensors(trainer):
    """Everything that keeps its address for the whole run."""
    states = [value for state in trainer.optimizer.state.values() for value in state.values()]
    held = [value for value in vars(trainer.training_pass).values() if isinstance(value, torch.Tensor)]
    recorder = [v for v in vars(trainer.training_pass._recorder).values() if isinstance(v, torch.Tensor)]
    data = [trainer.training.images, trainer.training.labels]
    data += [_block_taps(block) for block in (2, 4)]  # a constant of the CPU's first layer
    return [*trainer.network.parameters(), *trainer.network.buffers(), *states, *held, *recorder, *data]


STEPS = {
    "standard": {"num_perturbed": 0},
    **{
        f"{treatment}, {network}": {"drawn_samples": treatment, "perturbing_network": network}
        for treatment in ("replace", "add", "half")
        for network in ("epoch-start", "on-the-fly")
    },
    "all": {"num_perturbed": "all", "perturbing_network": "on-the-fly"},
    **{f"{kind} on the fly": {"attack": {"kind": kind}, "perturbing_network": "on-the-fly"} for kind in REGISTRY},
    "from a random start": {"attack": {"random_start": True}, "perturbing_network": "on-the-fly"},
    "predicted labels": {"attack": {"label": "predicted"}, "perturbing_network": "on-the-fly"},
    "augmented": {"augment": True, "perturbing_network": "on-the-fly", "drawn_samples": "half"},
    "augmented, epoch-start": {"augment": True},
    "carry-over": {"scoring": "carry-over"},
    "carry-over, half": {"scoring": "carry-over", "drawn_samples": "half", "perturbing_network": "on-the-fly"},
    "sgd": {"optimizer": "sgd"},
    "bfloat16": {"precision": "bfloat16", "attack_precision": "bfloat16", "perturbing_network": "on-the-fly"},
    "ResNet18": {"model": "ResNet18", "drawn_samples": "half", "perturbing_network": "on-the-fly"},
}


@pytest.mark.parametrize("fields", STEPS.values(), ids=STEPS)
def test_equal_steps_do_the_same_at_the_same_addresses_and_never_wait(fields, monkeypatch):
    """All that a CUDA graph requires, held on the CPU: two calls with the same arguments leave the same trace."""
    images, labels = mini()
    count = 40 if fields.get("model") == "ResNet18" else 200
    data = ImageSet((images[:count] * 255).round().byte(), labels[:count])
    n = fields.get("num_perturbed", count // 4)
    options = {"epochs": 9, "batch_size": 20, "num_recorded": 10, "val_attack_steps": 1, "num_perturbed": n}
    trainer = Trainer(preset("mini", **(options | fields)), data, data.first(5), 10, None)
    trainer.run_epoch(1)  # the optimiser makes its state
    traces, repeated, real = {}, set(), Captured.__call__

    def traced(captured, *arguments):
        trace = Trace(lasting_tensors(trainer))
        with trace:
            real(captured, *arguments)
        name = (captured.function.__name__, *arguments)
        if name in traces:
            repeated.add(name[0])
            assert traces[name] == trace.steps
        traces[name] = trace.steps

    monkeypatch.setattr(Captured, "__call__", traced)
    monkeypatch.setattr(trainer.training_pass, "_store", lambda x_adv: in_place(trainer.training_pass, x_adv))
    for epoch in (2, 3):
        trainer.run_epoch(epoch)
    made_in_batches = fields.get("perturbing_network") == "on-the-fly"
    assert repeated == {"_perturb_batch", "_update_on_batch"} | ({"_record_batch"} if made_in_batches else set())


def in_place(training_pass, x_adv):
    """Keep x′ where it was, as on CUDA."""
    if len(training_pass._x_adv) != len(x_adv):
        training_pass._x_adv = x_adv.clone()
    training_pass._x_adv.copy_(x_adv)


def test_the_trace_sees_what_a_graph_forbids():
    kept, passing = torch.ones(4), torch.ones(4)
    for forbidden, reason in (
        (lambda: kept.sum().item(), "waits"),
        (lambda: kept[kept > 0], "by a mask"),
        (lambda: kept + passing, "made outside"),
    ):
        with pytest.raises(AssertionError, match=reason), Trace([kept]):
            forbidden()


def test_without_cuda_a_captured_function_just_runs():
    total = torch.zeros(3)
    add = Captured(lambda value: total.add_(value), torch.device("cpu"))
    for k in range(6):
        add(k)
    assert total.tolist() == [15.0] * 3


@on_cuda
def test_a_replayed_function_does_what_it_did():
    total, steps = torch.zeros(3, device="cuda"), torch.zeros((), device="cuda")

    def add(factor):
        steps.add_(1)
        total.add_(factor * steps)

    captured = Captured(add, torch.device("cuda"))
    for _ in range(5):
        captured(1)
        captured(2)
    assert total.tolist() == [float(sum(range(1, 11, 2)) + 2 * sum(range(2, 11, 2)))] * 3


@on_cuda
def test_replays_draw_on_and_can_be_seeded_again():
    generator = torch.Generator("cuda")
    noise = torch.zeros(8, device="cuda")
    captured = Captured(
        lambda: noise.copy_(torch.rand(8, device="cuda", generator=generator)), noise.device, [generator]
    )

    def draws():
        generator.manual_seed(7)
        return [(captured(), noise.clone())[1] for _ in range(4)]

    first, second, third = draws(), draws(), draws()
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(first, second, third, strict=True))
    assert not torch.equal(first[0], first[1])


@on_cuda
def test_a_failed_capture_says_so_once_and_everything_runs_on():
    """Also what draws random numbers, from the global generator and from others, and what was captured before."""
    device, seen, dropped = torch.device("cuda"), [], torch.ones(1000, device="cuda")
    other = Captured(lambda: torch.nn.functional.dropout(dropped, inplace=False).sum(), device)
    [other() for _ in range(3)]
    failing = Captured(lambda: seen.append(torch.nn.functional.dropout(dropped).sum().item()), device)
    with pytest.warns(UserWarning, match="not captured"):
        [failing() for _ in range(4)]
    assert len(seen) >= 3
    torch.cuda.manual_seed(1)
    [other() for _ in range(3)]
    torch.nn.functional.dropout(dropped)


@on_cuda
@pytest.mark.parametrize("fields", STEPS.values(), ids=STEPS)
def test_captured_epochs_are_the_eager_epochs(fields):
    """The same kernels in the same order, random numbers from the same streams: the same bits after three epochs."""
    images, labels = mini()
    data = ImageSet((images * 255).round().byte().cuda(), labels.cuda())
    options = {"num_perturbed": 100, "epochs": 3, "val_attack_steps": 1, "val_attack_images": 10, "num_recorded": 20}
    config = preset("mini", **(options | fields))
    with repeatable(data.images.device):
        captured = list(train(config, data, data.first(100), num_classes=10))[-1]
        with capture.eager():
            eager = list(train(config, data, data.first(100), num_classes=10))[-1]
    for name in captured.weights:
        np.testing.assert_array_equal(captured.weights[name], eager.weights[name], err_msg=name)
    np.testing.assert_array_equal(captured.x_adv, eager.x_adv)
    np.testing.assert_array_equal(captured.recorded_losses, eager.recorded_losses)


@on_cuda
def test_a_card_draws_the_picks_of_the_cpu():
    """In the first epoch, where scores differ by rounding alone: norms within 2%, nine picks of ten the same."""
    images, labels = mini()
    config = preset("mini", num_perturbed=100, epochs=1, val_attack_steps=1, val_attack_images=10)
    records = []
    for device in ("cpu", "cuda"):
        data = ImageSet((images * 255).round().byte().to(device), labels.to(device))
        with repeatable(data.images.device):
            records.append(next(train(config, data, data.first(50), num_classes=10)))
    cpu, cuda = records
    np.testing.assert_allclose(cuda.probabilities, cpu.probabilities, rtol=0.02)
    assert len(set(cpu.drawn.tolist()) & set(cuda.drawn.tolist())) >= 90


@on_cuda
def test_dropping_fooled_images_seldom_changes_no_verdict():
    """On a card they are dropped every few steps, on the CPU after each."""
    images, labels = mini()
    network = Trainer(preset("mini"), ImageSet((images * 255).byte(), labels), None, 10, None).network
    attack = preset("frontier-mini").resolved_attack
    verdicts = []
    for device in ("cpu", "cuda"):
        data = ImageSet((images[:500] * 255).round().byte().to(device), labels[:500].to(device))
        starts = torch.Generator().manual_seed(0)
        with repeatable(data.images.device):
            verdicts.append(robust_correct(network.to(device), data, attack, generator=starts).cpu())
    assert int((verdicts[0] != verdicts[1]).sum()) <= 3
