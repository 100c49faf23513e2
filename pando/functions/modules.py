"""Which modules are the user's own, and what they import."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
import types
from pathlib import Path

from ..errors import FunctionError
from . import edited
from .package import ModuleSource
from .placing import LIBRARY_FOLDERS

NO_DATA = (".py", ".pyc", ".pyi", ".so", ".pyd")
MAX_DATA_BYTES = 1024 * 1024
"""The files beside modules that are sent with a function."""
MAX_DATA_FILES = 1000
STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
LIBRARY_PARTS = tuple(f"{os.sep}{folder}{os.sep}" for folder in LIBRARY_FOLDERS)


@functools.lru_cache(maxsize=1)
def _standard_library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"]).resolve()


def is_standard(top: str) -> bool:
    """Tell whether a top-level name means a module of Python's own here, and not a user's file."""
    if top not in sys.stdlib_module_names:
        return False
    spec = getattr(sys.modules[top], "__spec__", None) if top in sys.modules else _find_spec(top)
    origin = getattr(spec, "origin", None)
    if not isinstance(origin, str) or not getattr(spec, "has_location", False):
        return True
    return origin.startswith(STANDARD_LIBRARY) or _is_installed(Path(origin))


def source_file(name: str) -> Path | None:
    """Return the file of a user's module; None where workers need it installed."""
    top = name.partition(".")[0]
    if top in {"pando", "__main__"} or is_standard(top):
        return None
    filename = getattr(sys.modules.get(name), "__file__", None)
    if filename is None:
        spec = _find_spec(name)
        filename = spec.origin if spec and spec.has_location else None
    if filename is None or not filename.endswith(".py"):
        return None
    path = Path(filename)
    return None if _is_installed_file(filename, name) else path


def source_folder(name: str) -> Path | None:
    """Return the folder of a user's package that has no ``__init__.py``."""
    spec = _find_spec(name)
    if spec is None or spec.origin is not None or spec.submodule_search_locations is None:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    if any(_is_installed_file(str(folder), name) for folder in folders):
        return None
    return next(iter(folders), None)


def _find_spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Find a module without importing the packages that it is in."""
    parent = name.rpartition(".")[0]
    if not parent or name in sys.modules:
        try:
            return importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
    package = sys.modules.get(parent) or _find_spec(parent)
    folders = getattr(package, "__path__", getattr(package, "submodule_search_locations", None))
    return folders and importlib.machinery.PathFinder.find_spec(name, list(folders))


def _is_installed(path: Path) -> bool:
    if any(part in LIBRARY_FOLDERS for part in path.parts):
        return True
    return path.resolve().is_relative_to(_standard_library())


def is_own_module(name: str) -> bool:
    """Tell whether a module is the user's own, to be shipped as source."""
    return source_file(name) is not None or source_folder(name) is not None


def is_own_module_object(module: types.ModuleType | None, name: str) -> bool:
    """Tell whether an imported module, of whatever kind, is the user's own."""
    top = name.partition(".")[0]
    if module is None or top in {"pando", "__main__", "__mp_main__"} or is_standard(top):
        return False
    filename = getattr(module, "__file__", None)
    if isinstance(filename, str):
        return not _is_installed_file(filename, name)
    folders = list(getattr(module, "__path__", ()))
    return bool(folders) and not any(_is_installed_file(folder, name) for folder in folders)


def _is_installed_file(filename: str, name: str) -> bool:
    if filename.startswith(STANDARD_LIBRARY) or any(part in filename for part in LIBRARY_PARTS):
        return True  # as most are, of hundreds
    path = Path(filename)
    depth = name.count(".") + (path.stem == "__init__")
    folder = path.parents[min(depth, len(path.parents) - 1)]
    return _is_installed_folder(folder) or _is_installed(Path(filename))


@functools.lru_cache(maxsize=1024)
def _is_installed_folder(folder: Path) -> bool:
    """Tell whether packages were installed into a folder, as by ``pip install --target``."""
    return next(folder.glob("*.dist-info"), None) is not None


