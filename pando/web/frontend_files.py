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
    "values",
    "functions",
    "runtime/__init__.py",
    "runtime/calling.py",
    "runtime/speech.py",
    "runtime/tab.py",
)
"""What of Pando a browser's Python has."""


@dataclass(frozen=True)
class File:
    """A file to serve: its bytes, its type, and whether the bytes are compressed with gzip."""

    data: bytes
    type: str
    compressed: bool = False

    def plain(self) -> bytes:
        """The bytes as they are when they are not compressed."""
        return gzip.decompress(self.data) if self.compressed else self.data


@dataclass(frozen=True)
class PythonParts:
    """Where the page finds the parts of Python, relative to itself."""

    program: str
    wasm: str
    standard_library: str
    packages: list[str]

    @property
    def places(self) -> list[str]:
        """All of them."""
        return [self.program, self.wasm, self.standard_library, *self.packages]


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
def python_parts() -> PythonParts:
    """The parts of Python that were built, and Pando's own modules."""
    built = json.loads((_static() / "python.json").read_text("utf-8"))
    return PythonParts(
        built["program"],
        built["wasm"],
        built["standardLibrary"],
        [*built["packages"], f"python/{own_modules()[0]}"],
    )


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
