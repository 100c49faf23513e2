"""Pyodide's own distribution: packages that its makers have built for browsers.

Where it is, and what is in it, is known from the Pyodide that is served here. It is asked only for
what is not to be had elsewhere, and only where the internet can be reached.
"""

from __future__ import annotations

import functools
import hashlib
import urllib.request
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from . import frontend_files

DOWNLOAD_SECONDS = 20.0
"""How long the distribution may take to answer."""


class Package(msgspec.Struct, frozen=True):
    """A package of the distribution: a wheel, with the digest that it must have."""

    file: str
    sha256: str
    version: str
    depends: list[str]


class Distribution(msgspec.Struct, frozen=True):
    """All packages by their names, and the address that their files lie at."""

    url: str
    packages: dict[str, Package]

    def find(self, requirement: Requirement) -> Package | None:
        """The package that a requirement names, if the distribution has it in a fitting version."""
        package = self.packages.get(canonicalize_name(requirement.name))
        if package is None or not package.file.endswith(".whl"):
            return None
        fits = requirement.specifier.contains(package.version, prereleases=True)
        return package if fits else None

    def download(self, package: Package, folder: Path) -> None:
        """Get a package's wheel, and those of all that it depends on.

        Raises:
            OSError: the distribution cannot be reached, or what comes is not what it should be.
        """
        target = folder / package.file
        if target.exists():
            return
        with urllib.request.urlopen(self.url + package.file, timeout=DOWNLOAD_SECONDS) as answer:
            data = answer.read()
        if hashlib.sha256(data).hexdigest() != package.sha256:
            raise OSError(f"{package.file} is not what it should be")
        target.write_bytes(data)
        for name in package.depends:
            if name in self.packages:
                self.download(self.packages[name], folder)


@functools.cache
def read_distribution() -> Distribution:
    """The distribution that belongs to the Pyodide that is served here."""
    text = frontend_files.read_text("distribution.json")
    return msgspec.json.decode(text, type=Distribution)
