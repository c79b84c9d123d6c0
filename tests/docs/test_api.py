"""The public API: small, typed, documented, and no slower to import than what is asked of it."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import make_run

import aat_explore
from aat_explore import list_runs, open_run, showcase
from aat_explore.errors import AATError
from aat_explore.store import RunNotFoundError, Store

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "aat_explore/docs/python.md").read_text(encoding="utf-8").split("## Public names")[1].split("\n## ")[0]
ROWS = re.findall(r"^\| `(\w+)(\(.*\))?`( \*)? \| .+ \|$", TABLE, flags=re.MULTILINE)
HEAVY = {"torch", "pandas", "altair", "ipywidgets", "streamlit"}
TORCH = sorted(name for name, _, star in ROWS if star)


def loaded_by(program: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has after `program`."""
    script = f"import sys\n{program}\nprint(*{HEAVY} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_table_of_public_names_is_what_the_package_exports():
    assert sorted(name for name, _, _ in ROWS) == sorted(aat_explore.__all__)
    assert set(aat_explore.__all__) <= set(dir(aat_explore))


@pytest.mark.parametrize("name", aat_explore.__all__)
def test_each_name_is_there_and_documented(name):
    found = getattr(aat_explore, name)
    assert inspect.getdoc(found)
    assert getattr(aat_explore, name) is found


@pytest.mark.parametrize(
    ("name", "arguments"), [row[:2] for row in ROWS if row[1]], ids=[row[0] for row in ROWS if row[1]]
)
def test_the_tables_arguments_are_the_functions(name, arguments):
    taken = inspect.signature(getattr(aat_explore, name)).parameters
    call = ast.parse(f"f{arguments.replace('…', '...')}", mode="eval").body
    for argument in call.args:
        assert argument.id in taken
    for keyword in call.keywords:
        if keyword.arg is None:
            assert any(one.kind is one.VAR_KEYWORD for one in taken.values())
        elif ast.unparse(keyword.value) != "...":
            assert taken[keyword.arg].default == ast.literal_eval(keyword.value)


def test_type_checkers_see_the_names_that_are_loaded_lazily():
    tree = ast.parse((ROOT / "aat_explore" / "__init__.py").read_text(encoding="utf-8"))
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname or alias.name for node in guarded.body for alias in node.names}
    assert seen == set(aat_explore.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'tain'"):
        _ = aat_explore.tain


def test_importing_the_package_imports_nothing_heavy():
    assert loaded_by("import aat_explore; dir(aat_explore)") == set()


def test_the_marked_names_bring_torch_along_and_the_others_work_without_it():
    program = f"""
import sys
sys.modules["torch"] = None  # not to be found
from aat_explore import {", ".join(sorted(set(aat_explore.__all__) - set(TORCH)))}
import aat_explore
for name in {TORCH}:
    try:
        getattr(aat_explore, name)
    except ModuleNotFoundError as error:
        assert error.name == "torch", error
    else:
        raise AssertionError(f"{{name}} works without torch")
"""
    loaded_by(program)


def test_runs_are_listed_and_opened_from_any_cache(tmp_path):
    made = make_run(Store(tmp_path), epochs=1)
    assert [run.id for run in list_runs(tmp_path)] == [made.id]
    assert open_run(made.id, tmp_path).revision == made.revision
    assert list_runs(tmp_path / "none") == []
    with pytest.raises(RunNotFoundError, match="aat list"):
        open_run("no-such-run", tmp_path)


def test_a_run_that_does_not_open_is_left_out_with_a_warning_that_names_it(tmp_path):
    made = make_run(Store(tmp_path), epochs=1)
    (made.path / "HEAD.json").write_text("{}")
    with pytest.warns(UserWarning, match=made.id):
        assert list_runs(tmp_path) == []


def test_the_showcase_is_found_from_any_folder_and_missing_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [run.id for run in list_runs(showcase())] == Store(ROOT / "cache" / "showcase").run_ids()
    monkeypatch.setattr(aat_explore.store, "__file__", str(tmp_path / "aat_explore" / "store" / "__init__.py"))
    with pytest.raises(AATError, match="source checkout"):
        showcase()
