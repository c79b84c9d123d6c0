"""Custom networks, scores and attacks, named as `package.module:name`: importing them, and errors that name them."""

import ast
import hashlib
import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aat_explore.attacks import REGISTRY as ATTACKS
from aat_explore.config import NETWORKS, RunConfig
from aat_explore.errors import AATError
from aat_explore.records import Arrays
from aat_explore.scores import SCORES

DIGEST = "own_code"  # among a checkpoint's training state


def places(config: RunConfig) -> dict[str, str]:
    """Return the custom ones among `model`, `score` and `attack.kind`, each with its `package.module:name`."""
    needed = config.canonical()
    named = (
        ("model", config.model, NETWORKS), ("score", needed.score, SCORES), ("attack.kind", needed.attack.kind, ATTACKS)
    )  # fmt: skip
    return {field: place for field, place, built_in in named if place not in built_in}


def code_state(config: RunConfig) -> Arrays:
    """Return `own_code`, the sha256 of the modules that define a run's custom parts; {} if it has none.

    A run's id covers its settings, which name the code but do not contain it. Comments and layout do not count, nor
    do the modules that these import.
    """
    sources = [_syntax(imported(field, place)) for field, place in places(config).items()]
    digest = hashlib.sha256("\n".join(sources).encode()).digest()
    return {DIGEST: np.frombuffer(digest, dtype=np.uint8)} if any(sources) else {}


def _syntax(part: Any) -> str:
    """Return the syntax tree of the module that defines a custom part, as text; "" if it has no source to read."""
    try:
        return ast.dump(ast.parse(inspect.getsource(inspect.getmodule(part) or part)))
    except (OSError, TypeError):  # compiled, or defined in a console
        return ""


def check_code(config: RunConfig, state: Arrays) -> None:
    """Raise AATError if the custom code has changed since a run's `state` was written."""
    if DIGEST in state and not np.array_equal(state[DIGEST], code_state(config).get(DIGEST, ())):
        named = " ".join(f"{field}={place}" for field, place in places(config).items())
        raise AATError(
            f"run={config.run_id} was trained with other code of {named}; undo the change, rename what has "
            "changed, or move the run away"
        )


def imported(field: str, place: str) -> Any:
    """Return the object at `package.module:name`; the current folder is searched first, as by `python -m`.

    Raises AATError, naming the config's `field`, if the module cannot be found or imported, or lacks the name.
    """
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    module_name, _, name = place.partition(":")
    importlib.invalidate_caches()  # so that a file written a moment ago is found
    with blamed(f"{field}={place}", f"cannot be imported; searched {here} and Python's import path"):
        module = importlib.import_module(module_name)
    if not hasattr(module, name):
        where = getattr(module, "__file__", None) or module_name
        raise AATError(f"{field}={place} does not exist: {where} has no {name!r}; correct the name")
    return getattr(module, name)


@contextmanager
def blamed(name: str, wrong: str) -> Iterator[None]:
    """Turn any exception of custom code into an AATError of one line: its name, what is wrong, and the exception."""
    try:
        yield
    except (AATError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise AATError(f"{name} {wrong} ({type(error).__name__}: {' '.join(str(error).split())})") from error
