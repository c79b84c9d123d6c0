"""Contrast of text to what it stands on, as WCAG 2 defines it; 4.5 : 1 is what it asks of text of ordinary size."""

ENOUGH = 4.5
STEPS = 40  # in which a colour is moved towards black or white

Channels = tuple[float, float, float]


def contrast(one: str, other: str) -> float:
    """Contrast of two colours `#rrggbb`, from 1 (the same) to 21 (black and white)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, ground: str) -> str:
    """The colour, as far towards black or white as it must be moved to be read as text on `ground`."""
    end = max(("#000000", "#ffffff"), key=lambda end: contrast(end, ground))
    tried = (_mixed(colour, end, step / STEPS) for step in range(STEPS + 1))
    return next(mixed for mixed in tried if contrast(mixed, ground) >= ENOUGH)


def _mixed(one: str, other: str, share: float) -> str:
    parts = (round(255 * (a + (b - a) * share)) for a, b in zip(_channels(one), _channels(other), strict=True))
    return "#" + "".join(f"{part:02x}" for part in parts)


def _luminance(colour: str) -> float:
    r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in _channels(colour))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def _channels(colour: str) -> Channels:
    r, g, b = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return r, g, b
