"""The nodes of functions that are made from source."""

from __future__ import annotations

import types
from typing import Any

from ..errors import FunctionError
from . import package, reducers, references, segments
from .capture_graph import Graph
from .capture_namespaces import Namespaces
from .capture_objects import ObjectNodes


class FunctionNodes:
    """Makes the nodes of one graph's functions."""

    def __init__(self, graph: Graph, namespaces: Namespaces, objects: ObjectNodes) -> None:
        self._graph = graph
        self._namespaces = namespaces
        self._objects = objects

    def function(self, function: types.FunctionType, where: str) -> package.Node:
        """Return the node of a function: an import if it can be imported, else its source.

        Raises:
            FunctionError: its source is not found, or it refers to what cannot be sent.
        """
        imported = self._graph.importable(function, function.__qualname__)
        if imported is not None:
            self._graph.homes.visit_function(function)
            return imported
        dispatched = reducers.reduce_single_dispatch(function)
        if dispatched is not None:
            return self._objects.reduced(dispatched, where)
        held = self._graph.held(function, str(function.__globals__.get("__name__", "")))
        if held is not None:
            return held
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        if "__class__" in cells:
            # A method that uses `super()` is taken from its class.
            cls = cells["__class__"].cell_contents
            if getattr(cls, function.__name__, None) is function:
                return self._attribute(cls, function.__name__, where)
        try:
            segment = segments.segment_of_function(function)
        except FunctionError as error:
            raise FunctionError(f"{_described(where)} cannot be sent to workers: {error}") from None
        numbers = [
            self._graph.visit(cell, f"the variable {name!r} of {where}")
            for name, cell in cells.items()
        ]
        namespace = self._namespaces.of_function(function, where)
        defaults = function.__defaults__
        keyword_defaults = function.__kwdefaults__
        attributes = dict(vars(function))
        if function.__doc__ not in function.__code__.co_consts[:1]:
            attributes["__doc__"] = function.__doc__
        return package.Function(
            segment=segment,
            namespace=namespace,
            name=function.__name__,
            qualname=function.__qualname__,
            cells=numbers,
            defaults=None
            if defaults is None
            else self._graph.visit(defaults, f"a default of {where}"),
            keyword_defaults=None
            if keyword_defaults is None
            else self._graph.visit(keyword_defaults, f"a default of {where}"),
            attributes={
                name: self._graph.visit(attribute, f"the attribute {name!r} of {where}")
                for name, attribute in attributes.items()
            },
            uses=references.global_names(function.__code__),
        )

    def _attribute(self, owner: Any, name: str, where: str) -> package.Node:
        return package.Construct(
            self._graph.visit(getattr, where),
            [self._graph.visit(owner, where), self._graph.visit(name, where)],
        )

    def cell(self, cell: types.CellType, where: str) -> package.Node:
        """Return the node of a variable that a function has from around it."""
        try:
            content = cell.cell_contents
        except ValueError:
            return package.Cell(None)
        return package.Cell(self._graph.visit(content, where))


def _described(where: str) -> str:
    return f"the function {where}" if where.isidentifier() or where == "<lambda>" else where
