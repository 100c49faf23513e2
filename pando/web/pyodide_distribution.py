"""Pyodide's own distribution: packages that its makers have built for browsers.

Where it is, and what is in it, is known from the Pyodide that is served here. It is asked only for
what is not to be had elsewhere, and only where the internet can be reached.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import urllib.request
from pathlib import Path

import msgspec
import msgspec.structs
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
    """All packages by their normalized names, and the address that their files lie at."""

    url: str
    packages: dict[str, Package]

    def find(self, requirement: Requirement) -> Package | None:
        """The package that a requirement names.

        None where the distribution does not have it in a fitting version, with all that it needs.
        """
        package = self.packages.get(canonicalize_name(requirement.name))
        if package is None or not self._has_wheels(package, set()):
            return None
        fits = requirement.specifier.contains(package.version, prereleases=True)
        return package if fits else None

    def _has_wheels(self, package: Package, seen: set[str]) -> bool:
        """Whether it and all that it depends on are wheels, which pip takes, and nothing else."""
        if package.file in seen:
            return True
        seen.add(package.file)
        return package.file.endswith(".whl") and all(
            name in self.packages and self._has_wheels(self.packages[name], seen)
            for name in package.depends
        )

    def download(self, package: Package, folder: Path) -> None:
        """Get a package's wheel, and those of all that it depends on.

        Raises:
            OSError: the distribution cannot be reached, or what comes is not what it should be.
        """
        target = folder / package.file
        if target.exists():
            return
        data = self._fetch(package.file)
        if hashlib.sha256(data).hexdigest() != package.sha256:
            raise OSError(f"{package.file} is not what it should be")
        target.write_bytes(data)
        for name in package.depends:
            self.download(self.packages[name], folder)

    def _fetch(self, file: str) -> bytes:
        try:
            with urllib.request.urlopen(self.url + file, timeout=DOWNLOAD_SECONDS) as answer:
                return bytes(answer.read())
        except http.client.HTTPException as error:
            raise OSError(f"{file} does not come whole: {error!r}") from None


@functools.cache
def read_distribution() -> Distribution:
    """The distribution that belongs to the Pyodide that is served here."""
    text = frontend_files.read_text("distribution.json")
    written = msgspec.json.decode(text, type=Distribution)
    packages: dict[str, Package] = {
        canonicalize_name(name): msgspec.structs.replace(
            package, depends=[canonicalize_name(each) for each in package.depends]
        )
        for name, package in written.packages.items()
    }
    return Distribution(written.url, packages)
