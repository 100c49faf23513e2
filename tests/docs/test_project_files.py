"""Files that only other programs read are what these programs expect."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
from trove_classifiers import classifiers

import pando

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SCHEMAS = {
    "vendor.github-workflows": ".github/workflows/*.yml",
    "custom.github-workflows-require-timeout": ".github/workflows/*.yml",
    "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/*.yml",
    "vendor.dependabot": ".github/dependabot.yml",
    "vendor.citation-file-format": "CITATION.cff",
    "vendor.compose-spec": "deploy/compose.yaml",
}
CHANGES = (ROOT / "CHANGELOG.md").read_text("utf-8")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.process
@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_file_is_valid_by_its_schema(schema: str) -> None:
    files = sorted(map(str, ROOT.glob(SCHEMAS[schema])))
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    if files[0].endswith(".cff"):
        command += ["--force-filetype", "yaml"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def workflows() -> dict[str, str]:
    return {path.name: path.read_text() for path in (ROOT / ".github" / "workflows").iterdir()}


def test_the_workflows_call_sessions_and_commands_that_exist() -> None:
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.M))
    for name, text in workflows().items():
        for session in re.findall(r"nox -s (\w+)", text):
            assert session in sessions, name
        for command in re.findall(r"run: (bin/\w+)", text):
            assert os.access(ROOT / command, os.X_OK), name


def test_no_workflow_uploads_to_an_index() -> None:
    for text in workflows().values():
        assert not re.search(r"pypi-publish|twine upload|id-token|secrets\.", text)


def test_every_supported_python_is_tested() -> None:
    stated = re.findall(r":: (3\.\d+)$", "\n".join(PROJECT["project"]["classifiers"]), re.M)
    tested = re.search(r"python: \[(.*)\]", workflows()["test.yml"])
    assert tested
    assert re.findall(r"[\d.]+", tested[1]) == stated
    assert PROJECT["project"]["requires-python"] == f">={stated[0]}"


def test_the_classifiers_exist() -> None:
    assert set(PROJECT["project"]["classifiers"]) <= classifiers


def test_the_changelog_is_in_its_format() -> None:
    """As https://keepachangelog.com says: what is unreleased, then versions, newest first."""
    titles = re.findall(r"^## (.+)$", CHANGES, re.M)
    assert titles[0] == "[Unreleased]"
    versions, days = [], []
    for title in titles[1:]:
        found = re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", title)
        assert found, title
        versions.append([int(part) for part in found[1].split(".")])
        days.append(date.fromisoformat(found[2]))
    assert versions == sorted(versions, reverse=True)
    assert days == sorted(days, reverse=True)
    assert set(re.findall(r"^### (.+)$", CHANGES, re.M)) <= KINDS
    assert f"## [{pando.__version__}]" in CHANGES


def test_the_hooks_run_programs_that_the_tests_have_installed() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    programs = set(re.findall(r"entry: \.venv/bin/(\S+)", text))
    assert programs == {"ruff", "mypy", "typos"}
    declared = {re.split(r"[^\w-]", name)[0] for name in PROJECT["dependency-groups"]["test"]}
    assert programs <= declared


@pytest.mark.process
def test_nothing_is_misspelt() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("typos"), "--format=brief", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
