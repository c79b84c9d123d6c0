"""Notebooks are short essays, committed without outputs, that run offline from anywhere and show what they promise."""

import ast
import base64
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from jupyterlab.commands import get_app_dir
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
STATEMENTS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.AsyncFor, ast.While)
SECONDS = 300  # for a cell; all of them take less than half of it on two idle cores

each_notebook = pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def test_there_are_notebooks_and_the_readme_names_each():
    readme = (FOLDER / "README.md").read_text()
    assert PATHS
    assert [path.name for path in PATHS if f"`{path.name}`" not in readme] == []


@each_notebook
def test_notebook_is_valid_and_committed_without_outputs(path: Path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata == {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None


@each_notebook
def test_notebook_is_an_essay_of_at_most_ten_code_cells(path: Path):
    notebook = read(path)
    assert len(code_cells(notebook)) <= 10
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    assert len([cell for cell in notebook.cells if cell.cell_type == "markdown"]) >= len(code_cells(notebook)) // 2


@each_notebook
def test_notebook_defines_nothing_and_loops_over_nothing(path: Path):
    for cell in code_cells(read(path)):
        tree = ast.parse(TransformerManager().transform_cell(cell.source))
        assert [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, STATEMENTS)] == []


@each_notebook
def test_first_code_cell_alone_holds_the_parameters_which_are_literals(path: Path):
    tagged = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == code_cells(read(path))[:1]
    for statement in ast.parse(tagged[0].source).body:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)


@pytest.mark.slow
@each_notebook
def test_notebook_runs_offline_from_any_folder_and_leaves_nothing_behind(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: whatever asks the network fails at once
    for name in ("AAT_DATA", "AAT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    notebook = read(path)
    client = NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert list(tmp_path.iterdir()) == []

    outputs = outputs_of(notebook)
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    shown = [output.data for output in outputs if "data" in output]
    assert [data["text/html"] for data in shown if "<script" in data.get("text/html", "")] == []

    widgets = [data for data in shown if "application/vnd.jupyter.widget-view+json" in data]
    assert [data["text/plain"] for data in widgets if "image/png" not in data] == []  # for where no kernel runs

    pictures = [data["image/png"] for data in shown if "image/png" in data]
    charts = [(kind, data[kind]) for data in shown for kind in data if "vega" in kind]
    assert pictures
    assert charts
    for picture in pictures:
        sheet = Image.open(io.BytesIO(base64.b64decode(picture))).convert("L")
        assert len(sheet.getcolors()) > 10  # not empty
    for kind, spec in charts:
        assert kind in mime_types_that_jupyterlab_draws()
        assert min(len(rows) for rows in spec["datasets"].values()) > 0


def mime_types_that_jupyterlab_draws() -> set[str]:
    """JupyterLab shows a chart of any other type as text: its name is in the code that it serves to the browser."""
    scripts = Path(get_app_dir(), "static").glob("*.js")
    return {kind for script in scripts for kind in re.findall(r"application/vnd\.vega[^\"'`]*", script.read_text())}


@pytest.mark.slow
def test_the_documented_page_of_a_notebook_shows_each_chart_and_explorer_as_a_picture(tmp_path: Path):
    """The README's command, for the notebook that is soonest done."""
    (line,) = re.findall(r"^jupyter nbconvert --to html .*$", (FOLDER / "README.md").read_text(), flags=re.MULTILINE)
    path = FOLDER / "04_robustness_vs_epsilon.ipynb"
    given = {"notebooks/*.ipynb": str(path), "pages": str(tmp_path)}
    words = [given.get(word, word) for word in shlex.split(line)]
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True, cwd=FOLDER.parent, timeout=SECONDS)
    body = (tmp_path / f"{path.stem}.html").read_text(encoding="utf-8").split("</head>", 1)[1]
    drawing = [cell for cell in code_cells(read(path)) if re.search(r"charts\.(?!draw)", cell.source)]
    assert len(re.findall(r'<img [^>]*src="data:image/svg\+xml', body)) == len(drawing) == 4
    assert len(re.findall(r'<img [^>]*src="data:image/png', body)) == 1  # the explorer
    assert "<script" not in body
    assert "<pre>chart</pre>" not in body
