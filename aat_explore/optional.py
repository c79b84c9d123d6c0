"""Optional libraries: whether one is installed, and how to install it."""

import importlib
import importlib.util
from typing import Any

from aat_explore.errors import AATError

REMEDIES = {
    "art": "pip install 'aat-explore[eval]'",
    "foolbox": "pip install 'aat-explore[eval]'",
    "pyautoattack": "pip install 'aat-explore[eval]'",
    "torchattacks": "pip install --no-deps torchattacks",  # its pinned requirements conflict with Streamlit's
    "umap": "pip install 'aat-explore[embed]'",
    "vl_convert": "pip install 'aat-explore[export]'",
}


def installed(library: str) -> bool:
    """Whether a library of `REMEDIES` is installed, without importing it."""
    return importlib.util.find_spec(library) is not None


def imported(module: str) -> Any:
    """Import a library of `REMEDIES`, or a module of one; AATError says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise AATError(f"{module} cannot be imported ({error}); {remedy(module)}") from None


def remedy(module: str) -> str:
    """Return the command that installs the library of a module."""
    return REMEDIES[module.partition(".")[0]]
