"""Waiting for what other processes do."""

import time
from collections.abc import Callable

PATIENCE = 60  # seconds; the machine may be busy


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Return as soon as the condition holds; fails the test if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"did not happen in {seconds} s"
        time.sleep(0.05)
