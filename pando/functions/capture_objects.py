"""The nodes of objects that are neither code nor plain data: as `pickle` would make them again."""

from __future__ import annotations

import copyreg
import types
from typing import Any

from .. import values
from ..errors import FunctionError
from . import imports, package, reducers
from .capture_graph import Graph


class MovedError(Exception):
    """An object turns out to be at home in a module: capturing has to begin anew."""


class ObjectNodes:
    """Makes the nodes of one graph's objects."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._registered = {known.type: known for known in values.registered_types()}

    def construct(self, value: Any, where: str) -> package.Node:
        """Return the node of an object, by the first of the ways that works.

        A registered type is encoded as its user says. What can be imported under its own name, or
        is held by its installed package, is imported. The rest is taken apart as `pickle` does it.

        Raises:
            FunctionError: it can be sent in none of these ways.
            MovedError: it is at home in a module of the user's own, which was not known before.
        """
        if self._graph.homes.is_held_by_own(value):
            raise MovedError
        registration = self._registered.get(type(value))
        if registration is not None and registration.encode is not None:
            decoder = self._graph.visit(registration.decode, f"the decoder of {registration.name}")
            return package.Construct(
                decoder, [self._graph.visit(registration.encode(value), where)]
            )
        qualname = getattr(value, "__qualname__", None)
        if isinstance(qualname, str):
            imported = self._graph.importable(value, qualname)
            if imported is not None:
                return imported
        held = self._graph.held(value, type(value).__module__)
        if held is not None:
            return held
        try:
            special = self._graph.generators.reduce(value) or reducers.reduce_specially(value)
        except TypeError as error:
            raise FunctionError(_cannot_be_sent(value, where, str(error))) from None
        if special is not None:
            return self.reduced(special, where)
        if isinstance(value, types.MethodType | types.BuiltinMethodType):
            imported = self._graph.import_at(imports.find_import_of_method(value))
            if imported is not None:
                return imported
        reduce = copyreg.dispatch_table.get(type(value))
        try:
            reduced = reduce(value) if reduce else value.__reduce_ex__(2)
        except Exception as error:
            raise FunctionError(_cannot_be_sent(value, where, str(error))) from None
        if isinstance(reduced, str):
            imported = self._graph.importable(value, reduced) or self._graph.import_at(
                imports.find_import_by_name(value, reduced)
            )
            if imported is None:
                raise FunctionError(_cannot_be_sent(value, where, f"{reduced} is not importable"))
            return imported
        _, arguments, state, members, entries = (*reduced, None, None, None)[:5]
        stateless = state is None and members is None and entries is None
        if stateless and len(arguments) == 1 and arguments[0] is type(value):
            imported = self._graph.import_at(imports.find_import_of_sentinel(value))
            if imported is not None:
                return imported
        return self.reduced(reduced, where)

    def reduced(self, reduced: tuple[Any, ...], where: str) -> package.Node:
        """Return the node of what `__reduce_ex__` has returned, or a reducer in its place."""
        callable_, arguments, state, members, entries, setter = (*reduced, *[None] * 4)[:6]
        if callable_ is getattr and arguments and isinstance(arguments[0], types.ModuleType):
            return package.Import(arguments[0].__name__, arguments[1], [])
        return package.Construct(
            self._graph.visit(callable_, where),
            [self._graph.visit(argument, where) for argument in arguments],
            None if state is None else self._graph.visit(state, where),
            [self._graph.visit(member, f"a member of {where}") for member in members or ()],
            self._graph.entries(entries or (), where),
            None if setter is None else self._graph.visit(setter, where),
        )


def _cannot_be_sent(value: Any, where: str, why: str) -> str:
    name = type(value).__name__
    return f"{where}, a value of type {name!r}, cannot be sent to workers: {why}"
