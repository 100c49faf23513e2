"""The files that browsers are served: those built from `frontend`, and Pando's own modules.

Names of files under ``assets/`` tell their content, so that browsers keep them for ever.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Any

from ..errors import PandoError

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".whl": "application/octet-stream",
    ".zip": "application/zip",
}
MODULES_IN_BROWSERS = (
    "__init__.py",
    "errors.py",
    "figures.py",
    "importing.py",
    "values",
    "functions",
    "runtime/__init__.py",
    "runtime/invoke.py",
    "runtime/wire.py",
    "runtime/tab.py",
)
"""What of Pando a browser's Python has."""


@dataclass(frozen=True)
class File:
    """A file to serve: its bytes, its type, and whether the bytes are compressed with gzip."""

    data: bytes
    type: str
    compressed: bool = False

    @functools.cached_property
    def digest(self) -> str:
        """The SHA-256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    def plain(self) -> bytes:
        """The bytes as they are when they are not compressed."""
        return gzip.decompress(self.data) if self.compressed else self.data

    @property
    def unpacked_size(self) -> int:
        """The size of these bytes, with which gzip ends a file."""
        return int.from_bytes(self.data[-4:], "little") if self.compressed else len(self.data)


@dataclass(frozen=True)
class Asset:
    """A file that the page fetches.

    Attributes:
        url: where it is, relative to the page.
        size: its size on the way there, in bytes.
        unpacked_size: its size there, in bytes.
    """

    url: str
    size: int
    unpacked_size: int

    @staticmethod
    def of(url: str, file: File) -> Asset:
        """A file under an address."""
        return Asset(url, len(file.data), file.unpacked_size)

    def describe(self) -> dict[str, object]:
        """The same, ready for JSON."""
        return {"url": self.url, "bytes": self.size, "unpackedBytes": self.unpacked_size}


@dataclass(frozen=True)
class PyodideAssets:
    """The parts of Python that the page fetches."""

    program: Asset
    wasm: Asset
    standard_library: Asset
    packages: list[Asset]

    def describe(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        return {
            "program": self.program.describe(),
            "wasm": self.wasm.describe(),
            "standardLibrary": self.standard_library.describe(),
            "packages": [each.describe() for each in self.packages],
        }


def _static() -> Traversable:
    return resources.files(__package__) / "static"


def read_file(name: str) -> File | None:
    """A built file by its path inside the folder; None where there is no such file."""
    return _read(name) if name in _built() else None


@functools.cache
def _read(name: str) -> File:
    """A file that is there. Names that strangers make up do not come here, to be remembered."""
    place = _built()[name]
    return File(place.read_bytes(), TYPES[PurePosixPath(name).suffix], place.name.endswith(".gz"))


@functools.cache
def _built() -> dict[str, Traversable]:
    """Where each built file is, by its path inside the folder."""
    return dict(_walk(_static(), ""))


def _walk(folder: Traversable, inside: str) -> Iterator[tuple[str, Traversable]]:
    places = folder.iterdir() if folder.is_dir() else ()
    for place in places:
        name = f"{inside}{place.name}"
        if place.is_dir():
            yield from _walk(place, f"{name}/")
        elif PurePosixPath(name.removesuffix(".gz")).suffix in TYPES:
            yield name.removesuffix(".gz"), place


def read_text(name: str) -> str:
    """A built text that has to be there.

    Raises:
        PandoError: the pages were not built with this installation.
    """
    file = read_file(name)
    if file is None:
        raise PandoError("this installation lacks its pages: install Pando again, from its folder")
    return file.plain().decode()


@functools.cache
def pyodide_assets() -> PyodideAssets:
    """The parts of Python that were built, and Pando's own modules."""
    built = json.loads((_static() / "python.json").read_text("utf-8"))
    name, archive = own_modules()
    packages = [_built_asset(url) for url in built["packages"]]
    return PyodideAssets(
        _built_asset(built["program"]),
        _built_asset(built["wasm"]),
        _built_asset(built["standardLibrary"]),
        [*packages, Asset.of(f"python/{name}", archive)],
    )


def _built_asset(url: str) -> Asset:
    file = read_file(url)
    if file is None:
        raise PandoError("this installation lacks its pages: install Pando again, from its folder")
    return Asset.of(url, file)


@functools.cache
def own_modules() -> tuple[str, File]:
    """The modules of this very installation, as an archive, and its name."""
    package = resources.files("pando")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name in MODULES_IN_BROWSERS:
            place = package.joinpath(*name.split("/"))
            files = [place] if place.is_file() else sorted(place.iterdir(), key=lambda f: f.name)
            for file in files:
                if file.name.endswith(".py"):
                    inside = name if file is place else f"{name}/{file.name}"
                    target.writestr(
                        zipfile.ZipInfo(f"pando/{inside}"), file.read_bytes(), zipfile.ZIP_DEFLATED
                    )
    data = archive.getvalue()
    digest = hashlib.sha256(data).hexdigest()[:16]
    return f"pando-{digest}.zip", File(data, TYPES[".zip"])
