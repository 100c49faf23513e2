"""The exact form's pickler: `cloudpickle`'s, with reducers for what that gets wrong or copies."""

from __future__ import annotations

import abc
import enum
import functools
import io
import linecache
import marshal
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

import cloudpickle

from ..errors import FunctionError
from . import enumerations, modules, rebuild, reducers, references, source
from .generators import Generators
from .homes import Homes, content
from .short_names import ShortNames

MARSHAL_VERSION = 2 if sys.version_info < (3, 14) else 5
INTERNAL_TYPES: dict[type, str] = {
    found: name for name, found in vars(types).items() if isinstance(found, type)
}
"""The interpreter's own types, which `types` has under another name than they give."""
PLAIN_METACLASSES = (type, abc.ABCMeta, enum.EnumType, type(typing.Protocol))
NOT_IN_GLOBALS = ("__builtins__", "__file__")
"""Globals that a namespace has in any case."""
NOT_IN_CLASSES = {
    "__dict__", "__weakref__", "_abc_impl", "__annotate_func__", "__annotations_cache__",
}  # fmt: skip


class MovedError(Exception):
    """An object turns out to be at home in a module: pickling has to begin anew."""


class _Namespace:
    """The globals of functions, to be pickled without their content."""

    def __init__(
        self, number: str, name: str, attributes: dict[str, Any] | None, is_module: bool
    ) -> None:
        self.fields = (number, name, attributes, is_module)
        self.name = name
        self.is_imported = attributes is None


class FunctionPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """`cloudpickle`'s pickler, with other reducers for some types."""

    def __init__(self, file: io.BytesIO, homes: Homes, generators: Generators) -> None:
        super().__init__(file)
        self._generators = generators
        self.last: object = None
        self.lines: dict[str, str] = {}
        self.installed: set[str] = set()
        self.names = ShortNames()
        self._homes = homes
        self._namespaces: dict[int, _Namespace] = {}
        self._names_of_types: list[tuple[_Namespace, dict[str, Any]]] = []

    def write(self, entry: object) -> None:
        """Write an object, then what of modules it reaches, batch after batch, then None."""
        self.dump(entry)
        while batch := [*self._homes.take(), *self._take_names()]:
            self.dump(batch)
        self.dump(None)

    def _take_names(self) -> list[tuple[Any, ...]]:
        names, self._names_of_types = self._names_of_types, []
        return [("names", *each) for each in names]

    def reducer_override(self, obj: Any) -> Any:
        """Tell how to pickle an object; NotImplemented where pickle's own way will do."""
        self.last = obj
        kind = type(obj)
        reducer = REDUCERS.get(kind)
        if reducer is not None:
            return reducer(self, obj)
        if issubclass(kind, type):
            return self._reduce_class(obj)
        if issubclass(kind, enum.Enum):
            return self._reduce_member(obj)
        if issubclass(kind, reducers.TYPE_VARIABLES):
            home = self._homes.home_of(obj, obj.__name__)
            if home is not None:
                return rebuild.find, home
        if self._homes.is_held_by_own(obj):
            raise MovedError
        held = self._find_held(obj, kind.__module__)
        if held is not None:
            return held
        special = self._generators.reduce(obj) or reducers.reduce_specially(obj)
        return NotImplemented if special is None else special

    # ---- functions ----

    def _reduce_function(self, function: types.FunctionType) -> Any:
        if self._homes.home_of(function) is not None:
            self._homes.visit_function(function)
            self._note_installed(function.__module__)
            return NotImplemented
        held = self._find_held(function, str(function.__globals__.get("__name__", "")))
        if held is not None:
            return held
        dispatched = reducers.reduce_single_dispatch(function)
        if dispatched is not None:
            return dispatched
        code = function.__code__
        self._keep_lines(code.co_filename)
        namespace = self._namespace(function.__globals__)
        cells = function.__closure__ or ()
        state = self._function_state(function)
        try:
            arguments = (self._marshal(code), namespace, function.__name__, cells)
            make: Callable[..., Any] = rebuild.make_function
        except ValueError:
            arguments = (code, namespace, function.__name__, cells)  # type: ignore[assignment]
            make = rebuild.make_function_of_code
        return make, arguments, state, None, None, rebuild.set_function

    def _function_state(
        self, function: types.FunctionType
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        code, variables = function.__code__, function.__globals__
        namespace = self._namespace(variables)
        if namespace.is_imported:
            used = {}
            self._homes.visit_code(code, variables, sys.modules[namespace.name])
        else:
            used = {
                name: variables[name]
                for name in references.global_names(code)
                if name in variables and name not in NOT_IN_GLOBALS
            }
            self._homes.visit_code(code, variables, None)
        modules_used = [value for value in used.values() if isinstance(value, types.ModuleType)]
        for cell in function.__closure__ or ():
            self._homes.visit_cell(cell, code)
            modules_used += [each for each in content(cell) if isinstance(each, types.ModuleType)]
        submodules = [
            sys.modules[name]
            for module in modules_used
            for name in modules.imported_submodules(module, references.attribute_names(code))
        ]
        special = {
            "__qualname__": function.__qualname__,
            "__module__": function.__module__,
            "__doc__": function.__doc__,
            "__defaults__": function.__defaults__,
            "__kwdefaults__": function.__kwdefaults__,
            "__type_params__": getattr(function, "__type_params__", ()),
            "__annotations__": _annotations(function),
        }
        wanted = {name: value for name, value in special.items() if value}
        own = dict(vars(function))
        if submodules:
            # Being in the state is what imports them.
            self._names_of_types.append((namespace, {"__submodules__": submodules}))
        return used, wanted, own

    def _namespace(self, variables: dict[str, Any]) -> _Namespace:
        known = self._namespaces.get(id(variables))
        if known is None:
            name = str(variables.get("__name__", "__main__"))
            attributes: dict[str, Any] | None = self._with_short_names(
                {
                    attribute: variables[attribute]
                    for attribute in ("__name__", "__package__", "__file__", "__path__")
                    if isinstance(variables.get(attribute), str | list | None)
                    and attribute in variables
                }
            )
            home = sys.modules.get(name)
            is_module = home is not None and vars(home) is variables
            if home is not None and is_module and self._homes.can_import(home):
                attributes = None
            known = _Namespace(str(len(self._namespaces)), name, attributes, is_module)
            self._namespaces[id(variables)] = known
        return known

    def _with_short_names(self, attributes: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self.names.of(value)
            if name == "__file__" and value
            else [self.names.of(each) for each in value]
            if name == "__path__" and value
            else value
            for name, value in attributes.items()
        }

    def _reduce_namespace(self, namespace: _Namespace) -> Any:
        return rebuild.make_namespace, namespace.fields

    def _keep_lines(self, filename: str) -> None:
        """Keep the text that tracebacks show, where it is in no file."""
        if self.names.of(filename) in self.lines:
            return
        known = linecache.cache.get(filename)
        if known is not None and len(known) == 4 and known[1] is None:
            self.lines[self.names.of(filename)] = "".join(known[2])
        elif filename == "<string>" and (text := source.command_text()) is not None:
            self.lines[filename] = text

    def _reduce_cell(self, cell: types.CellType) -> Any:
        try:
            content = (cell.cell_contents,)
        except ValueError:
            return rebuild.make_cell, ()
        return rebuild.make_cell, (), content, None, None, rebuild.set_cell

    def _reduce_code(self, code: types.CodeType) -> Any:
        try:
            return rebuild.load_code, (self._marshal(code),)
        except ValueError:
            bare = self._marshal(code.replace(co_consts=()))
            return rebuild.make_code, (bare, code.co_consts)

    def _reduce_lru_cache(self, wrapper: Any) -> Any:
        home = self._homes.home_of(wrapper)
        if home is None:
            return reducers.reduce_lru_cache(wrapper)
        self._homes.visit_function(wrapper.__wrapped__)
        return rebuild.find, home

    def _marshal(self, code: types.CodeType) -> bytes:
        """Return some code as bytes, which do not depend on how often constants are referred to."""
        return marshal.dumps(self.names.shorten(code), MARSHAL_VERSION)

    # ---- classes ----

    def _reduce_class(self, cls: type) -> Any:
        if cls in (type(None), type(Ellipsis), type(NotImplemented)):
            singles = {type(None): None, type(Ellipsis): Ellipsis}
            return type, (singles.get(cls, NotImplemented),)
        if cls in INTERNAL_TYPES:
            return getattr, (types, INTERNAL_TYPES[cls])
        home = self._homes.home_of(cls)
        if home is not None:
            self._homes.visit_class(cls)
            self._note_installed(cls.__module__)
            return NotImplemented if home == (cls.__module__, cls.__qualname__) else (
                rebuild.find, home
            )  # fmt: skip
        held = self._find_held(cls, cls.__module__)
        if held is not None:
            return held
        makers = [each for each in type.mro(type(cls)) if self._homes.home_of(each) is not None]
        if not set(makers) <= {*PLAIN_METACLASSES, object, _TYPED_DICT}:
            # What a library's metaclass needs is known best to cloudpickle, and to the library.
            self._note_installed(makers[0].__module__)
            return super().reducer_override(cls)
        return self._reduce_plain_class(cls)

    def _reduce_plain_class(self, cls: type) -> Any:
        variables = vars(cls)
        descriptors = (types.MemberDescriptorType, types.GetSetDescriptorType)
        attributes = {
            name: value
            for name, value in variables.items()
            if name not in NOT_IN_CLASSES
            and not (isinstance(value, descriptors) and value.__objclass__ is cls)
        }
        names: dict[str, Any] = {
            "__module__": cls.__module__,
            "__qualname__": f"{cls.__qualname__.rpartition('.')[0]}.{cls.__name__}".lstrip("."),
        }
        if "__slots__" in variables:
            names["__slots__"] = tuple(
                name
                for name, value in variables.items()
                if isinstance(value, descriptors) and value.__objclass__ is cls
            )
        is_abstract = isinstance(cls, abc.ABCMeta)
        maker: type = abc.ABCMeta if is_abstract else type
        registered: list[type] = []
        if is_abstract:
            found = abc._get_dump(cls)[0]  # type: ignore[attr-defined]
            registered = [subclass for weak in found if (subclass := weak()) is not None]
        members: list[tuple[Any, Any]] = []
        if issubclass(cls, enum.Enum):
            members = [(member, vars(member)) for member in enumerations.all_members(cls)]
        hooked = tuple(
            base
            for base in cls.__mro__[1:]
            if rebuild.HOOK in vars(base) and self._homes.home_of(base) is None
        )
        if "__orig_bases__" in variables:
            names["__orig_bases__"] = variables["__orig_bases__"]
        self._add_names_of_annotations(cls)
        return (
            rebuild.make_class, (maker, type(cls), cls.__bases__, names, hooked),
            (attributes, registered, members), None, None, rebuild.set_class,
        )  # fmt: skip

    def _add_names_of_annotations(self, cls: type) -> None:
        """Send what annotations that are strings name: `typing.get_type_hints` looks it up."""
        home = sys.modules.get(cls.__module__)
        if home is None or (annotations := vars(cls).get("__annotations__")) is None:
            return
        names = {
            name: vars(home)[name]
            for text in dict(annotations).values()
            if isinstance(text, str)
            for name in references.names_in(text)
            if name in vars(home)
        }
        if names:
            self._names_of_types.append((self._namespace(vars(home)), names))

    def _reduce_member(self, member: enum.Enum) -> Any:
        cls = type(member)
        if self._homes.home_of(cls) is not None:
            return NotImplemented
        return rebuild.make_member, (cls, *enumerations.raw_member(member))

    # ---- single objects ----

    def _reduce_module(self, module: types.ModuleType) -> Any:
        name = module.__name__
        if name == "__main__":
            raise FunctionError("the script itself, as a module, cannot be sent to workers")
        if not self._homes.can_import(module):
            return super().reducer_override(module)
        self._note_installed(name)
        return rebuild.import_module, (name,)

    def _find_held(self, obj: Any, home: str) -> Any:
        """Find the import of an object that its installed package holds under a name."""
        place = self._homes.find_held(obj, home)
        if place is None:
            return None
        self._note_installed(place[0])
        return rebuild.find, tuple(place)

    def _note_installed(self, module: str) -> None:
        self.installed.add(module.partition(".")[0])


class HomingPickler(FunctionPickler):
    """One that knows the objects that are at home in modules, at some cost for each object."""

    def persistent_id(self, obj: Any) -> Any:
        """Return the key of an object that is at home in a module, with its type."""
        return self._homes.find(obj)


def _annotations(function: types.FunctionType) -> dict[str, Any]:
    try:
        return function.__annotations__
    except NameError:  # Python 3.14 looks names up when it is asked
        return {}


_TYPED_DICT: type = type(typing.TypedDict("_TypedDict", {}))  # type: ignore[operator]

REDUCERS: dict[type, Callable[[FunctionPickler, Any], Any]] = {
    _Namespace: FunctionPickler._reduce_namespace,
    types.FunctionType: FunctionPickler._reduce_function,
    types.CellType: FunctionPickler._reduce_cell,
    types.CodeType: FunctionPickler._reduce_code,
    types.ModuleType: FunctionPickler._reduce_module,
    functools._lru_cache_wrapper: FunctionPickler._reduce_lru_cache,
}
"""What is pickled in another way than cloudpickle's, besides what `reducers` has."""
