"""Where a run computes: the device, its name, and how many threads."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch

from aat_explore.errors import AATError
from aat_explore.version import __version__

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
MAX_THREADS = 1024  # more than any machine has; beyond it torch overflows or exhausts the system


def choose_device(name: str | None = None) -> torch.device:
    """Return the named device, by default the first available of CUDA, MPS and CPU; AATError if it is not available."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise AATError(
            f"device={name} is not available here; omit it to choose one automatically, or use cpu"
        ) from None
    return device


@contextmanager
def fixed_threads(count: int | None) -> Iterator[None]:
    """Fix the number of CPU threads, on which the bits of a CPU run depend; restore it on exit."""
    if count is not None and not 1 <= count <= MAX_THREADS:
        raise AATError(f"threads={count} is not in 1..{MAX_THREADS}; omit it to use all cores")
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Restrict CUDA to deterministic kernels and true float32; restore its settings on exit.

    cuDNN's default for convolutions is TF32: ten bits of mantissa, which would make gradients 0.1% wrong and flip
    signs that FGSM and PGD step along. Deterministic mode would also fill all fresh memory, to expose code that reads
    it before writing; that costs launches (on an H200 it tripled the time of StdCNN's validation), so it is off.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, when cuBLAS starts
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    deterministic: Any = torch.utils.deterministic  # its one setting is a property, unknown to type checkers
    filled = deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    deterministic.fill_uninitialized_memory = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        deterministic.fill_uninitialized_memory = filled


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for later allocations of this process; no-op without glibc.

    By default it returns large blocks to the system and faults each page in again: for StdCNN's scoring 5,400 page
    faults per batch of 200, a third of the time on two Zen 5 cores.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for parameter, value in ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, (1 << 31) - 1), (M_TOP_PAD, 64 << 20)):
        mallopt(parameter, value)


@contextmanager
def computing(name: str | None, threads: int | None) -> Iterator[torch.device]:
    """Choose the device, and make this process fast and repeatable on it; AATError as from the functions above."""
    device = choose_device(name)
    keep_freed_memory()
    with fixed_threads(threads), repeatable(device):
        yield device


def chunk_size(device: torch.device) -> int:
    """Return how many images go through a network at once where no batch size is given.

    On the CPU 200: StdCNN's scoring is equally fast in batches of 128 to 500 on two Zen 5 cores, and smaller batches
    let an attack drop fooled images sooner. A GPU needs more: with 2000 an H200's kernels hide their launches.
    """
    return 200 if device.type == "cpu" else 2000


def steps_between_drops(device: torch.device) -> int:
    """Return after how many steps of an attack the images that it has fooled are dropped.

    On the CPU after each, since an image fewer is work saved. A GPU is kept waiting by each look at the results.
    """
    return 1 if device.type == "cpu" else 8


def describe(device: torch.device) -> str:
    """Return a device's kind and name, as in records."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({platform.machine()})"


def versions() -> dict[str, str]:
    """Return the versions a result depends on."""
    return {"aat-explore": __version__, "torch": torch.__version__, "python": platform.python_version()}


class Stopwatch:
    """Wall seconds by phase; each lap waits for the device, so that kernels count in their phase."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last = self._now()
        self.seconds: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """Add the time since the last lap to `phase`."""
        now = self._now()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()
        return perf_counter()
