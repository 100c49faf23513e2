"""How an object is imported: the module and the path at which a worker finds this very object."""

from __future__ import annotations

import sys
import types
from typing import Any, NamedTuple

SCRIPT = "__main__"


class ImportPath(NamedTuple):
    """Where an object is found: a module's name, and a dotted path inside it."""

    module: str
    path: str


def find_import_path(value: Any, qualname: str) -> ImportPath | None:
    """Find an object where it says itself that it is, if it does."""
    home = getattr(value, "__module__", None)
    if not isinstance(home, str):
        return None
    # A private module may be another one in another version; its package is the same.
    public, private, _ = home.partition("._")
    for name in [public, home] if private else [home]:
        module = sys.modules.get(name)
        if module is None or not can_be_imported(module):
            continue
        found: Any = module
        for part in qualname.split("."):
            found = getattr(found, part, None)
        if found is value:
            return ImportPath(module.__name__, qualname)
    return None


def find_import_by_name(value: Any, name: str) -> ImportPath | None:
    """Find any module that has the object under this name."""
    script = sys.modules.get(SCRIPT)  # which has a second name once `multiprocessing` is imported
    for module_name, module in sys.modules.copy().items():
        if module is not script and getattr(module, name, None) is value:
            return ImportPath(module_name, name)
    return None


def find_import_of_sentinel(value: Any) -> ImportPath | None:
    """Find an object without any state, which is known by its identity alone."""
    for module_name, module in sys.modules.copy().items():
        if isinstance(module, types.ModuleType) and can_be_imported(module):
            for name, found in list(vars(module).items()):
                if found is value:
                    return ImportPath(module_name, name)
    return None


def find_import_of_method(method: types.MethodType | types.BuiltinMethodType) -> ImportPath | None:
    """Find a method such as `random.random`, so that its generator is not copied."""
    home = sys.modules.get(type(method.__self__).__module__)
    if home is None or not can_be_imported(home):
        return None
    if getattr(home, method.__name__, None) != method:
        return None
    return ImportPath(home.__name__, method.__name__)


def can_be_imported(module: types.ModuleType) -> bool:
    """Tell whether a worker can import it, unlike modules of scripts, notebooks and `exec`."""
    if module.__name__ == SCRIPT:
        return False
    if module.__name__.partition(".")[0] in sys.stdlib_module_names:
        return True
    return getattr(module, "__spec__", None) is not None
