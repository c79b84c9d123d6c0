"""The base of all commands, flags that several share, and flags made from a pydantic model."""

import dataclasses
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import tyro

from aat_explore.places import Place
from aat_explore.places import default_cache as default_cache

if TYPE_CHECKING:
    from pydantic import BaseModel


ALIASES = {"AttackConfig.kind": ["--attack"]}


class Command:
    """A command: its fields are its flags, its docstring is its help, `run` does it."""

    @classmethod
    def implied_by(cls, words: Sequence[str]) -> Any:
        """Return the command whose fields are the defaults for these words; here the class's own defaults."""
        return tyro.MISSING_NONPROP

    def run(self) -> int:
        """Do it and return the exit code."""
        raise NotImplementedError


CacheDir = Annotated[Path, tyro.conf.arg(help="The cache folder (AAT_CACHE).")]


def one_of(names: Sequence[str]) -> Any:
    """Return how tyro reads one of `names`, or None; its own rule lists the choices of an error in random order."""
    choices = ("None", *names)
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="{" + ",".join(names) + "}",
        instance_from_str=lambda words: None if words[0] == "None" else words[0],
        is_instance=lambda value: value is None or value in names,
        str_from_instance=lambda value: [str(value)],
        choices=choices,
    )


def optional(metavar: str | None, text: str, **kwargs: Any) -> Any:
    """Describe a flag that may be left out; what the text says of None, as in "None = all cores", is then its default.

    `metavar`: the word that stands for a value; None: that of the flag's type, or of `one_of`.
    """
    unset = re.search(r";? ?None = (.+?)\.(?= [A-Z]|$)", text)
    said, default = (text, "") if unset is None else (text.replace(unset[0], ".").strip(), unset[1])
    return tyro.conf.arg(
        help=said, metavar=metavar, help_behavior_hint=lambda value: _default(value, default), **kwargs
    )


def _default(value: str, unset: str) -> str:
    shown = unset if value == "None" else value
    return f"(default: {shown})" if shown else "(optional)"


Device = Annotated[
    Literal["cuda", "mps", "cpu"] | None,
    one_of(("cuda", "mps", "cpu")),
    optional(None, "Where to compute; None = cuda, else mps, else cpu."),
]
Threads = Annotated[
    int | None, optional("INT", "CPU threads; results repeat bit for bit with the same number; None = all cores.")
]
RunId = Annotated[
    str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="A run's name, from `aat list`, or its beginning.")
]
Json = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Print JSON.")]


@dataclasses.dataclass(frozen=True)
class PlaceFlags(Place):
    """The flags of a command that trains or attacks."""

    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    device: Device = None
    threads: Threads = None


Where = Annotated[PlaceFlags, tyro.conf.arg(name="")]


def _metavar(kind: Any) -> str:
    """The word for a value of a type that may be None: INT, "FLOAT …"."""
    (member,) = [member for member in get_args(kind) if member is not NoneType]
    if get_origin(member) is tuple:
        return f"{get_args(member)[0].__name__.upper()} …"
    return "{True,False}" if member is bool else member.__name__.upper()


@cache
def flags_of(model: "type[BaseModel]") -> Any:
    """Return a dataclass with the fields, types and help of a pydantic model, for tyro to fill.

    Values are checked once, by the model itself, so that the command line and Python give the same errors.
    """
    defaults = model()
    fields: list[Any] = []
    for name, info in model.model_fields.items():
        kind: Any = info.annotation
        default = getattr(defaults, name)
        if hasattr(kind, "model_fields"):
            kind = flags_of(kind)
            default = dataclasses.field(default_factory=kind)
        aliases = ALIASES.get(f"{model.__name__}.{name}")
        argument = (
            optional(_metavar(kind), info.description or "", aliases=aliases)
            if NoneType in get_args(kind)
            else tyro.conf.arg(help=info.description, aliases=aliases)
        )
        fields.append((name, Annotated[kind, argument], default))
    return dataclasses.make_dataclass(f"{model.__name__}Flags", fields)
