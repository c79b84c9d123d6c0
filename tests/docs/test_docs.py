"""README and the pages in `aat_explore/docs` are true: what they give to type runs, what they list is what is there."""

import ast
import importlib.util
import io
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path

import custom_images
import numpy as np
import pages
import pytest
from PIL import Image

from aat_explore import open_run, showcase
from aat_explore.bench import tables as speed
from aat_explore.cli import main
from aat_explore.cli.arguments import entries, parse
from aat_explore.cli.commands.demo import Demo
from aat_explore.cli.commands.training import Train
from aat_explore.config import checked_config
from aat_explore.presets import PRESETS
from aat_explore.records import EpochMetrics, Evaluation
from aat_explore.store import Store
from aat_explore.views import guide

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "aat_explore" / "docs"
PATHS = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in PATHS}
BLOCKS = [
    (name, *block) for name, text in PAGES.items() for block in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
]
PROSE = {name: re.sub(r"```.*?```", "", text, flags=re.DOTALL) for name, text in PAGES.items()}
INLINE = {code for text in PROSE.values() for code in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", text)}
SHELL = [line.split("#")[0].strip() for _, kind, code in BLOCKS if kind == "sh" for line in code.splitlines()]
STEPS = [shlex.split(part) for line in SHELL for part in line.split("&&")]
AAT = [words[1:] for words in STEPS if words[0] == "aat"]
NAMED = sorted(code for code in INLINE if code.startswith("aat ") and "--help" not in code)
PYTHON = [(name, code) for name, kind, code in BLOCKS if kind == "python"]
PACKAGES = sorted(path.parent for path in ROOT.glob("aat_explore/*/**/__init__.py"))

each_page = pytest.mark.parametrize("name", PAGES)

QUICKLY = {
    "list": [],
    "show": [],
    "evaluate": ["--images", "10", "--epsilons", "0.3"],
    "check": ["--images", "20"],
}


# --- The front page --------------------------------------------------------------------------------------------------


def test_readme_is_a_front_page_of_at_most_9000_bytes():
    assert PATHS[0].stat().st_size <= 9000


def test_readme_gives_the_two_commands():
    lines = PAGES["README.md"].splitlines()
    assert "pip install -e . && aat demo" in lines
    assert "pip install -e '.[dev]' && pytest -n auto" in lines  # `.ci/run` looks for this line


def test_readmes_table_of_pages_is_the_dashboards():
    table = PAGES["README.md"].split("\n## The dashboard\n")[1].split("\n## ")[0]
    titles = re.findall(r'show, title="([^"]+)"', (ROOT / "app.py").read_text(encoding="utf-8"))
    assert re.findall(r"^\| ([^|]+) \|", table, flags=re.MULTILINE)[1:] == titles


def test_readmes_picture_is_what_its_script_makes():
    from aat_explore.docs import make_picks

    shown, made = (
        np.asarray(Image.open(file)) for file in (DOCS / "picks.png", io.BytesIO(make_picks.picture(make_picks.RUN)))
    )
    of_images = 20 * (2 * 28 + 3) - 3  # letters differ from one version of Pillow to another
    assert np.array_equal(shown[:, -of_images:], made[:, -of_images:])
    assert shown.max() > shown[:, -of_images:].min()
    assert (DOCS / "picks.png").stat().st_size <= 300_000
    p = open_run(make_picks.RUN, showcase()).probabilities(15)
    assert round(p.max() / p.mean()) == 15
    assert "15 times as likely as the average image" in PAGES["README.md"]


def test_a_picture_of_a_run_that_draws_nothing_is_an_error(tmp_path):
    from synthetic import make_run

    from aat_explore.docs import make_picks
    from aat_explore.errors import AATError

    run = make_run(Store(tmp_path), num_perturbed=0)
    with pytest.raises(AATError, match=f"{run.id} has no p in epochs"):
        make_picks.picture(run.id, tmp_path)


# --- Commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", AAT, ids=" ".join)
def test_every_aat_command_is_one_that_aat_takes(words):
    command = parse(words)
    if isinstance(command, Train):
        checked_config(asdict(command.flags))


@pytest.mark.parametrize("code", NAMED)
def test_every_aat_command_named_in_a_sentence_is_one_that_aat_takes(code):
    words = shlex.split(code)[1:]
    assert words[0] in entries()
    if len(words) > 1:
        parse(words)


def test_the_command_for_tab_completion_prints_a_script(capsys):
    (shell,) = re.findall(r"^aat --tyro-print-completion (\w+) >", PAGES["training.md"], flags=re.MULTILINE)
    with pytest.raises(SystemExit) as ended:
        main(["--tyro-print-completion", shell])
    assert ended.value.code in (0, None)
    assert "--num-perturbed" in capsys.readouterr().out


def test_every_other_command_is_one_of_an_installed_program_on_files_that_exist():
    assert {words[0] for words in STEPS} <= {"aat", "pip", "pytest"}
    extras = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    )
    for code in [*SHELL, *INLINE]:
        assert set(re.findall(r"pip install -e '\.\[(\w+)\]'", code)) <= extras
        for module in re.findall(r"python -m\s+([\w.]+)", code):
            assert importlib.util.find_spec(module), code
        for target in re.findall(r"(?:streamlit run|jupyter lab|python) (\w\S+)", code):
            assert (ROOT / target).exists(), code


