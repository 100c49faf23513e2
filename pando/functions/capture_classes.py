"""The nodes of classes that are made from source, with what they hold by now."""

from __future__ import annotations

import functools
import types
from typing import Any

from ..errors import FunctionError
from . import class_source, class_state, package, reducers, references, segments
from .capture_graph import Graph, encode_plain
from .capture_namespaces import Namespaces

INTERNAL_TYPES: dict[type, str] = {
    found: name for name, found in vars(types).items() if isinstance(found, type)
}
"""The interpreter's own types, which `types` has under another name than they give."""


class ClassNodes:
    """Makes the nodes of one graph's classes."""

    def __init__(self, graph: Graph, namespaces: Namespaces) -> None:
        self._graph = graph
        self._namespaces = namespaces

    def class_(self, cls: type, where: str) -> package.Node:
        """Return the node of a class: an import if it can be imported, else its source.

        Raises:
            FunctionError: its source is not found, or it refers to what cannot be sent.
        """
        if cls in INTERNAL_TYPES:
            return package.Import("types", INTERNAL_TYPES[cls], [])
        imported = self._graph.importable(cls, cls.__qualname__)
        if imported is not None:
            self._graph.homes.visit_class(cls)
            return imported
        held = self._graph.held(cls, cls.__module__)
        if held is not None:
            return held
        if issubclass(cls, tuple) and hasattr(cls, "_field_defaults") and tuple in cls.__bases__:
            made = self._named_tuple(cls, where)
            if made is not None:
                return made
        try:
            segment = class_source.segment_of_class(cls)
        except FunctionError as error:
            text = f"the class {cls.__qualname__!r}, used by {where}, cannot be sent to workers"
            raise FunctionError(f"{text}: {error}") from None
        around = class_state.variables_around(cls, segment)
        missing = [name for name in segment.free if name not in around]
        if missing:
            raise FunctionError(
                f"the class {cls.__qualname__!r} cannot be sent to workers: it takes "
                f"{missing[0]!r} from the function around it; move it to the top level"
            )
        variables = self._namespaces.globals_of(cls)
        namespace = self._namespaces.of_module(cls.__module__, variables)
        code = segments.compile_class_factory(segment, cls.__qualname__)
        names = [*references.global_names(code), *segments.unevaluated_names(segment)]
        self._namespaces.fill(namespace, code, names, variables, cls.__qualname__)
        needs = references.global_names(code, depth=1)
        self._namespaces.note_imports(segment, self._graph.namespaces[namespace].package)
        return package.Class(
            segment=segment,
            namespace=namespace,
            name=cls.__name__,
            qualname=cls.__qualname__,
            cells=[
                self._graph.visit(around[name], f"the variable {name!r} of {cls.__qualname__}")
                for name in segment.free
            ],
            needs=needs,
            uses=[name for name in names if name not in needs],
            **self._state_of_class(cls, segment),
        )

    def _state_of_class(self, cls: type, segment: package.Segment) -> dict[str, Any]:
        """Return what a class holds besides, or in place of, what its statement gives it."""
        state = class_state.state_of(cls, segment)
        attributes = {}
        for name, value in state.attributes.items():
            where = f"the attribute {name!r} of {cls.__qualname__}"
            if name in state.by_statement and not self._can_visit(value):
                continue  # as a lock, which the statement makes there, too
            attributes[name] = self._graph.visit(value, where)
        subclass = f"a subclass of {cls.__qualname__}"
        registered = [self._graph.visit(each, subclass) for each in state.registered]
        members = {
            name: self._graph.visit(held, f"the member {name} of {cls.__qualname__}")
            for name, held in state.members.items()
        }
        return {
            "attributes": attributes,
            "removed": state.removed,
            "registered": registered,
            "members": members,
        }

    def _can_visit(self, value: Any) -> bool:
        """Tell whether an object can be sent at all, by its own way of being pickled."""
        if self._graph.homes.find(value) is not None or isinstance(
            value, types.FunctionType | type
        ):
            return True
        if type(value) in reducers.ROWS or encode_plain(value) is not None:
            return True
        try:
            value.__reduce_ex__(2)
        except Exception:
            return False
        return True

    def _named_tuple(self, cls: Any, where: str) -> package.Node | None:
        """Return the node of a named tuple type that was made by a call, so has no source."""
        try:
            class_source.segment_of_class(cls)
        except FunctionError:
            pass
        else:
            return None
        import collections

        make = functools.partial(
            collections.namedtuple,
            rename=False,
            defaults=list(cls._field_defaults.values()) or None,
            module=cls.__module__,
        )
        return package.Construct(
            self._graph.visit(make, where),
            [self._graph.visit(cls.__name__, where), self._graph.visit(list(cls._fields), where)],
        )
