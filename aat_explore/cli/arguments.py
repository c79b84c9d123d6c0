"""Parsing the command line: tyro reads flags and types, the pydantic models check values.

Commands are in `commands/`, one file per group: each dataclass `class Name(Command)` there is `aat name`. They are
found in the text of these files, without importing them, so that `aat --help` and light commands start quickly.
"""

import ast
import contextlib
import difflib
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Union, cast

import tyro

from aat_explore.budgets import number
from aat_explore.cli import commands
from aat_explore.cli.flags import Command
from aat_explore.errors import AATError
from aat_explore.version import __version__

DESCRIPTION = """Train neural networks by adaptive adversarial training, and explore what it does.

In each epoch only n well-chosen training samples are perturbed. Every run is kept in a cache: which samples were
picked, by which probabilities, and what that buys in clean and robust accuracy. `aat demo` is the place to start;
`aat COMMAND --help` lists a command's flags, and `aat --version` prints the version."""
FIRST = ("training", "demo", "runs", "robustness", "grids", "app")  # order of the groups in the help; others follow


REGISTRY = tyro.constructors.ConstructorRegistry()


@REGISTRY.primitive_rule
def _numbers(kind: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[float] | None:
    """Read numbers as people write them, 8/255 among them."""
    if kind.type is not float:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="FLOAT",
        instance_from_str=lambda words: number(words[0]),
        is_instance=lambda value: isinstance(value, float | int),
        str_from_instance=lambda value: [str(value)],
    )


@dataclass(frozen=True)
class Entry:
    """A command's module and class, and its help."""

    module: str
    name: str
    help: str

    def load(self) -> type[Command]:
        """Import the command."""
        return cast(type[Command], getattr(import_module(self.module), self.name))


@dataclass
class OtherCommand:
    """Stands for every command but the requested one, whose flags are not needed."""


@cache
def entries() -> dict[str, Entry]:
    """Return every command by its name, in the order of the help."""
    files = [path for folder in commands.__path__ for path in Path(folder).glob("*.py")]
    files.sort(key=lambda path: ([*FIRST, path.stem].index(path.stem), path.stem))
    return {
        node.name.lower(): Entry(f"{commands.__name__}.{path.stem}", node.name, ast.get_docstring(node) or "")
        for path in files
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == Command.__name__ for base in node.bases)
    }


def parse(argv: Sequence[str]) -> Command:
    """Return the requested command; AATError says in one line what cannot be parsed."""
    words = list(argv)
    if words == ["--version"]:
        print(f"aat {__version__}")
        raise SystemExit(0)
    if words and not words[0].startswith("-") and words[0] not in entries():
        raise AATError(f"{words[0]} is not a command{_meant(words[0])}; see `aat --help`")
    every = any(word.startswith("--tyro-") for word in words)  # tab completion needs all flags
    kinds = [_kind(name, words, asked=every or words[:1] == [name]) for name in entries()]
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return _read(kinds, words)
    except SystemExit as ended:
        if ended.code in (0, None):
            raise
    raise AATError(_complaint(kinds, words))


def _kind(name: str, words: list[str], *, asked: bool) -> Any:
    """Return a command as a part of tyro's union."""
    entry = entries()[name]
    if not asked:
        return Annotated[OtherCommand, tyro.conf.subcommand(name, description=entry.help)]
    command = entry.load()
    return Annotated[command, tyro.conf.subcommand(name, default=command.implied_by(words))]


def _read(kinds: list[Any], words: list[str]) -> Command:
    union: Any = Union[tuple(kinds)]  # noqa: UP007, of types known only at run time
    return cast(Command, tyro.cli(union, prog="aat", args=words, description=DESCRIPTION, registry=REGISTRY))


def _complaint(kinds: list[Any], words: list[str]) -> str:
    """Return tyro's complaint about the words in one line, and where to read more.

    On a terminal wide enough to break no line, and without box characters, tyro prints a title, a rule of hyphens and
    the reason; another rule and hints may follow.
    """
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(1000 + 10 * sum(map(len, words)))
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()) as output,
            contextlib.suppress(SystemExit),
        ):
            _read(kinds, words)
    finally:
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output.getvalue())
    _, reason, hints, *_ = [*re.split(r"^ *-+ *$", plain, flags=re.MULTILINE), "", "", ""]
    reason = reason.partition("Got errors:")[0]  # of each member of a union; the reason has named them
    reason = reason.replace("Expected one of ('None', ", "Expected one of (")  # None is what leaving it out means
    similar = re.findall(r"^ *(--[a-z][a-z.-]*)", hints, flags=re.MULTILINE) if "Perhaps you meant" in hints else []
    command = [word for word in words[:1] if word in entries()]
    complaint = f"{' '.join(reason.split()).rstrip('.')}{_or(similar)}"
    return f"{complaint}; see `{' '.join(['aat', *command, '--help'])}`"


def _meant(command: str) -> str:
    return _or([f"`aat {name}`" for name in difflib.get_close_matches(command, entries(), n=2)])


def _or(names: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(dict.fromkeys(names))}?" if names else ""
