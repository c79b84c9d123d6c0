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
