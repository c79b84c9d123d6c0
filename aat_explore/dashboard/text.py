"""Text from files and URLs, shown literally."""

import re


def plain(text: str) -> str:
    """Markdown that shows exactly this text, on one line: all punctuation is escaped."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def label(text: str) -> str:
    """`text` for a widget's label: like `plain`, but a name of letters, digits and hyphens stays as it is.

    Screen readers are given a label's source, so they would read the backslashes of `fashion\\-mini` aloud.
    """
    return text if re.fullmatch(r"[^\W_]+(-[^\W_]+)*", text) else plain(text)


def duration(seconds: float) -> str:
    """Seconds as people say them: `7.3 s`, `48 s`, `12 min`, `2.4 h`."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
