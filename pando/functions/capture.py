"""Capturing a function: walk what it refers to, and write all of it down as source and data.

The walk follows `pickle`'s idea of an object graph, but functions, lambdas and classes become
segments of source, the user's own modules whole files, and everything installed an import.
"""

from __future__ import annotations

import ast
import builtins
import copyreg
import functools
import marshal
import platform
import sys
import threading
import types
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .. import values
from ..errors import FunctionError, UnsupportedValueError, shorten
from . import (
    class_source,
    class_state,
    imports,
    modules,
    package,
    rebuild,
    reducers,
    references,
    source,
)
from .generators import Generators
from .homes import Homes
from .imports import SCRIPT

_one_at_a_time = threading.RLock()
"""CPython 3.11's parser gives up with a SystemError when several threads use it at once."""
MAX_PASSES = 100
"""How often something may turn out to be at home in a module too late."""
_PLAIN = values.Codec(values.Registry(), thorough=True)
"""Encodes what needs no class of the user's own: those are nodes themselves."""
COLLECTIONS = (list, tuple, set, frozenset)
INTERNAL_TYPES: dict[type, str] = {
    found: name for name, found in vars(types).items() if isinstance(found, type)
}
"""The interpreter's own types, which `types` has under another name than they give."""


def capture(
    function: Callable[..., Any],
    requirements: Iterable[str] = (),
    *,
    initializer: Callable[[], object] | None = None,
    generators: Generators | None = None,
    classes: Iterable[values.Registration] = (),
) -> package.FunctionPackage:
    """Everything that another process needs to have this function.

    Args:
        function: any callable made of Python source, or importable.
        requirements: what has to be installed for it, in the words of PEP 508.
        initializer: what is called once in each worker.
        generators: where random generators are noted.
        classes: what items and results may be instances of, besides registered types.

    Raises:
        FunctionError: something it refers to cannot travel; the message names the variable.
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
        except _MovedError:
            pass
        else:
            if not homes.moved(found.by_value):
                return found.package
        homes.again()
    raise FunctionError(f"{function_name(function)} refers to too much in modules of its own")


class _MovedError(Exception):
    """An object turns out to be at home in a module: capturing has to begin anew."""


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


def function_name(function: Callable[..., Any]) -> str:
    """What people would call a function."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    return str(name)


