"""Whole steps as CUDA graphs: one launch instead of some hundreds."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

WARM_UP = 3  # calls before the capture: cuDNN chooses its kernels and the optimiser creates its state


_eager = False


@contextmanager
def eager() -> Iterator[None]:
    """Run functions without capturing them, to count their operations or to compare the results."""
    global _eager
    before, _eager = _eager, True
    try:
        yield
    finally:
        _eager = before


class Captured:
    """A function of fixed shapes that works on tensors in place; on CUDA it is captured once and then replayed.

    The first calls run uncaptured on a side stream, as CUDA graphs require. After the capture the same kernels are
    replayed on copies of the inputs, so the results are the same. On other devices, and after a failed capture (which
    warns once), the function simply runs. CUDA graphs rather than torch.compile, which needs a compiler on the user's
    machine and was slower on the CPU. Not measured on a GPU yet.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.forget()

    def forget(self) -> None:
        """Discard the graph, because the tensors that the function works on have moved."""
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()

    def __call__(self, *inputs: Tensor) -> None:
        """Run, capture or replay the function; the inputs must have the same shapes in every call."""
        if _eager or self._calls < 0 or not inputs[0].is_cuda:
            self.function(*inputs)
        elif self._graph is not None:
            self._replay(inputs)
        elif self._calls < WARM_UP:
            self._calls += 1
            self._warm_up(inputs)
        elif self._record(inputs):
            self._replay(inputs)
        else:
            self.function(*inputs)

    def _warm_up(self, inputs: tuple[Tensor, ...]) -> None:
        here = torch.cuda.current_stream()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            self.function(*inputs)
        here.wait_stream(stream)

    def _record(self, inputs: tuple[Tensor, ...]) -> bool:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.function(*self._inputs)
        except RuntimeError as error:
            self._calls = -1
            warnings.warn(f"steps are not captured as a CUDA graph and run slower: {error}", stacklevel=3)
            return False
        self._graph = graph
        return True

    def _replay(self, inputs: tuple[Tensor, ...]) -> None:
        assert self._graph is not None
        for graph_input, new in zip(self._inputs, inputs, strict=True):
            graph_input.copy_(new)
        self._graph.replay()
