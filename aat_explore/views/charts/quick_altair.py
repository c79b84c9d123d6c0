"""Import Altair without the grammar that its JSON-schema checker would load: 3.8 of the app's 5.3 seconds of imports.

jsonschema asks for rfc3987_syntax, which JupyterLab brings along, to check formats of IRIs, and does without where it
is missing; charts have no IRIs. What is imported already stays, and afterwards it can be imported as ever.
"""

import sys

NAME = "rfc3987_syntax"
absent = NAME not in sys.modules
if absent:
    sys.modules[NAME] = None  # type: ignore[assignment]  # how Python marks a module that is not to be found

import altair as altair  # noqa: E402

if absent:
    del sys.modules[NAME]
