"""Text out of files and addresses, shown as it is."""

import re


def plain(text: str) -> str:
    """Text as Markdown that shows exactly this text, in one line: every mark is escaped."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))
