"""Libraries that the tool can do without: whether one is there, and how to get it."""

import importlib
import importlib.util
from typing import Any

from aat_explore.errors import AATError

REMEDIES = {
    "art": "pip install 'aat-explore[eval]'",
    "foolbox": "pip install 'aat-explore[eval]'",
    "pyautoattack": "pip install 'aat-explore[eval]'",
    "torchattacks": "pip install --no-deps torchattacks",  # what it pins cannot be installed beside Streamlit
    "vl_convert": "pip install 'aat-explore[export]'",
}


def installed(library: str) -> bool:
    """Whether a library of `REMEDIES` is there, without importing it."""
    return importlib.util.find_spec(library) is not None


def imported(module: str) -> Any:
    """Import a library of `REMEDIES`, or a module of one; AATError says how to get it where it cannot be imported."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise AATError(f"{module} cannot be imported ({error}); {remedy(module)}") from None


def remedy(module: str) -> str:
    """The command that installs the library of a module."""
    return REMEDIES[module.partition(".")[0]]
