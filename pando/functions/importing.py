"""What workers can import: modules, by name or by file, and where they hold an object."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from typing import Any

from .imports import ImportPath
from .own_modules import is_own

IMMUTABLE = (
    type(None), bool, int, float, complex, str, bytes, tuple, frozenset, range, type(...),
    type(NotImplemented),
)  # fmt: skip


class Importing:
    """What workers of this machine can import of the modules that are imported here.

    Attributes:
        any_own_module: whether a module of the user's own has been imported at all.
        files: modules that are not found on ``sys.path`` but have a file, by name: the file, and
            whether it is a package.
    """

    copied_types = (types.MethodType, types.BuiltinMethodType)
    """Types whose objects are never imported from where they are held."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, bool]] = {}
        self.any_own_module = any(map(is_own, sys.modules.copy().values()))
        self._homes_by_id: dict[int, tuple[str, str] | None] = {}
        self._importable: dict[str, bool] = {}
        self._held: dict[str, dict[int, ImportPath]] = {}
        self._asked: list[object] = []

    def home_of(self, obj: Any, name: str | None = None) -> tuple[str, str] | None:
        """Return the module and the path by which a worker imports this object."""
        known = self._homes_by_id.get(id(obj), ())
        if known != ():
            return known  # type: ignore[return-value]
        self._asked.append(obj)  # lest its identity be used again
        home = self._homes_by_id[id(obj)] = self._find_home(obj, name)
        return home

    def _find_home(self, obj: Any, name: str | None) -> tuple[str, str] | None:
        module_name = getattr(obj, "__module__", None)
        path = name or getattr(obj, "__qualname__", None)
        if not isinstance(module_name, str) or not isinstance(path, str):
            return None
        module = sys.modules.get(module_name)
        if not isinstance(module, types.ModuleType) or "<" in path:
            return None
        found: Any = module
        for part in path.split("."):
            found = getattr(found, part, None)
        return (module_name, path) if found is obj and self.can_import(module) else None

    def can_import(self, module: types.ModuleType) -> bool:
        """Tell whether a worker can import a module, by its name or by its file."""
        name = module.__name__
        known = self._importable.get(name)
        if known is None:
            known = self._importable[name] = self._find_import(name, module)
        return known

    def _find_import(self, name: str, module: types.ModuleType) -> bool:
        if name in ("__main__", "__mp_main__") or sys.modules.get(name) is not module:
            return False
        if not is_own(module):
            return getattr(module, "__spec__", None) is not None or name in sys.builtin_module_names
        parent, _, _ = name.rpartition(".")
        if parent and (parent not in sys.modules or not self.can_import(sys.modules[parent])):
            return False
        filename = getattr(module, "__file__", None)
        path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.origin == filename:
            return True
        if filename is None or not filename.endswith(".py"):
            return getattr(module, "__spec__", None) is not None and spec is not None
        self.files[name] = (filename, hasattr(module, "__path__"))
        return True

    def find_held(self, obj: Any, home: str) -> ImportPath | None:
        """Find where the installed package that an object belongs to holds it under a name.

        Args:
            obj: an object that is not found under the name that it says itself.
            home: the module that it, or its type, is from.
        """
        top = home.partition(".")[0]
        if top in ("", "builtins", "__main__") or isinstance(obj, self.copied_types):
            return None
        index = self._held.get(top)
        if index is None:
            index = self._held[top] = self.index_of_package(top)
        return index.get(id(obj))

    def index_of_package(self, top: str) -> dict[int, ImportPath]:
        """Return what an installed package's modules hold under which name, by identity."""
        index: dict[int, ImportPath] = {}
        for name, module in sys.modules.copy().items():
            if name.partition(".")[0] != top or not isinstance(module, types.ModuleType):
                continue
            if is_own(module) or not self.can_import(module):
                continue
            for attribute, value in list(vars(module).items()):
                if not isinstance(value, (*IMMUTABLE, types.ModuleType)):
                    index.setdefault(id(value), ImportPath(name, attribute))
        return index
