"""The base of all commands, flags that several share, and flags made from a pydantic model."""

import dataclasses
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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


Device = Annotated[
    Literal["cuda", "mps", "cpu"] | None,
    one_of(("cuda", "mps", "cpu")),
    tyro.conf.arg(help="Where to compute; None = cuda, else mps, else cpu."),
]
Threads = Annotated[
    int | None, tyro.conf.arg(help="CPU threads; results repeat bit for bit with the same number; None = all cores.")
]
RunId = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="A run's name, from `aat list`.")]
Json = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Print JSON.")]


@dataclasses.dataclass(frozen=True)
class PlaceFlags(Place):
    """The flags of a command that trains or attacks."""

    cache_dir: CacheDir = dataclasses.field(default_factory=default_cache)
    device: Device = None
    threads: Threads = None


Where = Annotated[PlaceFlags, tyro.conf.arg(name="")]


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
        argument = tyro.conf.arg(help=info.description, aliases=ALIASES.get(f"{model.__name__}.{name}"))
        fields.append((name, Annotated[kind, argument], default))
    return dataclasses.make_dataclass(f"{model.__name__}Flags", fields)
