"""Which modules are the user's own, and what they import."""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
import sysconfig
import tokenize
import types
from pathlib import Path

from ..errors import FunctionError
from .package import ModuleSource

LIBRARY_FOLDERS = ("site-packages", "dist-packages")


@functools.lru_cache(maxsize=1)
def _standard_library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"]).resolve()


def source_file(name: str) -> Path | None:
    """The file of a module of the user's own; None for one that workers have to have installed."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in {"pando", "__main__"}:
        return None
    filename = getattr(sys.modules.get(name), "__file__", None)
    if filename is None:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None
        filename = spec.origin if spec and spec.has_location else None
    if filename is None or not filename.endswith(".py"):
        return None
    path = Path(filename)
    if any(part in LIBRARY_FOLDERS for part in path.parts):
        return None
    return None if path.resolve().is_relative_to(_standard_library()) else path


def is_own_module(name: str) -> bool:
    """Whether a module is the user's own, to be shipped as source."""
    return source_file(name) is not None


def add_module(name: str, modules: dict[str, ModuleSource], imports: set[str]) -> None:
    """Put a module of the user's own, and all of theirs that it imports, into `modules`.

    The top-level names of what it imports from elsewhere are added to `imports`.
    """
    path = source_file(name)
    if name in modules or path is None:
        return
    parent = name.rpartition(".")[0]
    if parent:
        add_module(parent, modules, imports)
    try:
        with tokenize.open(path) as file:
            source = file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise FunctionError(f"the module {name} cannot be read: {error}") from None
    is_package = path.name == "__init__.py"
    modules[name] = ModuleSource(source, str(path), is_package)
    package = name if is_package else parent
    for imported in imported_names(ast.parse(source, str(path)), package):
        add_import(imported, modules, imports)


def add_import(name: str, modules: dict[str, ModuleSource], imports: set[str]) -> None:
    """Note that a module is imported: ship it where it is the user's own, else require it."""
    if is_own_module(name):
        add_module(name, modules, imports)
        return
    top, _, rest = name.partition(".")
    if rest and is_own_module(top):
        return  # an attribute of a package of theirs, not a module
    if top not in sys.stdlib_module_names and top not in {"pando", "__main__"}:
        imports.add(top)


def imported_names(tree: ast.AST, package: str) -> list[str]:
    """All modules that a source imports, anywhere in it, with what may be submodules."""
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
    """The loaded submodules of a package that code with these attribute names may use."""
    prefix = module.__name__ + "."
    return [
        name
        for name in list(sys.modules)
        if name.startswith(prefix) and set(name.removeprefix(prefix).split(".")) <= attributes
    ]
