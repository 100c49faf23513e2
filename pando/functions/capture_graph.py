"""The graph of a captured function: which object became which node, and what is imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import values
from ..errors import FunctionError, UnsupportedValueError, shorten
from . import imports, modules, package
from .generators import Generators
from .homes import Homes

_PLAIN = values.Codec(values.Registry())
"""Encodes what needs no class of the user's own: those are nodes themselves."""


class Graph:
    """What one capture has found so far.

    A subclass says in `make_node` what each kind of object becomes.

    Args:
        homes: what is at home in modules of the user's own.
        generators: where random generators are noted.

    Attributes:
        by_value: the identities of objects that are not at home in a module.
        nodes: the nodes by number; None while one is being made.
        numbers: the number of each object's node, by identity.
        namespaces: globals of functions and classes.
        modules: the user's own modules that are sent.
        imports: the names of all other modules that are needed.
        kept_alive: what must not be collected meanwhile, lest its identity be used again.
    """

    def __init__(self, homes: Homes, generators: Generators) -> None:
        self.homes = homes
        self.generators = generators
        self.by_value: set[int] = set()
        self.nodes: list[package.Node | None] = []
        self.numbers: dict[int, int] = {}
        self.namespaces: list[package.Namespace] = []
        self.modules: dict[str, package.ModuleSource] = {}
        self.imports: set[str] = set()
        self.kept_alive: list[object] = []

    def make_node(self, value: Any, where: str) -> package.Node:
        """Return the node of an object that is not at home in a module."""
        raise NotImplementedError

    def visit(self, value: Any, where: str) -> int:
        """Return the number of an object's node; `where` says in an error what refers to it."""
        known = self.numbers.get(id(value))
        if known is not None:
            return known
        number = len(self.nodes)
        self.nodes.append(None)
        self.numbers[id(value)] = number
        home = self.homes.find(value)
        if home is None:
            self.by_value.add(id(value))
        self.kept_alive.append(value)
        try:
            if home is not None:
                self.nodes[number] = self._home(home, where)
            else:
                self.nodes[number] = self.make_node(value, where)
        except RecursionError:
            raise FunctionError(f"{where} is nested too deeply to be serialized") from None
        return number

    def _home(self, home: tuple[tuple[str | int, ...], type | str], where: str) -> package.Home:
        key, kind = home
        self.add_import(str(key[0]))
        if isinstance(kind, str):
            return package.Home(list(key), None, kind)
        return package.Home(list(key), self.visit(kind, f"the type of {where}"), kind.__name__)

    def entries(self, pairs: Iterable[tuple[Any, Any]], where: str) -> list[tuple[int, int]]:
        """Return the numbers of the keys and values of a mapping."""
        return [
            (
                self.visit(key, f"a key of {where}"),
                self.visit(value, f"[{shorten(key)}] of {where}"),
            )
            for key, value in pairs
        ]

    # ---- what is imported ----

    def add_import(self, name: str) -> None:
        """Send a module of the user's own, or note that another is needed."""
        modules.add_import(name, self.modules, self.imports)

    def import_at(self, place: imports.ImportPath | None) -> package.Import | None:
        """Return the node of an object that can be imported, if it can."""
        if place is None:
            return None
        self.add_import(place.module)
        return package.Import(place.module, place.path, [])

    def importable(self, value: Any, qualname: str) -> package.Import | None:
        """Return the node of an object that is found under its own name, if it is."""
        return self.import_at(imports.find_import_path(value, qualname))

    def held(self, value: Any, home: str) -> package.Import | None:
        """Return the import of an object that its installed package holds under a name."""
        return self.import_at(self.homes.find_held(value, home))


def encode_plain(value: Any) -> bytes | None:
    """Encode a value that `pando.values` encodes without a registered type, if it is one."""
    try:
        return _PLAIN.encode(value)
    except UnsupportedValueError:
        return None
