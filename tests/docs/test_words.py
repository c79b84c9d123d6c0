"""Words that the project does not use, and names that mean one thing."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "aat_explore"
TEXTS = [
    path
    for folder in (PACKAGE, ROOT / "notebooks")
    for path in folder.rglob("*")
    if path.suffix in (".py", ".md", ".ipynb")
] + [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "app.py")]
BANNED = {
    r"\ban own\b": "a custom",
    r"\bown (network|score|attack|layer)s?\b": "custom",
    r"\bas usual\b": "by default",
}
each_text = pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())


@each_text
def test_what_users_bring_is_custom_and_other_banned_words_are_not_used(path):
    text = path.read_text(encoding="utf-8")
    assert {pattern: better for pattern, better in BANNED.items() if re.search(pattern, text, re.IGNORECASE)} == {}


def public_functions(folder: Path) -> dict[str, list[str]]:
    """Each public function at the top of a module of the folder, with the modules that define it."""
    found = defaultdict(list)
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found[node.name].append(path.stem)
    return dict(found)


@pytest.mark.parametrize(
    "room",
    ["algorithm", "engine", "robustness", "store", "datasets", "experiments", "jobs", "views", "views/frames"],
)
def test_a_public_function_has_one_home_in_its_room(room):
    twins = {name: homes for name, homes in public_functions(PACKAGE / room).items() if len(homes) > 1}
    assert twins == {}


def test_a_subject_has_one_name_in_frames_charts_widgets_and_pages():
    """What a page shows is named alike wherever it is made."""
    frames = {path.stem for path in (PACKAGE / "views" / "frames").glob("*.py")} - {"__init__"}
    charts = {path.stem for path in (PACKAGE / "views" / "charts").glob("*.py")} - {
        *("__init__", "style", "contrast", "files", "quick_altair")
    }
    widgets = {path.stem for path in (PACKAGE / "views" / "widgets").glob("*.py")} - {"__init__", "explorer", "sheet"}
    pages = {path.stem for path in (PACKAGE / "dashboard" / "pages").glob("*.py")} - {
        *("__init__", "guide", "train", "checks"),  # documentation, jobs, and views.checks
    }
    assert charts <= frames
    assert widgets <= frames
    assert pages <= frames
