"""How an object is imported: the module and the path at which a worker finds this very object."""

from __future__ import annotations

import sys
import types
from typing import Any, NamedTuple

SCRIPT = "__main__"


class Place(NamedTuple):
    """Where an object stands: a module's name, and a dotted path inside it."""

    module: str
    path: str


def find_place(value: Any, qualname: str) -> Place | None:
    """Where the object itself says that it stands, if it does."""
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
            return Place(module.__name__, qualname)
    return None


def find_place_by_name(value: Any, name: str) -> Place | None:
    """Any module that has the object under this name."""
    script = sys.modules.get(SCRIPT)  # which has a second name once `multiprocessing` is imported
    for module_name, module in list(sys.modules.items()):
        if module is not script and getattr(module, name, None) is value:
            return Place(module_name, name)
    return None


def find_place_of_sentinel(value: Any) -> Place | None:
    """Where an object without any state stands, which is known by its identity alone."""
    for module_name, module in list(sys.modules.items()):
        if isinstance(module, types.ModuleType) and can_be_imported(module):
            for name, found in list(vars(module).items()):
                if found is value:
                    return Place(module_name, name)
    return None


def find_place_of_method(method: types.MethodType | types.BuiltinMethodType) -> Place | None:
    """Where `random.random`, say, stands, so that the generator behind it is not copied."""
    home = sys.modules.get(type(method.__self__).__module__)
    if home is None or not can_be_imported(home):
        return None
    if getattr(home, method.__name__, None) != method:
        return None
    return Place(home.__name__, method.__name__)


def can_be_imported(module: types.ModuleType) -> bool:
    """Whether a worker could do it: the script, notebooks and `exec` make modules it could not."""
    if module.__name__ == SCRIPT:
        return False
    if module.__name__.partition(".")[0] in sys.stdlib_module_names:
        return True
    return getattr(module, "__spec__", None) is not None