def is_own_file(filename: str) -> bool:
    """Tell whether code from a file of this name is the user's own."""
    return not filename.startswith("<") and not _is_installed(Path(filename))


def add_module(name: str, modules: dict[str, ModuleSource], imports: set[str]) -> None:
    """Put a module of the user's own, and all of theirs that it imports, into `modules`.

    The top-level names of what it imports from elsewhere are added to `imports`.
    """
    if name in modules:
        return
    parent = name.rpartition(".")[0]
    if parent:
        add_module(parent, modules, imports)
    path = source_file(name)
    if path is None:
        folder = source_folder(name)
        if folder is not None:
            modules[name] = ModuleSource("", str(folder), True)
        return
    try:
        with path.open("rb") as file:
            data, stamp = file.read(), edited.stamp(os.fstat(file.fileno()))
        source = importlib.util.decode_source(data)
        if name in sys.modules:
            edited.check(str(path), data, stamp, sys.modules[name])
        tree = ast.parse(source, str(path))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise FunctionError(f"the module {name} cannot be read: {error}") from None
    is_package = path.name == "__init__.py"
    files = _data_files(path.parent, modules) if is_package else {}
    modules[name] = ModuleSource(source, str(path), is_package, files)
    package = name if is_package else parent
    names = imported_names(tree, package)
    if package and {"pkgutil", "importlib"} & set(names):  # it may look for its own parts
        names += [f"{package}.{inner}" for inner in _parts_of(package)]
    for imported in names:
        add_import(imported, modules, imports)


def any_reads_arguments(found: dict[str, ModuleSource]) -> bool:
    """Tell whether a module seems to read the command line, which may hold secrets."""
    return any("argv" in module.source for module in found.values())


def _data_files(folder: Path, modules: dict[str, ModuleSource]) -> dict[str, bytes]:
    """Return the files beside a package's modules, as many as may be sent, the smallest first."""
    found = []
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if path.suffix in NO_DATA or "__pycache__" in inside.parts or not path.is_file():
            continue
        if not any(part.startswith(".") for part in inside.parts):
            found.append((path.stat().st_size, path, inside.as_posix()))
    room = MAX_DATA_BYTES - sum(len(d) for m in modules.values() for d in m.data.values())
    files = {}
    for size, path, inside_ in sorted(found)[:MAX_DATA_FILES]:
        if size > room:
            break  # who reads it on a volunteer is told that it was not sent
        files[inside_] = path.read_bytes()
        room -= size
    return files


def _parts_of(package: str) -> list[str]:
    """Return the modules that lie in a package's folder."""
    import pkgutil

    folders = getattr(sys.modules.get(package), "__path__", ())
    return [module.name for module in pkgutil.iter_modules(folders)]


def add_import(name: str, modules: dict[str, ModuleSource], imports: set[str]) -> None:
    """Note that a module is imported: ship it where it is the user's own, else require it."""
    if is_own_module(name):
        add_module(name, modules, imports)
        return
    top, _, rest = name.partition(".")
    if rest and is_own_module(top):
        return  # an attribute of a package of theirs, not a module
    if top not in {"pando", "__main__"} and not is_standard(top):
        imports.add(top)


def imported_names(tree: ast.AST, package: str) -> list[str]:
    """Return all modules that a source imports, anywhere in it, with what may be submodules."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                stem = parts[: len(parts) - node.level + 1]
                base = ".".join([*stem, base] if base else stem)
            names.append(base)
            names += [f"{base}.{alias.name}" for alias in node.names if is_own_module(base)]
    return [name for name in names if name]


def imported_submodules(module: types.ModuleType, attributes: set[str]) -> list[str]:
    """Return the loaded submodules of a package that code with these attribute names may use."""
    prefix = module.__name__ + "."
    return [
        name
        for name in list(sys.modules)
        if name.startswith(prefix) and set(name.removeprefix(prefix).split(".")) <= attributes
    ]
