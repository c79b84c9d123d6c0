"""How far a piece of work is, in the one form in which every long function reports it."""

from typing import Protocol


class Progress(Protocol):
    """Receives `done` of `total`, counted in images, checks or steps, and the next part's name if parts have names."""

    def __call__(self, done: float, total: float, part: str = "") -> None: ...  # noqa: D102


def silent(done: float, total: float, part: str = "") -> None:
    """Report nothing."""
