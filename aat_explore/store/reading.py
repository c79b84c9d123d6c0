"""Reading files of older and newer versions, by the rules that `records` states."""

import io
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json

from aat_explore.config import Model, Values
from aat_explore.records import RENAMED, EpochMetrics

if TYPE_CHECKING:
    import pandas as pd

TOLERANT: dict[str, Any] = {"extra": "ignore", "context": RENAMED}


class ColumnsMissingError(Exception):
    """Metrics without a required column; the message names all that are missing."""


@dataclass(frozen=True)
class Metrics:
    """`metrics.parquet` in this version's columns, as a table and as values, and those unknown to it."""

    table: pa.Table
    rows: tuple[EpochMetrics, ...]
    unknown: pa.Table

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """The table as a frame; pandas is imported on first use."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame


def recorded(model: type[Model], content: bytes) -> Model:
    """Read a JSON record of any version: old names accepted, unknown fields ignored, missing ones at their default.

    Raises pydantic's ValidationError where a required field is missing or a value does not fit.
    """
    return model.model_validate_json(content, **TOLERANT)


def unknown_fields(content: bytes, read: Values) -> dict[str, Any]:
    """Fields of a JSON record that the value `read` from it lacks; nested ones as `attack.name`."""
    return _beyond(from_json(content), read)


def _beyond(written: dict[str, Any], read: Values) -> dict[str, Any]:
    names = {*type(read).model_fields, *RENAMED.get(type(read), {})}
    unknown = {name: value for name, value in written.items() if name not in names}
    for name, value in read:
        if isinstance(value, Values) and isinstance(written.get(name), dict):
            unknown |= {f"{name}.{part}": beyond for part, beyond in _beyond(written[name], value).items()}
    return unknown


@lru_cache(maxsize=128)  # checking 100 epochs takes 10 ms on a Zen 5 core (median of 15)
def metrics_of(content: bytes) -> Metrics:
    """Read a metrics file of any version: this version's columns in its order, empty cells at their column's default.

    Raises ColumnsMissingError, ValidationError for a cell of the wrong type, and any error of pyarrow or pandas if it
    is not a Parquet file.
    """
    old_names = RENAMED.get(EpochMetrics, {})
    file = pq.ParquetFile(io.BytesIO(content))  # read_table would import pandas
    written = file.schema_arrow.names
    sources = {old_names.get(name, name): name for name in sorted(written, key=lambda name: name not in old_names)}
    fields = EpochMetrics.model_fields
    if missing := [name for name, field in fields.items() if field.is_required() and name not in sources]:
        raise ColumnsMissingError(", ".join(missing))
    known = [source for name, source in sources.items() if name in fields]
    table = file.read(columns=known).replace_schema_metadata()
    columns = {}
    for name, field in fields.items():
        column = _empty_for_nan(table[sources[name]], name) if name in sources else pa.nulls(len(table), type_of(name))
        has_default = not field.is_required() and field.default is not None
        columns[name] = column.fill_null(field.default) if has_default and column.null_count else column
    whole = pa.table(columns)
    unknown = [name for name in written if old_names.get(name, name) not in fields]
    return Metrics(
        table=whole,
        rows=tuple(EpochMetrics.model_validate(row, strict=True) for row in whole.to_pylist()),
        unknown=file.read(columns=unknown).replace_schema_metadata(),
    )


def _empty_for_nan(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Write empty cells as this version does; other writers leave NaN, or a column without type if all are empty."""
    if pa.types.is_null(column.type):
        return column.cast(type_of(name))
    if pa.types.is_floating(column.type) and any(value != value for value in column.to_pylist()):
        import pyarrow.compute as pc  # slow to import, and needed only for files of other writers

        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column


def type_of(name: str) -> pa.DataType:
    """The Parquet type of a column of `EpochMetrics`; None is an empty cell."""
    annotation = EpochMetrics.model_fields[name].annotation
    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    (kind,) = {kinds[part] for part in get_args(annotation) or (annotation,) if part is not NoneType}
    return kind
