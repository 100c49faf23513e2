"""Modules of the user's own in the exact form: imported by workers, then given their state here.

What the function reaches of such a module is noted while it is pickled: the globals and attributes
that code names, and what classes hold. What cannot be pickled stays as the import makes it there,
if that is of the same type; see `pando.functions.rebuild`.
"""

from __future__ import annotations

import copyreg
import functools
import importlib.machinery
import marshal
import sys
import types
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from . import modules, references
from .imports import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .rebuild import Key

CONTAINERS: dict[type, str] = {list: "list", dict: "dict", set: "set", bytearray: "bytearray"}
IMMUTABLE = (
    type(None), bool, int, float, complex, str, bytes, tuple, frozenset, range, type(...),
    type(NotImplemented),
)  # fmt: skip
NEW_OBJECT = object.__reduce_ex__(types.SimpleNamespace(), 2)[0]
"""What most objects are made by when they are unpickled."""
DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)
MAX_INSIDE = 10_000
"""How many objects inside others are looked at for what cannot be pickled."""


class Homes:
    """What one function reaches of modules of the user's own.

    Attributes:
        any_own_module: whether such a module has been imported at all.
        files: modules that are not found on ``sys.path`` but have a file, by name: the file, and
            whether it is a package.
        uses_own_modules: whether the function cannot do without such modules.
    """

    copied_types = (types.MethodType, types.BuiltinMethodType)
    """Types whose objects are never imported from where they are held."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, bool]] = {}
        self.uses_own_modules = False
        self.any_own_module = any(map(is_own, list(sys.modules.values())))
        self._keys: dict[int, tuple[Key, type | str]] = {}
        self._homes_by_id: dict[int, tuple[str, str] | None] = {}
        self._importable: dict[str, bool] = {}
        self._held: dict[str, dict[int, Place]] = {}
        self._own_objects: dict[int, tuple[str, str]] | None = None
        self.again()

    def again(self) -> None:
        """Begin anew, knowing what is at home where."""
        self._todo: list[tuple[Any, ...]] = []
        self._seen: set[int] = set()
        self._reached: set[Key] = set()
        self._kept: list[object] = []
        self._new: set[int] = set()

    def moved(self, memo: Iterable[int]) -> bool:
        """Whether something was pickled before it was known to be at home in a module."""
        return not self._new.isdisjoint(memo)

    def find(self, obj: Any) -> tuple[Key, type | str] | None:
        """The key of an object that is at home in a module, and its type."""
        return self._keys.get(id(obj))

    def take(self) -> list[tuple[Any, ...]]:
        """What has been noted since the last time."""
        todo, self._todo = self._todo, []
        return todo

    # ---- what is imported ----

    def is_held_by_own(self, obj: Any) -> bool:
        """Whether a module of the user's own holds an object of a class of theirs.

        Then it is at home there, which is noted.
        """
        if not self.any_own_module or id(obj) in self._keys:
            return False
        if self._own_objects is None:
            self._own_objects = {
                id(value): (name, attribute)
                for name, module in list(sys.modules.items())
                if is_own(module) and self.can_import(module)
                for attribute, value in list(vars(module).items())
                if is_own(sys.modules.get(type(value).__module__))
            }
        key = self._own_objects.get(id(obj))
        if key is None:
            return False
        self._note_object(key, obj)
        return id(obj) in self._keys

    def home_of(self, obj: Any, name: str | None = None) -> tuple[str, str] | None:
        """The module and the path where a worker that imports the module finds this object."""
        known = self._homes_by_id.get(id(obj), ())
        if known != ():
            return known  # type: ignore[return-value]
        self._kept.append(obj)
        home = self._homes_by_id[id(obj)] = self._find_home(obj, name)
        return home

    def _find_home(self, obj: Any, name: str | None) -> tuple[str, str] | None:
        module_name = getattr(obj, "__module__", None)
        path = name or getattr(obj, "__qualname__", None)
        if not isinstance(module_name, str) or not isinstance(path, str):
            return None
        module = sys.modules.get(module_name)
        if not isinstance(module, types.ModuleType) or "<" in path:
            return None
        found: Any = module
        for part in path.split("."):
            found = getattr(found, part, None)
        return (module_name, path) if found is obj and self.can_import(module) else None

    def can_import(self, module: types.ModuleType) -> bool:
        """Whether a worker can import a module, by its name or by its file."""
        name = module.__name__
        known = self._importable.get(name)
        if known is None:
            known = self._importable[name] = self._find_import(name, module)
        return known

    def _find_import(self, name: str, module: types.ModuleType) -> bool:
        if name in ("__main__", "__mp_main__") or sys.modules.get(name) is not module:
            return False
        if not is_own(module):
            return getattr(module, "__spec__", None) is not None or name in sys.builtin_module_names
        parent, _, _ = name.rpartition(".")
        if parent and (parent not in sys.modules or not self.can_import(sys.modules[parent])):
            return False
        filename = getattr(module, "__file__", None)
        path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.origin == filename:
            return True
        if filename is None or not filename.endswith(".py"):
            return getattr(module, "__spec__", None) is not None and spec is not None
        self.files[name] = (filename, hasattr(module, "__path__"))
        return True

    @property
    def has_any(self) -> bool:
        """Whether anything is at home in modules."""
        return bool(self._keys)

    def find_held(self, obj: Any, home: str) -> Place | None:
        """Where the installed package that an object belongs to holds it under a name.

        Args:
            obj: an object that is not found under the name that it says itself.
            home: the module that it, or its type, is from.
        """
        top = home.partition(".")[0]
        if top in ("", "builtins", "__main__") or isinstance(obj, self.copied_types):
            return None
        index = self._held.get(top)
        if index is None:
            index = self._held[top] = self.index_of_package(top)
        return index.get(id(obj))

    def index_of_package(self, top: str) -> dict[int, Place]:
        """What an installed package's modules hold under which name, by identity."""
        index: dict[int, Place] = {}
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] != top or not isinstance(module, types.ModuleType):
                continue
            if is_own(module) or not self.can_import(module):
                continue
            for attribute, value in list(vars(module).items()):
                if not isinstance(value, (*IMMUTABLE, types.ModuleType)):
                    index.setdefault(id(value), Place(name, attribute))
        return index

    # ---- what code reaches ----

    def visit_code(
        self, code: types.CodeType, variables: dict[str, Any], module: types.ModuleType | None
    ) -> None:
        """Note what some code reaches; `module` is that of its globals if that is the user's."""
        if not self.uses_own_modules and references.imports_anything(code):
            package = str(variables.get("__package__") or "")
            imported = references.imported_modules(code, package)
            self.uses_own_modules = any(map(modules.is_own_module, imported))
        if not self.any_own_module:
            return
        if module is not None and not (is_own(module) and self.can_import(module)):
            module = None
        names = references.attribute_names(code)
        for name in names:
            if name in variables:
                value = variables[name]
                if isinstance(value, types.ModuleType):
                    self.visit_module(value, names)
                elif module is not None:
                    self._reach(module, name)
            if references.imports_anything(code):
                self._visit_import(name, variables, names)

    def _visit_import(self, name: str, variables: dict[str, Any], names: set[str]) -> None:
        package = variables.get("__package__")
        for full in (name, f"{package}.{name}" if package else name):
            module = sys.modules.get(full)
            if isinstance(module, types.ModuleType):
                self.visit_module(module, names)
                for part in full.split(".")[:-1]:
                    self.visit_module(sys.modules.get(part), names)

    def visit_cell(self, cell: types.CellType, code: types.CodeType) -> None:
        """Note what code may reach of a module that is in a variable around it."""
        for each in content(cell):
            if isinstance(each, types.ModuleType):
                self.visit_module(each, references.attribute_names(code))

    def visit_module(self, module: object, names: set[str]) -> None:
        """Note what code with these names may reach of a module that it has."""
        if not isinstance(module, types.ModuleType) or not is_own(module):
            return
        if not self.can_import(module):
            return
        self.uses_own_modules = True
        variables = vars(module)
        for name in names & variables.keys():
            value = variables[name]
            if isinstance(value, types.ModuleType):
                key = (module.__name__, name, *sorted(names))
                if key not in self._reached:
                    self._reached.add(key)
                    self.visit_module(value, names)
            else:
                self._reach(module, name)

    def _reach(self, module: types.ModuleType, name: str) -> None:
        key: Key = (module.__name__, name)
        if key in self._reached or (name.startswith("__") and name.endswith("__")):
            return
        self._reached.add(key)
        self._note(key, vars(module)[name])

    def _note(self, key: Key, value: Any) -> None:
        """Have the value of a module's variable, or of a class's attribute, sent."""
        if isinstance(value, types.ModuleType):
            return
        if isinstance(value, IMMUTABLE):
            self._todo.append(("bind", key, value))
            return
        if isinstance(value, types.FunctionType | type | functools._lru_cache_wrapper):
            if self.home_of(value) == (key[0], ".".join(map(str, key[1:]))):
                self._visit(value)
            else:
                self._todo.append(("bind", key, value))
            return
        kind = CONTAINERS.get(type(value))
        if kind is not None:
            self._note_container(key, value, kind)
            self._todo.append(("bind", key, value))
            return
        self._note_object(key, value)

    def _note_object(self, key: Key, value: Any) -> None:
        cls = type(value)
        if not _is_reduced_by_default(cls) or cls in copyreg.dispatch_table:
            self._todo.append(("bind", key, value))
            return
        if isinstance(value, DESCRIPTORS):
            return
        if cls is object:  # known by its identity alone
            self._settle(key, value, cls)
            return
        if _is_wrapper(value):
            self._note_wrapper(key, value)
            return
        self._find_unpicklable(key, value)
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:
            self._settle(key, value, cls.__qualname__)
            self._todo.append(("bind", key, value))  # which looks at its type there
            return
        if not isinstance(reduced, tuple) or reduced[:2] != (NEW_OBJECT, (cls,)):
            self._todo.append(("bind", key, value))
            return
        state, members, entries = (*reduced[2:], None, None, None)[:3]
        self._settle(key, value, cls)
        content = (state, members and list(members), entries and list(entries))
        self._todo += [("fill", value, "object", content), ("bind", key, value)]

    def _note_wrapper(self, key: Key, value: Any) -> None:
        """A property and the like of a class: as imported where its functions are."""
        functions = [
            each
            for each in (
                getattr(value, name, None) for name in ("fget", "fset", "fdel", "__func__", "func")
            )
            if each is not None
        ]
        path = ".".join(map(str, key[1:]))
        for each in functions:
            natural = getattr(each, "__qualname__", None) == path
            if not natural or getattr(each, "__module__", None) != key[0]:
                self._todo.append(("bind", key, value))
                return
            if isinstance(each, types.FunctionType):
                self._visit_function_of_class(each)

    def _settle(self, key: Key, value: Any, kind: type | str) -> None:
        if id(value) not in self._keys:
            self._keys[id(value)] = key, kind
            self._new.add(id(value))
        self._kept.append(value)

    def _find_unpicklable(self, key: Key, value: Any) -> None:
        """Note what inside an object cannot be pickled: there it stays as imported."""
        queue: list[tuple[Key, Any]] = [(key, value)]
        seen: set[int] = set()
        while queue and len(seen) < MAX_INSIDE:
            place, owner = queue.pop()
            for name, member in _inside(owner):
                kind = type(member)
                if id(member) in seen or isinstance(member, (*IMMUTABLE, type, types.FunctionType)):
                    continue
                seen.add(id(member))
                inner = (*place, name)
                if kind in CONTAINERS or "__dict__" in dir(kind):
                    queue.append((inner, member))
                if _is_reduced_by_default(kind) and not _can_be_pickled(member):
                    self._settle(inner, member, kind.__qualname__)

    # ---- functions and classes of modules of the user's own ----

    def _visit(self, value: Any) -> None:
        if isinstance(value, type):
            self.visit_class(value)
        elif isinstance(value, types.FunctionType):
            self.visit_function(value)
        else:  # with a cache
            self.visit_function(value.__wrapped__)

    def visit_function(self, function: types.FunctionType) -> None:
        """Note what a function of a module reaches, and what it holds itself."""
        if id(function) in self._seen:
            return
        module = sys.modules.get(function.__module__)
        if module is None or not is_own(module):
            return
        self._seen.add(id(function))
        self.uses_own_modules = True
        self._visit_function_of_class(function)
        key: Key = (function.__module__, *function.__qualname__.split("."))
        if self.home_of(function) is None:
            return
        for name, value in vars(function).items():
            if name == "__wrapped__":
                self._visit_inner(value)
            else:
                self._note((*key, name), value)
        self._note_code(key, function)
        self._note_defaults(key, function)
        for number, cell in enumerate(function.__closure__ or ()):
            self._note_cell((*key, "__closure__", number, "cell_contents"), cell)

    def _note_defaults(self, key: Key, function: types.FunctionType) -> None:
        """What calls without an argument share, and defaults that are plain data."""
        defaults = function.__defaults__ or ()
        for number, value in enumerate(defaults):
            kind = CONTAINERS.get(type(value))
            if kind is not None:
                self._note_container((*key, "__defaults__", number), value, kind)
        if defaults and all(isinstance(each, IMMUTABLE) for each in defaults):
            self._todo.append(("bind", (*key, "__defaults__"), defaults))

    def _note_code(self, key: Key, function: types.FunctionType) -> None:
        """Have a decorated function compared: another may have been put in its place."""
        if function.__code__.co_qualname != function.__qualname__:
            with suppress(ValueError):
                self._todo.append(("same", key, marshal.dumps(function.__code__)))

    def _note_container(self, key: Key, value: Any, kind: str) -> None:
        self._settle(key, value, type(value))
        content = bytes(value) if kind == "bytearray" else _copy(value, kind)
        self._todo.append(("fill", value, kind, content))
        self._find_unpicklable(key, value)

    def _note_cell(self, key: Key, cell: types.CellType) -> None:
        for each in content(cell):
            if isinstance(each, types.FunctionType | type | functools._lru_cache_wrapper):
                self._visit_inner(each)
            elif isinstance(each, IMMUTABLE) or type(each) in CONTAINERS:
                self._note(key, each)

    def _visit_inner(self, value: Any) -> None:
        """What a decorated function has inside cannot be imported, but is what the import makes."""
        if isinstance(value, types.FunctionType) and id(value) not in self._seen:
            self._seen.add(id(value))
            self._visit_function_of_class(value)
            for cell in value.__closure__ or ():
                for each in content(cell):
                    self._visit_inner(each)
        elif isinstance(value, type) and self.home_of(value) is not None:
            self.visit_class(value)

    def _visit_function_of_class(self, function: types.FunctionType) -> None:
        module = sys.modules.get(str(function.__globals__.get("__name__")))
        own = module if module is not None and vars(module) is function.__globals__ else None
        if own is not None and is_own(own) and self.can_import(own):
            self.visit_code(function.__code__, function.__globals__, own)
        for each in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            if isinstance(each, types.FunctionType | type) and self.home_of(each) is not None:
                self._visit(each)

    def visit_class(self, cls: type) -> None:
        """Note what the methods of a module's class reach, and what the class holds."""
        if id(cls) in self._seen:
            return
        module = sys.modules.get(cls.__module__)
        if module is None or not is_own(module):
            return
        self._seen.add(id(cls))
        self.uses_own_modules = True
        self._kept.append(cls)
        for base in (*cls.__bases__, type(cls)):
            self.visit_class(base)
        only_methods = hasattr(cls, "_member_map_") or hasattr(cls, "_field_defaults")
        key: Key = (cls.__module__, *cls.__qualname__.split("."))
        for name, value in list(vars(cls).items()):
            if isinstance(value, types.FunctionType):
                natural = value.__qualname__ == f"{cls.__qualname__}.{name}"
                if natural and value.__module__ == cls.__module__:
                    self._visit_function_of_class(value)
                    self._note_code((*key, name), value)
                    self._visit_inner(getattr(value, "__wrapped__", None))
                elif not only_methods:
                    self._note((*key, name), value)
            elif not (only_methods or name.startswith(("__", "_abc_"))):
                self._note((*key, name), value)
            elif isinstance(value, staticmethod | classmethod):
                self._visit_inner(value.__func__)


