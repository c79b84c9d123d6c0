"""The version, below all that asks for it."""

__version__ = "0.1.1"
