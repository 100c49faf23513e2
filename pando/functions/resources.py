"""Files beside the modules of a package, where the package has been sent as source."""

from __future__ import annotations

import io
from collections.abc import Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .package import ModuleSource

PLACE = "pando-modules:"
"""What a package that was sent has for its folder, before its name."""


class Resource:
    """A file or a folder of a package, as `importlib.resources` has them."""

    def __init__(self, files: dict[str, bytes], path: str, package: str) -> None:
        self._files = files
        self._path = path
        self._package = package

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._path.rpartition("/")[2] or self._package

    def is_file(self) -> bool:
        """Tell whether it is a file that was sent."""
        return self._path in self._files

    def is_dir(self) -> bool:
        """Tell whether it is a folder with such files."""
        return not self._path or any(name.startswith(f"{self._path}/") for name in self._files)

    def iterdir(self) -> Iterator[Resource]:
        """Return what is in a folder."""
        prefix = f"{self._path}/" if self._path else ""
        inside = [name.removeprefix(prefix) for name in self._files if name.startswith(prefix)]
        for name in dict.fromkeys(rest.partition("/")[0] for rest in inside):
            yield Resource(self._files, prefix + name, self._package)

    def joinpath(self, *parts: str) -> Resource:
        """Return what is at a path below."""
        path = "/".join([*([self._path] if self._path else []), *map(str, parts)])
        return Resource(self._files, path.strip("/"), self._package)

    __truediv__ = joinpath

    def read_bytes(self) -> bytes:
        """Return the content of a file; FileNotFoundError where it was not sent."""
        if self._path not in self._files:
            raise FileNotFoundError(f"{self._path} of {self._package} was not sent to workers")
        return self._files[self._path]

    def read_text(self, encoding: str | None = None, errors: str = "strict") -> str:
        """Return the content of a file as text."""
        with self.open("r", encoding=encoding, errors=errors) as file:
            text: str = file.read()
        return text

    def open(self, mode: str = "r", **options: Any) -> Any:
        """Return a file, opened for reading."""
        file = io.BytesIO(self.read_bytes())
        return file if "b" in mode else io.TextIOWrapper(file, **options)

    def files(self) -> Resource:
        """Return what `importlib.resources` asks a reader for."""
        return self


class Folder:
    """The folder of a package that was sent: it knows which modules the package has."""

    def __init__(self, modules: dict[str, ModuleSource], place: str) -> None:
        self._modules = modules
        self._package = place.removeprefix(PLACE)

    def find_spec(self, fullname: str, target: object = None) -> None:
        """Modules are found before folders are looked at."""

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """Return what `pkgutil.iter_modules` asks for."""
        for name, module in sorted(self._modules.items()):
            package, _, last = name.rpartition(".")
            if package == self._package:
                yield prefix + last, module.is_package


def add_folders(modules: dict[str, ModuleSource]) -> None:
    """Let Python look into the folders of packages that were sent."""
    import sys

    def find(place: str) -> Folder:
        if not place.startswith(PLACE):
            raise ImportError(place)
        return Folder(modules, place)

    sys.path_hooks.insert(0, find)