def test_the_train_list_show_evaluate_and_check_commands_run(tmp_path, monkeypatch, capsys):
    """As written, but for fewer epochs and images; the full-size preset is trained by the realdata test."""
    from aat_explore.robustness import checks

    monkeypatch.setattr(checks, "SQUARE_QUERIES", 50)
    monkeypatch.setenv("AAT_CACHE", str(tmp_path))
    trains = [words for words in AAT if words[0] == "train" and not {"--preset", "--dataset"} & set(words)]
    assert len(trains) == 6
    for words in trains:
        assert main([*words, "--epochs", "1", "--no-evaluate", "--quiet"]) == 0
    run_id = capsys.readouterr().out.split()[-1]
    for words in AAT:
        if words[0] in QUICKLY:
            quick = [run_id if word == "RUN" else word for word in words] + QUICKLY[words[0]]
            assert main(quick) in ((0, 1) if words[0] == "check" else (0,))
            assert run_id in capsys.readouterr().out or words[0] == "evaluate"


@pytest.mark.usefixtures("no_other_data")
def test_the_commands_on_custom_images_run(tmp_path, monkeypatch, capsys):
    custom_images.write_image_folder(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    trains = [words for words in AAT if "--dataset" in words and words[0] == "train"]
    for words in trains:
        few = ["--num-perturbed", "10", "--epochs", "1", "--no-evaluate"]
        assert main([*words, *few]) == 0
        assert re.match(r"data set photos-[0-9a-f]{8}: ", capsys.readouterr().out)
    assert len(trains) == len(list((tmp_path / "cache" / "runs").iterdir())) == 2


@pytest.mark.slow
@pytest.mark.realdata
def test_the_full_size_preset_runs(real_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AAT_CACHE", str(tmp_path))
    monkeypatch.setenv("AAT_DATA", str(real_data))
    words = next(words for words in AAT if "letter-fashion" in words)
    assert main([*words, "--epochs", "1", "--no-evaluate", "--quiet"]) == 0
    run = Store(tmp_path).open(capsys.readouterr().out.strip())
    assert len(run.probabilities(1)) == 55_000
    assert len(set(run.drawn(1).tolist())) == 1000
    assert run.metrics()["clean_accuracy_val"].iloc[0] > 0.7


@pytest.mark.slow
def test_the_demo_trains_its_four_runs(tmp_path):
    (words,) = (words for words in AAT if isinstance(parse(words), Demo))
    program = "import sys; from aat_explore.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *words, "--no-app", "--cache-dir", str(tmp_path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=900)
    runs = Store(tmp_path).list().runs
    assert {run.config.num_perturbed for run in runs} == {0, 100, 1000, "all"}
    assert all(run.complete and run.evaluations() for run in runs)


# --- Snippets --------------------------------------------------------------------------------------------------------


def ran(page: str, names: dict[str, object], number: int = 0) -> dict[str, object]:
    """What the names are after a Python snippet of a page, the first unless a number says another."""
    code = [code for name, code in PYTHON if name == page][number]
    exec(code, names)
    return names


def test_every_snippet_is_run_by_a_test_below():
    assert [name for name, _ in PYTHON] == ["cache.md", "data.md", "python.md", "python.md", "training.md"]


@pytest.mark.usefixtures("no_other_data")
def test_the_snippet_of_training_checks_any_network(capsys):
    from networks import fresh, mini

    images, labels = mini()
    ran("training.md", {"network": fresh("StdCNN"), "images": images[:50], "labels": labels[:50]})
    assert "\nfail clean accuracy collapsed" in "\n" + capsys.readouterr().out  # it has not been trained


@pytest.mark.usefixtures("no_other_data")
def test_the_snippet_of_data_adds_a_data_set(tmp_path, monkeypatch):
    from networks import mini

    images, labels = mini()
    monkeypatch.chdir(tmp_path)
    assert ran("data.md", {"images": images, "labels": labels})["data"].image_shape == (1, 28, 28)


@pytest.mark.usefixtures("no_other_data")
def test_the_snippets_of_python_train_a_run_and_perturb_by_hand(tmp_path, monkeypatch):
    from networks import fresh, mini

    images, labels = mini()
    monkeypatch.chdir(tmp_path)
    ran("python.md", {})
    assert len(list(tmp_path.glob("cache/runs/*/HEAD.json"))) == 1
    names = ran("python.md", {"network": fresh("StdCNN"), "images": images, "labels": labels}, 1)
    assert names["x_adv"].shape == (1000, 1, 28, 28)


@pytest.mark.usefixtures("no_other_data", "fresh_page")
def test_a_run_of_another_trainer_opens_in_the_dashboard_like_any_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ran("cache.md", {})
    run = Store("cache").open(names["config"].run_id)
    run.verify()
    assert run.complete
    assert run.metrics()["clean_accuracy_val"].iloc[-1] > 0.6
    assert np.array_equal(run.weights(3)["weight"], names["W"].T.astype(np.float32))
    monkeypatch.setenv("AAT_CACHE", str(tmp_path / "cache"))
    (table,) = (sheet for sheet in pages.sheets(pages.opened("runs")) if sheet.get("label") == "Runs in the cache")
    assert [row["id"] for row in table["rows"]] == [run.id]
    for name in ("picks", "sample"):
        shown = pages.opened(name, run=run.id)
        assert not shown.error
        assert pages.sheets(shown)
    for name in ("overview", "dynamics", "results", "checks"):
        assert not pages.opened(name, run=run.id).error


# --- What the pages list ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [EpochMetrics, Evaluation])
def test_the_record_schema_is_the_codes(model):
    section = {EpochMetrics: "## Epochs", Evaluation: "## Evaluations"}[model]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGES["cache.md"].split(section)[1].split("\n## ")[0], re.MULTILINE)
    assert rows == [(name, info.description.replace("|", r"\|")) for name, info in model.model_fields.items()]


def test_every_preset_is_named():
    table = PAGES["training.md"].split("\n## Presets\n")[1].split("\n## ")[0]
    assert all(f"`{name}`" in table for name in PRESETS)


def test_the_tables_on_speed_are_those_of_the_committed_measurements():
    from aat_explore.records import Benchmark, ScoringReport

    page = PAGES["speed.md"]
    (names,) = re.findall(r"^<!-- python -m aat_explore.bench.tables (.*) -->$", page, flags=re.MULTILINE)
    bench, report = ((ROOT / name).read_text(encoding="utf-8") for name in names.split())
    tables = speed.section(Benchmark.model_validate_json(bench), ScoringReport.model_validate_json(report))
    assert f"{names} -->\n\n{tables}\n\n<!-- end -->" in page


def test_the_table_of_folders_is_the_tree():
    named = re.findall(r"^\| `([\w/]+/)` \|", PAGES["architecture.md"], flags=re.MULTILINE)
    package = ROOT / "aat_explore"
    folders = {path.parent.relative_to(ROOT).as_posix() + "/" for path in package.rglob("*.*") if path.is_file()}
    assert sorted(named) == sorted(
        {name for name in folders if "__" not in name} | {"notebooks/", "tests/", "bench/", "cache/"}
    )


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_package_docstring_maps_exactly_its_files(package):
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8")), clean=False)
    mapped = re.findall(r"^    (\w+\.py|\w+/) +\S", docstring, flags=re.MULTILINE)
    files = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    assert sorted(mapped) == sorted(files | {f"{path.parent.name}/" for path in package.glob("*/__init__.py")})


@each_page
def test_files_named_in_a_page_exist(name):
    for target in re.findall(
        r"`((?:aat_explore|tests|notebooks|cache/showcase)/[\w./-]*|[\w.-]+\.ipynb)`", PROSE[name]
    ):
        assert (ROOT / ("notebooks" if target.endswith(".ipynb") else "") / target).exists(), target


# --- Links and lines -------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """Names of a page's headings in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path",
    [*PATHS, *(ROOT / name for name in ("CONTRIBUTING.md", "notebooks/README.md", "cache/showcase/README.md"))],
    ids=lambda p: p.parent.name + p.name,
)
def test_links_and_pictures_lead_to_files_and_headings_that_exist(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), target
        assert not heading or heading in anchors(found.read_text(encoding="utf-8")), target


def test_the_guide_shows_every_page_and_readme_links_to_each():
    assert sorted(guide.titles()) == sorted(path.name for path in DOCS.glob("*.md"))
    linked = set(re.findall(r"\]\(aat_explore/docs/([\w-]+\.md)\)", PAGES["README.md"]))
    assert linked == set(guide.titles()) - {guide.FIRST}


@each_page
def test_no_line_but_a_tables_is_longer_than_120_characters(name):
    long = [line for line in PAGES[name].splitlines() if len(line) > 120 and not line.startswith("|")]
    assert long == []


@each_page
def test_a_page_begins_with_its_only_title(name):
    assert PAGES[name].startswith("# ")
    assert len(re.findall(r"^# ", PROSE[name], flags=re.MULTILINE)) == 1
