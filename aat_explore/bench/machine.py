"""The rates of a machine, and the operations, bytes and memory that a call needs."""

import ctypes
import gc
import platform
import statistics
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from aat_explore.engine import capture
from aat_explore.engine.device import Stopwatch

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Counts:
    """What one call needed; None where this machine does not report it."""

    peak_bytes: int | None
    flops: float
    bytes_moved: float


def counted(work: Callable[[], object], device: torch.device, *, again: bool = False) -> Counts:
    """Run `work` and count its operations, its bytes and its peak memory above that held before.

    With `again` operations and bytes are those of a second call. Threads that `work` starts are not counted.
    """
    before = _start_peak(device)
    with capture.eager():
        if again:
            work()
        with Operations() as operations:
            work()
    peak = None if before is None else max(0, _peak(device) - before)
    return Counts(peak, float(operations.flops), float(operations.bytes_moved))


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the FLOPs of products and convolutions by torch's formulas, and the bytes that operations read and write.

    Views move nothing. (`FlopCounterMode` tracks modules by hooks that fail under `torch.autograd.grad`.)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.bytes_moved = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count one operation."""
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        if not func.is_view:
            self.bytes_moved += sum(tensor.nbytes for tensor in _tensors((args, kwargs, result)))
        return result


def _tensors(nested: Any) -> Iterator[Tensor]:
    leaves, _ = torch.utils._pytree.tree_flatten(nested)
    return (leaf for leaf in leaves if isinstance(leaf, Tensor))


def matrix_rate(device: torch.device) -> float:
    """Return the measured FLOPs per second of a matrix product: bfloat16 on CUDA, float32 elsewhere."""
    side, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (2048, torch.float32)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / _median_seconds(lambda: a @ b, device)


def copy_rate(device: torch.device) -> float:
    """Return the measured bytes per second, read and written, of a copy of 256 MiB."""
    source = torch.zeros(1 << 26, device=device)
    target = torch.zeros_like(source)
    return 2 * source.nbytes / _median_seconds(lambda: target.copy_(source), device)


def _median_seconds(work: Callable[[], object], device: torch.device, times: int = 9) -> float:
    work()
    seconds = []
    for _ in range(times):
        watch = Stopwatch(device)
        work()
        watch.lap("work")
        seconds.append(watch.seconds["work"])
    return statistics.median(seconds)


def processor() -> str:
    """Return the processor's name as the system reports it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _start_peak(device: torch.device) -> int | None:
    """Reset the peak and return the memory held; freed memory first goes to the system, so that its reuse counts."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: resets the peak to the memory held
        return _status_bytes("VmRSS")
    return None


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    (line,) = (line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
