"""Loading the exact form, in a worker process and nowhere else: it is a pickle, which is code."""

from __future__ import annotations

import sys
from _io import BytesIO
from _pickle import Unpickler

from .. import values
from ..errors import FunctionError
from .home_objects import Homes, bind, check_code, fill
from .package import ExactPackage, ModuleSource
from .rebuild import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FILLED_LAST = ("dict", "set")
"""Their members may be hashed by what other objects hold."""


def load(package: ExactPackage) -> Callable[[Any], Any]:
    """Load the function of a package, with its modules in the state that they had.

    Raises:
        FunctionError: a module is missing here, or what it has cannot be what it was.
        Exception: whatever the user's own modules and classes raise when they are made.
    """
    if package.modules:
        _add_modules(package.modules)
    files.update({short: name for short, name in package.files.items() if name})
    # Those of another machine are never looked for here, where another file may have the name.
    _remember_lines(dict.fromkeys(package.files.keys() - files, ""))
    _remember_lines({files.get(name, name): text for name, text in package.lines.items()})
    try:
        return _load(package)
    except ModuleNotFoundError as error:
        raise FunctionError(
            f"the function {package.name} needs the module {error.name!r}, "
            f"which is not found by {sys.executable}"
        ) from error


def _load(package: ExactPackage) -> Callable[[Any], Any]:
    reader = _Reader(BytesIO(package.pickle))
    function, types, initializer = reader.load()
    batches = []
    while (batch := reader.load()) is not None:
        batches += batch
    fills = [fields for kind, *fields in batches if kind == "fill"]
    for last in (False, True):
        for made, kind, content in fills:
            if (kind in FILLED_LAST) is last:
                fill(made, kind, content)
    for kind, target, value in [each for each in batches if each[0] != "fill"]:
        if kind == "bind":
            bind(target, value)
        elif kind == "same":
            check_code(target, value)
        else:  # names
            target.update((n, v) for n, v in value.items() if n != "__submodules__")
    for name, cls, encode, decode in types:
        values.REGISTERED.add(values.Registration(name, cls, encode, decode))
    if initializer is not None:
        initializer()
    found: Callable[[Any], Any] = function
    return found


class _Reader(Unpickler):
    """An unpickler that takes what is at home in a module from there."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file)
        self._homes = Homes()

    def persistent_load(self, key: Any) -> Any:
        """Return the object of a key."""
        return self._homes.find(*key)


def _add_modules(found: dict[str, ModuleSource]) -> None:
    """Import modules from their kept text first of all, and by their file where nothing else is."""
    from importlib.util import decode_source

    from .sent_modules import SentModules

    kept, by_file = {}, {}
    for name, module in found.items():
        if module.source:
            kept[name] = module
        else:
            with open(module.filename, "rb") as file:
                text = decode_source(file.read())
            by_file[name] = ModuleSource(text, module.filename, module.is_package)
    sys.meta_path.insert(0, SentModules(kept, have_folders=True))
    sys.meta_path.append(SentModules(by_file, have_folders=True))


def _remember_lines(texts: dict[str, str]) -> None:
    import linecache

    for filename, text in texts.items():
        lines = text.splitlines(keepends=True)
        linecache.cache[filename] = (len(text), None, lines, filename)
