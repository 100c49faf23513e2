"""The globals of a captured function: only those that its code uses."""

from __future__ import annotations

import ast
import builtins
import sys
import types
from typing import Any

from . import imports, modules, package, references, segments, source
from .capture_graph import Graph
from .imports import SCRIPT

_NOTHING = object()


class Namespaces:
    """The namespaces of one graph; functions of one module share theirs."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._numbers: dict[int, int] = {}

    def of_function(self, function: types.FunctionType, where: str) -> int:
        """Return the number of the namespace of a function, filled with what its code uses."""
        number = self.of_module(function.__module__, function.__globals__)
        code = function.__code__
        home = sys.modules.get(self._graph.namespaces[number].module)
        self._graph.homes.visit_code(
            code, function.__globals__, home if self._graph.namespaces[number].importable else None
        )
        for cell in function.__closure__ or ():
            self._graph.homes.visit_cell(cell, code)
        self.fill(number, code, references.global_names(code), function.__globals__, where)
        self.note_imports(
            segments.segment_of_function(function), self._graph.namespaces[number].package
        )
        return number

    def of_module(self, name: str | None, variables: dict[str, Any] | None = None) -> int:
        """Return the number of a module's namespace, or of one with these variables."""
        module = sys.modules.get(name or "")
        if variables is None:
            variables = vars(module) if module else {}
        number = self._numbers.get(id(variables))
        if number is not None:
            return number
        own_name = str(variables.get("__name__", SCRIPT))
        home = sys.modules.get(own_name)
        importable = home is not None and vars(home) is variables and imports.can_be_imported(home)
        if importable:
            self._graph.add_import(own_name)
        self._graph.namespaces.append(
            package.Namespace(
                own_name,
                importable,
                str(variables.get("__package__") or ""),
                str(variables.get("__file__") or ""),
                {},
            )
        )
        self._numbers[id(variables)] = len(self._graph.namespaces) - 1
        self._graph.kept_alive.append(variables)
        return len(self._graph.namespaces) - 1

    def globals_of(self, cls: type) -> dict[str, Any]:
        """Return the globals of the code that made a class, which may not be its module's."""
        for member in vars(cls).values():
            function = getattr(member, "__func__", member)
            if isinstance(function, types.FunctionType):
                variables = function.__globals__
                if variables.get("__name__") == cls.__module__ and "__file__" in variables:
                    return variables
        module = sys.modules.get(cls.__module__)
        return vars(module) if module else {}

    def fill(
        self,
        number: int,
        code: types.CodeType,
        names: list[str],
        variables: dict[str, Any],
        where: str,
    ) -> None:
        """Give a namespace the globals, of these names, that some code uses."""
        namespace = self._graph.namespaces[number]
        if namespace.importable:
            return
        attributes: set[str] = set()
        for inner in source.nested_codes(code):
            attributes.update(inner.co_names)
        for name in names:
            if name in variables and name not in namespace.names:
                value = variables[name]
                if getattr(builtins, name, _NOTHING) is value:
                    continue
                namespace.names[name] = -1  # it may refer to itself
                namespace.names[name] = self._graph.visit(value, f"the global {name!r} of {where}")
            value = variables.get(name)
            if isinstance(value, types.ModuleType):
                self._add_submodules(value, attributes)

    def _add_submodules(self, module: types.ModuleType, attributes: set[str]) -> None:
        node = self._graph.nodes[self._graph.numbers[id(module)]]
        assert isinstance(node, package.Import)
        for name in modules.imported_submodules(module, attributes):
            if name not in node.submodules:
                node.submodules.append(name)
                self._graph.add_import(name)

    def note_imports(self, segment: package.Segment, package_name: str) -> None:
        """Ship, or require, what is imported inside a function's body."""
        tree = ast.Module([_as_statement(segments.parse_segment(segment))], type_ignores=[])
        for name in modules.imported_names(tree, package_name):
            self._graph.add_import(name)


def _as_statement(node: ast.AST) -> ast.stmt:
    return ast.Expr(node) if isinstance(node, ast.expr) else node  # type: ignore[return-value]
