"""The documentation is one site, whose pages, links and diagrams are whole."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

import pando

from ..browser.chromium import CHROMIUM

ROOT = Path(__file__).parents[2]
NEEDED = ("sphinx", "furo", "myst_parser")
MERMAID = ROOT / "docs" / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"

pytestmark = [
    pytest.mark.docs,
    pytest.mark.process,
    pytest.mark.skipif(
        not (all(map(importlib.util.find_spec, NEEDED)) and MERMAID.exists()),
        reason="what builds the documentation is not installed: call bin/docs once",
    ),
]


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `bin/docs` does, where no network can be reached."""
    command = ["-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    nowhere = "http://127.0.0.1:9"
    return subprocess.run(
        [sys.executable, *command, str(source), str(target)],
        env={**os.environ, "http_proxy": nowhere, "https_proxy": nowhere},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs", target)
    assert done.returncode == 0, done.stderr
    return target


def test_the_site_is_built_as_the_command_builds_it(site: Path) -> None:
    assert "sphinx --quiet --fail-on-warning --keep-going" in (ROOT / "bin" / "docs").read_text()
    written = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {path.stem for path in site.glob("*.html")} >= written - {"for-the-owner"}


def test_a_page_asks_no_other_server(site: Path) -> None:
    for page in site.glob("*.html"):
        text = page.read_text("utf-8")
        assert '<script src="http' not in text, page
        assert 'type="text/css" href="http' not in text, page


def test_the_reference_has_every_public_name_with_its_arguments(site: Path) -> None:
    text = (site / "api.html").read_text("utf-8")
    for name in pando.__all__:
        assert f'id="pando.{name}"' in text
    assert "random_seed" in text


def test_a_link_that_leads_nowhere_fails(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    for name in ("conf.py", "diagrams.js"):
        (source / name).write_text((ROOT / "docs" / name).read_text("utf-8"))
    (source / "node_modules").symlink_to(ROOT / "docs" / "node_modules")
    (tmp_path / "pando").symlink_to(ROOT / "pando")
    (source / "index.md").write_text("# A page\n\n[whole](#a-page)\n")
    assert build(source, tmp_path / "whole").returncode == 0
    (source / "index.md").write_text("# A page\n\n[broken](nowhere.md)\n")
    done = build(source, tmp_path / "broken")
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.mark.browser
def test_every_diagram_is_drawn(site: Path, page: Any) -> None:
    page.goto((site / "architecture.html").as_uri())
    diagrams = page.locator("pre.mermaid")
    assert diagrams.count() >= 5
    for number in range(diagrams.count()):
        diagrams.nth(number).locator("svg").wait_for()
        assert "Syntax error" not in diagrams.nth(number).text_content()
