"""Budgets ε as the field writes them: 8/255 is read as a number, and a number that is k/255 is shown as that."""

import re

FRACTION = re.compile(r"\s*(\d+(?:\.\d*)?)\s*/\s*(\d+(?:\.\d*)?)\s*")
LEVELS = 255  # of a pixel above 0


def number(text: str) -> float:
    """The number that a text such as `0.03`, `1e-3` or `8/255` stands for; ValueError if it stands for none."""
    if (fraction := FRACTION.fullmatch(text)) is None:
        return float(text)
    if not float(fraction[2]):
        raise ValueError(f"{text} divides by 0")
    return float(fraction[1]) / float(fraction[2])


def epsilon_text(epsilon: float) -> str:
    """ε for people: as a decimal if three digits hold it, else as k/255 if it is one, else as three digits."""
    decimal, level = f"{epsilon:.3g}", round(epsilon * LEVELS)
    return f"{level}/{LEVELS}" if float(decimal) != epsilon and level / LEVELS == epsilon else decimal
