"""The exact form of a function: the objects themselves, pickled, for workers that equal the root.

`cloudpickle` does most of it. What it gets wrong, or copies where it should not, has a reducer
here; what belongs to modules of the user's own is imported from where they lie and then given the
state that it has here (`homes`). Nothing of this is ever loaded but in worker processes.
"""

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
from .culprit import describe_path
from .generators import Generators
from .homes import Homes, content
from .kept_sources import KeptSources
from .package import ExactPackage, ModuleSource

MARSHAL_VERSION = 2 if sys.version_info < (3, 14) else 5
MAX_PASSES = 100
"""How often what is at home in modules may turn out too late."""
INTERNAL_TYPES: dict[type, str] = {
    found: name for name, found in vars(types).items() if isinstance(found, type)
}
"""The interpreter's own types, which `types` has under another name than they give."""
PLAIN_METACLASSES = (type, abc.ABCMeta, enum.EnumType, type(typing.Protocol))
NOT_IN_CLASSES = {
    "__dict__", "__weakref__", "_abc_impl", "__annotate_func__", "__annotations_cache__",
}  # fmt: skip


def dump(
    function: Callable[..., Any],
    name: str,
    types_: list[tuple[Any, ...]],
    initializer: Callable[[], object] | None = None,
    generators: Generators | None = None,
) -> tuple[ExactPackage, KeptSources]:
    """A function as `rebuild` makes it again in an equal interpreter.

    Args:
        function: any callable.
        name: what people call it.
        types_: what was given to `pando.register_type`: names, types, encoders and decoders.
        initializer: what is called once in each worker.
        generators: where random generators are noted.

    Raises:
        FunctionError: something it refers to cannot be pickled; the message names the variable.
    """
    homes = Homes()
    generators = generators or Generators()
    for _ in range(MAX_PASSES):
        file = io.BytesIO()
        pickler = (_HomingPickler if homes.any_own_module else _Pickler)(file, homes, generators)
        try:
            pickler.write((function, types_, initializer))
        except FunctionError:
            raise
        except _MovedError:
            homes.again()
            continue
        except Exception as error:
            raise _explained(function, name, pickler.last, error) from None
        if not homes.moved(pickler.memo.copy()):
            break
        homes.again()
    package = ExactPackage(
        name,
        file.getvalue(),
        {
            module: ModuleSource("", path, is_package)
            for module, (path, is_package) in homes.files.items()
        },
        pickler.lines,
        sorted(pickler.installed),
        generators.any,
        generators.random_seed is not None,
        homes.uses_own_modules or bool(homes.files),
    )
    return package, KeptSources(homes)


def _explained(
    function: Callable[..., Any], name: str, culprit: object, error: Exception
) -> FunctionError:
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return FunctionError(f"{name}, or what it refers to, is nested too deeply to be sent")
    where = describe_path(function, name, culprit) or name
    kind = type(culprit).__name__
    return FunctionError(f"{where}, a value of type {kind!r}, cannot be sent to workers: {error}")


class _MovedError(Exception):
    """An object turns out to be at home in a module: pickling has to begin anew."""


class _Namespace:
    """The globals of functions, to be pickled without their content."""

    def __init__(
        self, number: str, name: str, attributes: dict[str, Any] | None, is_module: bool
    ) -> None:
        self.fields = (number, name, attributes, is_module)
        self.name = name
        self.is_imported = attributes is None


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """`cloudpickle`'s pickler, with other reducers for some types."""

    def __init__(self, file: io.BytesIO, homes: Homes, generators: Generators) -> None:
        super().__init__(file)
        self._generators = generators
        self.last: object = None
        self.lines: dict[str, str] = {}
        self.installed: set[str] = set()
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
        """How to pickle an object; NotImplemented where pickle's own way will do."""
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
            raise _MovedError
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
            arguments = (_marshal(code), namespace, function.__name__, cells)
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
                if name in variables and name != "__builtins__"
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
            attributes: dict[str, Any] | None = {
                attribute: variables[attribute]
                for attribute in ("__name__", "__package__", "__file__", "__path__")
                if isinstance(variables.get(attribute), str | list | None)
                and attribute in variables
            }
            home = sys.modules.get(name)
            is_module = home is not None and vars(home) is variables
            if home is not None and is_module and self._homes.can_import(home):
                attributes = None
            known = _Namespace(str(len(self._namespaces)), name, attributes, is_module)
            self._namespaces[id(variables)] = known
        return known

    def _reduce_namespace(self, namespace: _Namespace) -> Any:
        return rebuild.make_namespace, namespace.fields

    def _keep_lines(self, filename: str) -> None:
        """Keep the text that tracebacks show, where it is in no file."""
        if filename in self.lines:
            return
        known = linecache.cache.get(filename)
        if known is not None and len(known) == 4 and known[1] is None:
            self.lines[filename] = "".join(known[2])
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
            return marshal.loads, (_marshal(code),)
        except ValueError:
            bare = _marshal(code.replace(co_consts=()))
            return rebuild.make_code, (bare, code.co_consts)

    def _reduce_lru_cache(self, wrapper: Any) -> Any:
        home = self._homes.home_of(wrapper)
        if home is None:
            return reducers.reduce_lru_cache(wrapper)
        self._homes.visit_function(wrapper.__wrapped__)
        return rebuild.find, home

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
        """An import of an object that the installed package it belongs to holds by a name."""
        place = self._homes.find_held(obj, home)
        if place is None:
            return None
        self._note_installed(place[0])
        return rebuild.find, tuple(place)

    def _note_installed(self, module: str) -> None:
        self.installed.add(module.partition(".")[0])


class _HomingPickler(_Pickler):
    """One that knows the objects that are at home in modules, at some cost for each object."""

    def persistent_id(self, obj: Any) -> Any:
        """The key of an object that is at home in a module, with its type."""
        return self._homes.find(obj)


def _marshal(code: types.CodeType) -> bytes:
    """Some code as bytes, which do not depend on how often its constants are referred to."""
    return marshal.dumps(code, MARSHAL_VERSION)


def _annotations(function: types.FunctionType) -> dict[str, Any]:
    try:
        return function.__annotations__
    except NameError:  # Python 3.14 looks names up when it is asked
        return {}


_TYPED_DICT: type = type(typing.TypedDict("_TypedDict", {}))  # type: ignore[operator]

REDUCERS: dict[type, Callable[[_Pickler, Any], Any]] = {
    _Namespace: _Pickler._reduce_namespace,
    types.FunctionType: _Pickler._reduce_function,
    types.CellType: _Pickler._reduce_cell,
    types.CodeType: _Pickler._reduce_code,
    types.ModuleType: _Pickler._reduce_module,
    functools._lru_cache_wrapper: _Pickler._reduce_lru_cache,
}
"""What is pickled in another way than cloudpickle's, besides what `reducers` has."""
