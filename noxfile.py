"""What is checked before a release, by `nox`; `nox --list` names it all.

The tests run with each Python that Pando supports: one that is not on this machine is skipped, and
nox names it. `bin/test` is what contributors call; it needs no nox.
"""

from __future__ import annotations

import os

import nox

nox.needs_version = ">=2025.2"
nox.options.error_on_missing_interpreters = "CI" in os.environ
nox.options.sessions = ["lint", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
"""Those of the classifiers."""


def install(session: nox.Session, *groups: str) -> None:
    """Install Pando as it is in this folder, and groups of dependencies."""
    session.install("--editable", ".[javascript,webrtc]")
    session.install(*nox.project.dependency_groups(PROJECT, *groups))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests without a browser, or those that the arguments choose."""
    install(session, "test")
    session.run("pytest", *(session.posargs or ["-m", "not browser and not install"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, spelling, and the files that only other programs read."""
    install(session, "test")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("typos")
    session.run("pytest", "tests/docs/test_project_files.py")


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure what the tests run, in other processes too; less than the floor fails."""
    install(session, "test")
    arguments = session.posargs or ["-m", "not browser and not install"]
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *arguments)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build."""
    session.run("bin/docs", external=True)


@nox.session
def mutants(session: nox.Session) -> None:
    """Change the code in small ways, and see whether the tests notice."""
    install(session, "test")
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the source distribution and the wheel, and check what an index would say of them."""
    session.install("build", "twine")
    session.run("python", "-m", "build", "--outdir", "dist/checked")
    session.run("twine", "check", "--strict", "dist/checked/*")
