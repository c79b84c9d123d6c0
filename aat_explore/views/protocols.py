"""The interfaces of cached run and data set that views need; `store.Run` and `datasets.Dataset` satisfy them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aat_explore.config import RunConfig
from aat_explore.records import CheckReport, EpochMetrics, Evaluation

if TYPE_CHECKING:
    import pandas as pd

Array: TypeAlias = NDArray[Any]
UInt8: TypeAlias = NDArray[np.uint8]
Frame: TypeAlias = "pd.DataFrame"  # for pages, which pass frames on without importing pandas


class Run(Protocol):
    """What views need of a cached run; see `store.Run` for shapes."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def config(self) -> RunConfig: ...  # noqa: D102
    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def complete(self) -> bool: ...  # noqa: D102
    @property
    def recorded(self) -> bool: ...  # noqa: D102
    @property
    def showcase(self) -> bool: ...  # noqa: D102
    def metrics(self) -> "pd.DataFrame": ...  # noqa: D102
    def rows(self) -> Sequence[EpochMetrics]: ...  # noqa: D102
    def probabilities(self, epoch: int) -> Array | None: ...  # noqa: D102
    def scores(self, epoch: int) -> dict[str, Array]: ...  # noqa: D102
    def drawn(self, epoch: int) -> Array: ...  # noqa: D102
    def x_adv(self, epoch: int) -> Array: ...  # noqa: D102
    def recorded_losses(self, epoch: int) -> Array | None: ...  # noqa: D102
    def recorded_classes(self, epoch: int) -> Array | None: ...  # noqa: D102
    def evaluations(self) -> list[Evaluation]: ...  # noqa: D102
    def verdicts(self, evaluation: Evaluation) -> Array | None: ...  # noqa: D102
    def checks(self) -> list[CheckReport]: ...  # noqa: D102


class Split(Protocol):
    """What views need of a split; see `datasets.Split` for shapes."""

    @property
    def labels(self) -> NDArray[np.uint8]: ...  # noqa: D102
    def images(self, indices: Array) -> NDArray[np.uint8]: ...  # noqa: D102


class Dataset(Protocol):
    """What views need of a data set."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def train(self) -> Split: ...  # noqa: D102
    @property
    def test(self) -> Split: ...  # noqa: D102
