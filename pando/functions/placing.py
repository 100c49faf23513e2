"""Modules that share their name with another one: a worker imports the one that the caller has.

A folder on ``sys.path`` may have a `queue.py`, say, as Python has. Which of both a name means
depends on what was imported first, and Pando itself imports some: other ones here than in a worker.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from collections.abc import Iterable, Sequence
    from importlib.machinery import ModuleSpec

    Places = dict[str, str]
    """The folders of top-level modules, by their names."""

LIBRARY_FOLDERS = ("site-packages", "dist-packages")


def find_places(path: Iterable[str]) -> Places:
    """Return where this process has modules from, or would have them, whose names are not unique.

    Args:
        path: the import path.
    """
    places = {}
    for name in sorted(_names_beside(path)):
        module = sys.modules.get(name)
        folder = _folder_of(getattr(module, "__spec__", None))
        if folder is None and module is None:
            folder = _folder_of(find_on_path(name, path))
        if folder is not None:
            places[name] = folder
    return places


def use_places(places: Places) -> None:
    """Have modules imported from these folders, whatever was imported under their names before."""
    forget([name for name, folder in places.items() if not _is_from(name, folder)])
    sys.meta_path.insert(0, _Finder(places))


def forget(names: Iterable[str]) -> None:
    """Have modules imported anew; who has imported them already keeps what it has."""
    for name in names:
        for each in list(sys.modules):
            if each == name or each.startswith(f"{name}."):
                del sys.modules[each]


class _Finder:
    """Finds modules where they are said to be."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        folder = self._places.get(fullname)
        return None if folder is None else find_on_path(fullname, [folder])


def _names_beside(path: Iterable[str]) -> set[str]:
    """Return the names of modules in the user's folders that others have, too, or may have."""
    libraries = os.path.dirname(os.__file__)
    names: set[str] = set()
    for entry in path:
        if entry.startswith(libraries) or any(name in entry for name in LIBRARY_FOLDERS):
            continue
        try:
            files = os.listdir(entry)
        except (OSError, ValueError):  # it is not there, or no name of a folder at all
            continue
        here = os.path.abspath(entry)
        for name in {file.partition(".")[0] for file in files}:
            module = sys.modules.get(name)
            is_elsewhere = module is not None and not _is_from(name, here)
            if is_elsewhere or name in sys.stdlib_module_names:
                names.add(name)
    return names - {"pando", "__main__", "__mp_main__", *sys.builtin_module_names}


def _is_from(name: str, folder: str) -> bool:
    module = sys.modules.get(name)
    return module is None or _folder_of(getattr(module, "__spec__", None)) == folder


def _folder_of(spec: ModuleSpec | None) -> str | None:
    """Return the folder that a module was found in; None for those that are in no file."""
    if spec is None or not spec.has_location or not isinstance(spec.origin, str):
        return None
    folder = os.path.dirname(os.path.abspath(spec.origin))
    return os.path.dirname(folder) if spec.submodule_search_locations is not None else folder


def find_on_path(name: str, path: Iterable[str]) -> ModuleSpec | None:
    """Return where a top-level module is found in folders."""
    from importlib.machinery import PathFinder

    return PathFinder.find_spec(name, list(path))
