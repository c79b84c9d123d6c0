"""The files at the root agree with each other and with the code."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from waiting import PATIENCE

import aat_explore
from aat_explore import optional

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CI = (ROOT / ".ci/run").read_text(encoding="utf-8")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def shell_lines(page: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_version_is_written_once_and_the_build_reads_it_there():
    assert "version" not in PROJECT["project"]
    assert PROJECT["project"]["dynamic"] == ["version"]
    source = text(PROJECT["tool"]["hatch"]["version"]["path"])
    assert re.findall(r'^__version__ = "(.*)"$', source, re.MULTILINE) == [aat_explore.__version__]


def test_citation_and_changelog_speak_of_this_version():
    citation = yaml.safe_load(text("CITATION.cff"))
    headings = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", text("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert headings[1] == (aat_explore.__version__, str(citation["date-released"]))
    assert citation["version"] == aat_explore.__version__
    dates = [date for _, date in headings[1:]]
    assert dates == sorted(dates, reverse=True)


def test_citation_names_the_paper_that_readme_names():
    paper = yaml.safe_load(text("CITATION.cff"))["preferred-citation"]
    readme = " ".join(text("README.md").split())
    assert paper["title"] in readme
    for author in paper["authors"]:
        assert author["family-names"] in readme
    assert f"ICML {paper['year']}" in readme


def test_the_commands_of_contributing_are_those_of_ci_and_none_is_left_out():
    first, *checks = shell_lines(text("CONTRIBUTING.md"))
    assert first in shell_lines(text("README.md"))  # the line that .ci/run takes from there
    assert re.findall(r"^(?:ruff|mypy|lint-imports|pytest).*", CI, re.MULTILINE) == checks


def test_the_hooks_are_the_linters_of_ci_and_fetch_nothing():
    (source,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert source["repo"] == "local"
    assert {hook["language"] for hook in source["hooks"]} == {"system"}
    linters = re.findall(r"^(ruff \w+|mypy|lint-imports)", CI, re.MULTILINE)
    assert [hook["entry"].removesuffix(" --force-exclude") for hook in source["hooks"]] == linters


def test_the_workflow_runs_ci_on_the_least_python_that_the_project_takes():
    (job,) = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"].values()
    checkout, python, checks = job["steps"]
    assert checkout["uses"].startswith("actions/checkout@")
    assert f">={python['with']['python-version']}" == PROJECT["project"]["requires-python"]
    assert checks == {"run": "bash .ci/run"}


@pytest.mark.parametrize("library", optional.REMEDIES)
def test_the_remedy_of_a_missing_library_installs_it(library):
    command = optional.remedy(f"{library}.part")
    if extra := re.fullmatch(r"pip install 'aat-explore\[(\w+)\]'", command):
        if not optional.installed(library):
            pytest.skip(f"{library} is not installed, so its package's name is not known")
        (package,) = importlib.metadata.packages_distributions()[library]
        requirements = PROJECT["project"]["optional-dependencies"][extra[1]]
        assert package.lower() in {re.split("[<>=~]", requirement)[0].lower() for requirement in requirements}
    else:
        assert command.endswith(f" {library}")


def test_no_address_of_the_project_is_made_up():
    """Where it is published is not known yet: `[project.urls]` is absent, or filled in."""
    assert all(re.match("https://.+", url) for url in PROJECT["project"].get("urls", {}).values())


def test_the_script_of_ci_is_sound_bash():
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci/run")], check=False).returncode == 0


def test_what_measures_the_dashboard_finds_all_that_it_imports():
    pytest.importorskip("playwright")
    command = [sys.executable, str(ROOT / "bench" / "dashboard.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "--rounds" in done.stdout