class _Walk:
    """One capture: the nodes found so far, and which object became which."""

    def __init__(self, homes: Homes, generators: Generators) -> None:
        self._homes = homes
        self._generators = generators
        self.by_value: set[int] = set()
        self.nodes: list[package.Node | None] = []
        self.namespaces: list[package.Namespace] = []
        self.modules: dict[str, package.ModuleSource] = {}
        self.imports: set[str] = set()
        self._registered = {known.type: known for known in values.registered_types()}
        self._numbers: dict[int, int] = {}
        self._namespace_numbers: dict[int, int] = {}
        self._kept_alive: list[object] = []

    def visit(self, value: Any, where: str) -> int:
        """The number of an object's node; `where` says in an error what refers to it."""
        known = self._numbers.get(id(value))
        if known is not None:
            return known
        number = len(self.nodes)
        self.nodes.append(None)
        self._numbers[id(value)] = number
        home = self._homes.find(value)
        if home is None:
            self.by_value.add(id(value))
        self._kept_alive.append(value)
        try:
            if home is not None:
                self.nodes[number] = self._home(home, where)
            else:
                self.nodes[number] = self._node(value, where)
        except RecursionError:
            raise FunctionError(f"{where} is nested too deeply to travel") from None
        return number

    def visit_state(
        self,
    ) -> tuple[
        list[tuple[list[str | int], int]],
        list[tuple[int, str, int]],
        list[tuple[list[str | int], list[str | int]]],
    ]:
        """What is to be done to the user's own modules after they were imported."""
        binds, fills, same = [], [], []
        while todo := self._homes.take():
            for kind, target, *value in todo:
                if kind == "bind":
                    where = rebuild.describe(target)
                    binds.append((list(target), self.visit(value[0], where)))
                elif kind == "fill":
                    where = "a module's variable"
                    content = self.visit(value[1], where)
                    fills.append((self.visit(target, where), value[0], content))
                else:
                    found = marshal.loads(value[0])
                    if modules.is_own_file(found.co_filename):
                        same.append((list(target), rebuild.origin_of(found)))
        return binds, fills, same

    def _home(self, home: tuple[tuple[str | int, ...], type | str], where: str) -> package.Home:
        key, kind = home
        self._add_import(str(key[0]))
        if isinstance(kind, str):
            return package.Home(list(key), None, kind)
        return package.Home(list(key), self.visit(kind, f"the type of {where}"), kind.__name__)

    def _node(self, value: Any, where: str) -> package.Node:
        if isinstance(value, types.ModuleType):
            return self._module(value, where)
        if isinstance(value, types.FunctionType):
            return self._function(value, where)
        if isinstance(value, type):
            return self._class(value, where)
        if isinstance(value, types.CellType):
            return self._cell(value, where)
        if isinstance(value, functools._lru_cache_wrapper):
            imported = self._importable(value, value.__qualname__)
            if imported is not None:
                wrapped: Any = value.__wrapped__
                self._homes.visit_function(wrapped)
                return imported
        data = self._data(value)
        if data is not None:
            return data
        if type(value) in COLLECTIONS:
            members = [self.visit(member, f"a member of {where}") for member in value]
            return package.Collection(type(value).__name__, members)
        if type(value) is dict:
            return package.Mapping(self._entries(value.items(), where))
        return self._construct(value, where)

    def _data(self, value: Any) -> package.Data | None:
        """The node of a value that travels as it is, with no need of a registered type."""
        if type(value) is memoryview:  # as an item, it would arrive as bytes
            return None
        if type(value) in (*COLLECTIONS, dict) and self._homes.has_any:
            return None  # it may hold what is at home in a module
        try:
            return package.Data(_PLAIN.encode(value))
        except UnsupportedValueError:
            return None

    # ---- what is imported ----

    def _module(self, module: types.ModuleType, where: str) -> package.Node:
        name = module.__name__
        if name == SCRIPT:
            raise FunctionError(f"{where} is the script itself, which workers do not import")
        self._add_import(name)
        return package.Import(name, "", [])

    def _add_import(self, name: str) -> None:
        modules.add_import(name, self.modules, self.imports)

    def _import(self, place: imports.Place | None) -> package.Import | None:
        """The node of an object that can be imported, if it can."""
        if place is None:
            return None
        self._add_import(place.module)
        return package.Import(place.module, place.path, [])

    def _importable(self, value: Any, qualname: str) -> package.Import | None:
        return self._import(imports.find_place(value, qualname))

    # ---- what is made from source ----

    def _function(self, function: types.FunctionType, where: str) -> package.Node:
        imported = self._importable(function, function.__qualname__)
        if imported is not None:
            self._homes.visit_function(function)
            return imported
        dispatched = reducers.reduce_single_dispatch(function)
        if dispatched is not None:
            return self._reduced(dispatched, where)
        held = self._held(function, str(function.__globals__.get("__name__", "")))
        if held is not None:
            return held
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        if "__class__" in cells:
            # A method that uses `super()` is taken from its class.
            cls = cells["__class__"].cell_contents
            if getattr(cls, function.__name__, None) is function:
                return self._attribute(cls, function.__name__, where)
        try:
            segment = source.segment_of_function(function)
        except FunctionError as error:
            raise FunctionError(f"{_described(where)} cannot be sent to workers: {error}") from None
        numbers = [
            self.visit(cell, f"the variable {name!r} of {where}") for name, cell in cells.items()
        ]
        namespace = self._namespace(function, where)
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
            defaults=None if defaults is None else self.visit(defaults, f"a default of {where}"),
            keyword_defaults=None
            if keyword_defaults is None
            else self.visit(keyword_defaults, f"a default of {where}"),
            attributes={
                name: self.visit(attribute, f"the attribute {name!r} of {where}")
                for name, attribute in attributes.items()
            },
            uses=references.global_names(function.__code__),
        )

    def _attribute(self, owner: Any, name: str, where: str) -> package.Node:
        return package.Construct(
            self.visit(getattr, where), [self.visit(owner, where), self.visit(name, where)]
        )

    def _cell(self, cell: types.CellType, where: str) -> package.Node:
        try:
            content = cell.cell_contents
        except ValueError:
            return package.Cell(None)
        return package.Cell(self.visit(content, where))

    def _class(self, cls: type, where: str) -> package.Node:
        if cls in INTERNAL_TYPES:
            return package.Import("types", INTERNAL_TYPES[cls], [])
        imported = self._importable(cls, cls.__qualname__)
        if imported is not None:
            self._homes.visit_class(cls)
            return imported
        held = self._held(cls, cls.__module__)
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
        variables = self._globals_of(cls)
        namespace = self._namespace_of_module(cls.__module__, variables)
        code = source.compile_class_factory(segment, cls.__qualname__)
        names = [*references.global_names(code), *source.unevaluated_names(segment)]
        self._fill_namespace(namespace, code, names, variables, cls.__qualname__)
        needs = references.global_names(code, depth=1)
        self._note_imports(segment, self.namespaces[namespace].package)
        return package.Class(
            segment=segment,
            namespace=namespace,
            name=cls.__name__,
            qualname=cls.__qualname__,
            cells=[
                self.visit(around[name], f"the variable {name!r} of {cls.__qualname__}")
                for name in segment.free
            ],
            needs=needs,
            uses=[name for name in names if name not in needs],
            **self._state_of_class(cls, segment),
        )

    def _state_of_class(self, cls: type, segment: package.Segment) -> dict[str, Any]:
        """What a class holds besides, or in place of, what its statement gives it."""
        state = class_state.state_of(cls, segment)
        attributes = {}
        for name, value in state.attributes.items():
            where = f"the attribute {name!r} of {cls.__qualname__}"
            if name in state.by_statement and not self._can_visit(value):
                continue  # as a lock, which the statement makes there, too
            attributes[name] = self.visit(value, where)
        subclass = f"a subclass of {cls.__qualname__}"
        registered = [self.visit(each, subclass) for each in state.registered]
        members = {
            name: self.visit(held, f"the member {name} of {cls.__qualname__}")
            for name, held in state.members.items()
        }
        return {
            "attributes": attributes,
            "removed": state.removed,
            "registered": registered,
            "members": members,
        }

    def _can_visit(self, value: Any) -> bool:
        """Whether an object can be sent at all, by its own way of being pickled."""
        if self._homes.find(value) is not None or isinstance(value, types.FunctionType | type):
            return True
        try:
            if type(value) in reducers.ROWS or _PLAIN.encode(value):
                return True
        except UnsupportedValueError:
            pass
        try:
            value.__reduce_ex__(2)
        except Exception:
            return False
        return True

    def _named_tuple(self, cls: Any, where: str) -> package.Node | None:
        """A named tuple that was made by a call; one made by a class statement has source."""
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
            self.visit(make, where),
            [self.visit(cls.__name__, where), self.visit(list(cls._fields), where)],
        )

    # ---- globals ----

    def _namespace(self, function: types.FunctionType, where: str) -> int:
        number = self._namespace_of_module(function.__module__, function.__globals__)
        code = function.__code__
        home = sys.modules.get(self.namespaces[number].module)
        self._homes.visit_code(
            code, function.__globals__, home if self.namespaces[number].importable else None
        )
        for cell in function.__closure__ or ():
            self._homes.visit_cell(cell, code)
        self._fill_namespace(
            number, code, references.global_names(code), function.__globals__, where
        )
        self._note_imports(source.segment_of_function(function), self.namespaces[number].package)
        return number

    def _namespace_of_module(
        self, name: str | None, variables: dict[str, Any] | None = None
    ) -> int:
        module = sys.modules.get(name or "")
        if variables is None:
            variables = vars(module) if module else {}
        number = self._namespace_numbers.get(id(variables))
        if number is not None:
            return number
        own_name = str(variables.get("__name__", SCRIPT))
        home = sys.modules.get(own_name)
        importable = home is not None and vars(home) is variables and imports.can_be_imported(home)
        if importable:
            self._add_import(own_name)
        self.namespaces.append(
            package.Namespace(
                own_name,
                importable,
                str(variables.get("__package__") or ""),
                str(variables.get("__file__") or ""),
                {},
            )
        )
        self._namespace_numbers[id(variables)] = len(self.namespaces) - 1
        self._kept_alive.append(variables)
        return len(self.namespaces) - 1

    def _globals_of(self, cls: type) -> dict[str, Any]:
        """The globals of the code that made a class; the script's module may be another one."""
        for member in vars(cls).values():
            function = getattr(member, "__func__", member)
            if isinstance(function, types.FunctionType):
                variables = function.__globals__
                if variables.get("__name__") == cls.__module__ and "__file__" in variables:
                    return variables
        module = sys.modules.get(cls.__module__)
        return vars(module) if module else {}

    def _fill_namespace(
        self,
        number: int,
        code: types.CodeType,
        names: list[str],
        variables: dict[str, Any],
        where: str,
    ) -> None:
        """Give a namespace the globals, of these names, that some code uses."""
        namespace = self.namespaces[number]
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
                namespace.names[name] = self.visit(value, f"the global {name!r} of {where}")
            value = variables.get(name)
            if isinstance(value, types.ModuleType):
                self._add_submodules(value, attributes)

    def _add_submodules(self, module: types.ModuleType, attributes: set[str]) -> None:
        node = self.nodes[self._numbers[id(module)]]
        assert isinstance(node, package.Import)
        for name in modules.imported_submodules(module, attributes):
            if name not in node.submodules:
                node.submodules.append(name)
                self._add_import(name)

    def _note_imports(self, segment: package.Segment, package_name: str) -> None:
        """Ship, or require, what is imported inside a function's body."""
        tree = ast.Module([_as_statement(source.parse_segment(segment))], type_ignores=[])
        for name in modules.imported_names(tree, package_name):
            self._add_import(name)

    # ---- everything else ----

    def _construct(self, value: Any, where: str) -> package.Node:
        if self._homes.is_held_by_own(value):
            raise _MovedError
        registration = self._registered.get(type(value))
        if registration is not None and registration.encode is not None:
            decoder = self.visit(registration.decode, f"the decoder of {registration.name}")
            return package.Construct(decoder, [self.visit(registration.encode(value), where)])
        qualname = getattr(value, "__qualname__", None)
        if isinstance(qualname, str):
            imported = self._importable(value, qualname)
            if imported is not None:
                return imported
        held = self._held(value, type(value).__module__)
        if held is not None:
            return held
        try:
            special = self._generators.reduce(value) or reducers.reduce_specially(value)
        except TypeError as error:
            raise FunctionError(_cannot_travel(value, where, str(error))) from None
        if special is not None:
            return self._reduced(special, where)
        if isinstance(value, types.MethodType | types.BuiltinMethodType):
            imported = self._import(imports.find_place_of_method(value))
            if imported is not None:
                return imported
        reduce = copyreg.dispatch_table.get(type(value))
        try:
            reduced = reduce(value) if reduce else value.__reduce_ex__(2)
        except Exception as error:
            raise FunctionError(_cannot_travel(value, where, str(error))) from None
        if isinstance(reduced, str):
            imported = self._importable(value, reduced) or self._import(
                imports.find_place_by_name(value, reduced)
            )
            if imported is None:
                raise FunctionError(_cannot_travel(value, where, f"{reduced} is not importable"))
            return imported
        _, arguments, state, members, entries = (*reduced, None, None, None)[:5]
        stateless = state is None and members is None and entries is None
        if stateless and len(arguments) == 1 and arguments[0] is type(value):
            imported = self._import(imports.find_place_of_sentinel(value))
            if imported is not None:
                return imported
        return self._reduced(reduced, where)

    def _reduced(self, reduced: tuple[Any, ...], where: str) -> package.Node:
        """The node of what `__reduce_ex__` has returned, or a reducer in its place."""
        callable_, arguments, state, members, entries, setter = (*reduced, *[None] * 4)[:6]
        if callable_ is getattr and arguments and isinstance(arguments[0], types.ModuleType):
            return package.Import(arguments[0].__name__, arguments[1], [])
        return package.Construct(
            self.visit(callable_, where),
            [self.visit(argument, where) for argument in arguments],
            None if state is None else self.visit(state, where),
            [self.visit(member, f"a member of {where}") for member in members or ()],
            self._entries(entries or (), where),
            None if setter is None else self.visit(setter, where),
        )

    def _held(self, value: Any, home: str) -> package.Import | None:
        """The import of an object that the installed package it belongs to holds by a name."""
        return self._import(self._homes.find_held(value, home))

    def _entries(self, pairs: Iterable[tuple[Any, Any]], where: str) -> list[tuple[int, int]]:
        return [
            (
                self.visit(key, f"a key of {where}"),
                self.visit(value, f"[{shorten(key)}] of {where}"),
            )
            for key, value in pairs
        ]


_NOTHING = object()


def _as_statement(node: ast.AST) -> ast.stmt:
    return ast.Expr(node) if isinstance(node, ast.expr) else node  # type: ignore[return-value]


def _described(where: str) -> str:
    return f"the function {where}" if where.isidentifier() or where == "<lambda>" else where


def _cannot_travel(value: Any, where: str, why: str) -> str:
    name = type(value).__name__
    return f"{where}, a value of type {name!r}, cannot be sent to workers: {why}"