def _copy(value: Any, kind: str) -> Any:
    return list(value.items()) if kind == "dict" else list(value)


def content(cell: types.CellType) -> tuple[Any, ...]:
    """What a variable of an enclosing function is set to, if it is set."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _is_wrapper(value: Any) -> bool:
    return isinstance(value, property | staticmethod | classmethod | functools.cached_property)


def _inside(owner: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(owner, dict):
        yield from [(k, v) for k, v in list(owner.items()) if isinstance(k, str | int)]
    elif isinstance(owner, list | tuple):
        yield from enumerate(owner)
    else:
        yield from list(getattr(owner, "__dict__", {}).items())


def _is_reduced_by_default(cls: Any) -> bool:
    """Whether a type leaves it to `object` how its objects are pickled."""
    default: Any = object
    return (cls.__reduce_ex__, cls.__reduce__) == (default.__reduce_ex__, default.__reduce__)


def _can_be_pickled(value: Any) -> bool:
    try:
        value.__reduce_ex__(4)
    except Exception:
        return False
    return True


def being_imported() -> str | None:
    """A module of the user's own that is being imported just now, if there is one.

    Another thread that imports it, as pickling what it holds does, would wait for ever for a map at
    its top.
    """
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if getattr(spec, "_initializing", False) and is_own(module):
            return name
    return None


def is_own(module: object) -> bool:
    """Whether a module is the user's own: not of Python, not installed, not Pando."""
    if not isinstance(module, types.ModuleType):
        return False
    name = getattr(module, "__name__", "")
    return isinstance(name, str) and _is_own(name, id(module))


@functools.lru_cache(maxsize=4096)
def _is_own(name: str, identity: int) -> bool:
    return modules.is_own_module_object(sys.modules.get(name), name)
