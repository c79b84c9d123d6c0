"""Random streams: each use of random numbers has a separate one, derived from the run's seed, the use and the epoch.

Nothing random is carried from epoch to epoch, so a resumed run needs no saved generator state, and the draw of epoch 42
can be repeated alone from its cached distribution.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

CPU = torch.device("cpu")
Use = Literal["init", "shuffle", "draw", "attack", "augmentation", "dropout", "validation", "calibration", "score"]


def stream_seed(seed: int, use: Use, epoch: int = 0) -> int:
    """Return the 63-bit seed of one stream; a hash, so that streams of neighbouring seeds and epochs are unrelated."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{use}/{epoch}".encode()).digest()[:8], "big") >> 1


def stream(seed: int, use: Use, epoch: int = 0) -> torch.Generator:
    """Return a generator on the CPU, so that the random numbers are the same for every device."""
    return torch.Generator().manual_seed(stream_seed(seed, use, epoch))


class DeviceStream:
    """A stream whose numbers are drawn where they are used: on CUDA on the device, as a captured step requires.

    There the numbers differ from the CPU's. The generator is one object for the whole run, seeded for each epoch.
    """

    def __init__(self, seed: int, use: Use, device: torch.device) -> None:
        self._seed, self._use = seed, use
        self.generator = torch.Generator(device if device.type == "cuda" else CPU)

    def begin(self, epoch: int) -> torch.Generator:
        """Seed the generator for an epoch and return it."""
        return self.generator.manual_seed(stream_seed(self._seed, self._use, epoch))


@contextmanager
def global_stream(seed: int, use: Use, epoch: int = 0, device: torch.device = CPU) -> Iterator[None]:
    """Seed the global generators of CPU and device, which initialisation and dropout use; restore both on exit."""
    value = stream_seed(seed, use, epoch)
    mps_state = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(value)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(value)
        elif device.type == "mps":
            torch.mps.manual_seed(value)
        try:
            yield
        finally:
            if mps_state is not None:
                torch.mps.set_rng_state(mps_state)
