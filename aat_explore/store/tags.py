"""Tags: named sets of training rows, kept beside the runs of a cache and never in one, because any run can be asked.

cache/tags/<data set>-<digest>/<tag>-<digest>.json      name, data set, rows, created
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from aat_explore.config import Values
from aat_explore.errors import AATError
from aat_explore.places import cache_folder
from aat_explore.store.writer import write_whole

LONGEST = 60  # characters of a tag's name


class Tag(Values):
    """A named set of rows of a data set's training split."""

    name: str = Field(min_length=1, max_length=LONGEST, description="The name that a person gave it.")
    dataset: str = Field(description="Data set whose rows these are.")
    rows: tuple[int, ...] = Field(min_length=1, description="Rows of the training split, from 0, ascending, distinct.")
    created: str = Field(description="UTC, ISO 8601.")


class Tags:
    """The tags of one data set in a cache."""

    def __init__(self, dataset: str, root: Path | str | None = None) -> None:
        self.dataset = dataset
        self._folder = cache_folder(root) / "tags" / _file_name(dataset)

    def list(self) -> list[Tag]:
        """All readable tags by name; a file that is not a tag of this data set is passed over."""
        tags = []
        for path in self._folder.glob("*.json"):
            try:
                tag = Tag.model_validate_json(path.read_bytes())
            except (OSError, ValidationError):
                continue
            if tag.dataset == self.dataset:
                tags.append(tag)
        return sorted(tags, key=lambda tag: tag.name.casefold())

    def save(self, name: str, rows: Sequence[int]) -> Tag:
        """Write a tag, in place of one of the same name.

        Raises AATError for an empty or long name, no rows, rows below 0, or a cache that cannot be written to.
        """
        name = " ".join(name.split())
        if not 1 <= len(name) <= LONGEST:
            raise AATError(f"tag={name[:LONGEST]!r} has {len(name)} characters; use 1 to {LONGEST}")
        distinct = tuple(sorted({int(row) for row in rows}))
        if not distinct or distinct[0] < 0:
            raise AATError(f"rows={list(distinct[:3])} of tag={name!r} are no selection; select samples first")
        created = datetime.now(UTC).isoformat(timespec="seconds")
        tag = Tag(name=name, dataset=self.dataset, rows=distinct, created=created)
        write_whole(self._path(name), tag.model_dump_json(indent=1).encode())
        return tag

    def remove(self, name: str) -> None:
        """Delete a tag, if it is there."""
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise AATError(f"tag={name!r} cannot be deleted from {self._folder} ({error.strerror})") from None

    def _path(self, name: str) -> Path:
        return self._folder / f"{_file_name(name)}.json"


def _file_name(text: str) -> str:
    """A readable file name for any text, different for different texts."""
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]
    return f"{readable or 'tag'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
