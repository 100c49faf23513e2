"""Capturing a function: walk what it refers to, and write all of it down as source and data.

The walk follows `pickle`'s idea of an object graph, but functions, lambdas and classes become
segments of source, the user's own modules whole files, and everything installed an import.
`capture_graph` holds what has been found; what each kind of object becomes is in
`capture_functions`, `capture_classes`, `capture_namespaces` and `capture_objects`.
"""

from __future__ import annotations

import functools
import marshal
import platform
import sys
import threading
import types
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .. import values
from ..errors import FunctionError, shorten
from . import home_objects, modules, package
from .capture_classes import ClassNodes
from .capture_functions import FunctionNodes
from .capture_graph import Graph, encode_plain
from .capture_namespaces import Namespaces
from .capture_objects import MovedError, ObjectNodes
from .generators import Generators
from .homes import Homes
from .imports import SCRIPT
from .naming import function_name

_one_at_a_time = threading.RLock()
"""CPython 3.11's parser gives up with a SystemError when several threads use it at once."""
MAX_PASSES = 100
"""How often something may turn out to be at home in a module too late."""
COLLECTIONS = (list, tuple, set, frozenset)


def capture(
    function: Callable[..., Any],
    requirements: Iterable[str] = (),
    *,
    initializer: Callable[[], object] | None = None,
    generators: Generators | None = None,
    classes: Iterable[values.Registration] = (),
) -> package.FunctionPackage:
    """Collect everything that another process needs to have this function.

    Args:
        function: any callable made of Python source, or importable.
        requirements: what has to be installed for it, as PEP 508 requirement strings.
        initializer: what is called once in each worker.
        generators: where random generators are noted.
        classes: what items and results may be instances of, besides registered types.

    Raises:
        FunctionError: something it refers to cannot be serialized; the message names the variable.
    """
    if not callable(function):
        raise FunctionError(f"{shorten(function)} is not a function")
    with _one_at_a_time:
        types_ = [*values.registered_types(), *classes]
        return _capture(function, requirements, initializer, generators or Generators(), types_)


def _capture(
    function: Callable[..., Any],
    requirements: Iterable[str],
    initializer: Callable[[], object] | None,
    generators: Generators,
    registrations: list[values.Registration],
) -> package.FunctionPackage:
    homes = Homes()
    for _ in range(MAX_PASSES):
        try:
            found = _capture_once(
                function, requirements, initializer, homes, generators, registrations
            )
        except MovedError:
            pass
        else:
            if not homes.moved(found.by_value):
                return found.package
        homes.again()
    raise FunctionError(f"{function_name(function)} refers to too much in your own modules")


class _Captured(NamedTuple):
    package: package.FunctionPackage
    by_value: set[int]


def _capture_once(
    function: Callable[..., Any],
    requirements: Iterable[str],
    initializer: Callable[[], object] | None,
    homes: Homes,
    generators: Generators,
    registrations: list[values.Registration],
) -> _Captured:
    walk = _Walk(homes, generators)
    name = function_name(function)
    entry = walk.visit(function, name)
    first = None if initializer is None else walk.visit(initializer, "the initializer")
    types_ = [
        package.RegisteredType(
            registration.name,
            walk.visit(registration.type, f"the registered type {registration.name}"),
            walk.visit(registration.encode, f"the encoder of {registration.name}"),
            walk.visit(registration.decode, f"the decoder of {registration.name}"),
        )
        for registration in registrations
    ]
    binds, fills, same = walk.visit_state()
    found = package.FunctionPackage(
        name=name,
        python=".".join(platform.python_version_tuple()[:2]),
        entry=entry,
        nodes=[node for node in walk.nodes if node is not None],
        namespaces=walk.namespaces,
        modules=walk.modules,
        imports=sorted(walk.imports),
        types=types_,
        requirements=list(requirements),
        binds=binds,
        fills=fills,
        same=same,
        initializer=first,
        keyed=generators.any,
        seeded=generators.random_seed is not None,
        arguments=list(map(str, sys.argv)) if modules.any_reads_arguments(walk.modules) else [],
    )
    return _Captured(found, walk.by_value)


class _Walk(Graph):
    """One capture: what each kind of object becomes."""

    def __init__(self, homes: Homes, generators: Generators) -> None:
        super().__init__(homes, generators)
        namespaces = Namespaces(self)
        self._objects = ObjectNodes(self)
        self._functions = FunctionNodes(self, namespaces, self._objects)
        self._classes = ClassNodes(self, namespaces)

    def visit_state(
        self,
    ) -> tuple[
        list[tuple[list[str | int], int]],
        list[tuple[int, str, int]],
        list[tuple[list[str | int], list[str | int]]],
    ]:
        """Return what is to be done to the user's own modules after they were imported."""
        binds, fills, same = [], [], []
        while todo := self.homes.take():
            for kind, target, *value in todo:
                if kind == "bind":
                    where = home_objects.describe(target)
                    binds.append((list(target), self.visit(value[0], where)))
                elif kind == "fill":
                    where = "a module's variable"
                    content = self.visit(value[1], where)
                    fills.append((self.visit(target, where), value[0], content))
                else:
                    found = marshal.loads(value[0])
                    if modules.is_own_file(found.co_filename):
                        same.append((list(target), home_objects.origin_of(found)))
        return binds, fills, same

    def make_node(self, value: Any, where: str) -> package.Node:
        if isinstance(value, types.ModuleType):
            return self._module(value, where)
        if isinstance(value, types.FunctionType):
            return self._functions.function(value, where)
        if isinstance(value, type):
            return self._classes.class_(value, where)
        if isinstance(value, types.CellType):
            return self._functions.cell(value, where)
        if isinstance(value, functools._lru_cache_wrapper):
            imported = self.importable(value, value.__qualname__)
            if imported is not None:
                wrapped: Any = value.__wrapped__
                self.homes.visit_function(wrapped)
                return imported
        data = self._data(value)
        if data is not None:
            return data
        if type(value) in COLLECTIONS:
            members = [self.visit(member, f"a member of {where}") for member in value]
            return package.Collection(type(value).__name__, members)
        if type(value) is dict:
            return package.Mapping(self.entries(value.items(), where))
        return self._objects.construct(value, where)

    def _data(self, value: Any) -> package.Data | None:
        """Return the node of a value that `pando.values` encodes without a registered type."""
        if type(value) is memoryview:  # as an item, it would arrive as bytes
            return None
        if type(value) in (*COLLECTIONS, dict) and self.homes.has_any:
            return None  # it may hold what is at home in a module
        encoded = encode_plain(value)
        return None if encoded is None else package.Data(encoded)

    def _module(self, module: types.ModuleType, where: str) -> package.Node:
        name = module.__name__
        if name == SCRIPT:
            raise FunctionError(f"{where} is the script itself, which workers do not import")
        self.add_import(name)
        return package.Import(name, "", [])
