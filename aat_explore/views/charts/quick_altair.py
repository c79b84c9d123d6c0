"""Import Altair without a grammar that its JSON-schema checker loads: 3.8 of the app's 5.3 seconds of imports.

jsonschema imports rfc3987_syntax, installed with JupyterLab, to check the format of IRIs, and does without if it is
missing; charts have no IRIs. If it was imported before, it stays; afterwards it can be imported normally.
"""

import sys

NAME = "rfc3987_syntax"
absent = NAME not in sys.modules
if absent:
    sys.modules[NAME] = None  # type: ignore[assignment]  # how Python marks a module as not importable

import altair as altair  # noqa: E402

if absent:
    del sys.modules[NAME]
