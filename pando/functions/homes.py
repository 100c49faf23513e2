"""Modules of the user's own in the exact form: imported by workers, then given their state here.

What the function reaches of such a module is noted while it is pickled: the globals and attributes
that code names, and what classes hold. `module_state` says what is sent of it.
"""

from __future__ import annotations

import functools
import marshal
import sys
import types
from contextlib import suppress
from typing import Any

from . import modules, references
from .importing import IMMUTABLE
from .module_state import CONTAINERS, ModuleState
from .own_modules import is_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .home_objects import Key


class Homes(ModuleState):
    """What one function reaches of modules of the user's own.

    Attributes:
        uses_own_modules: whether the function cannot do without such modules.
        imported_later: those that have not been imported, but will be when the function runs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.uses_own_modules = False
        self.imported_later: set[str] = set()

    def again(self) -> None:
        """Begin anew, knowing what is at home where."""
        super().again()
        self._seen: set[int] = set()
        self._reached: set[Key] = set()

    # ---- what code reaches ----

    def visit_code(
        self, code: types.CodeType, variables: dict[str, Any], module: types.ModuleType | None
    ) -> None:
        """Note what some code reaches; `module` is that of its globals if that is the user's."""
        if references.imports_anything(code):
            package = str(variables.get("__package__") or "")
            imported = references.imported_modules(code, package)
            own = set(filter(modules.is_own_module, imported))
            self.uses_own_modules |= bool(own)
            self.imported_later |= own - sys.modules.keys()
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

    # ---- functions and classes ----

    def visit(self, value: Any) -> None:
        if isinstance(value, type):
            self.visit_class(value)
        elif isinstance(value, types.FunctionType):
            self.visit_function(value)
        else:  # with a cache
            self.visit_function(value.__wrapped__)

    def _is_new(self, value: types.FunctionType | type) -> bool:
        """Tell whether something of the user's own is visited for the first time."""
        module = sys.modules.get(value.__module__)
        if id(value) in self._seen or module is None or not is_own(module):
            return False
        self._seen.add(id(value))
        self.uses_own_modules = True
        return True

    def visit_function(self, function: types.FunctionType) -> None:
        """Note what a function of a module reaches, and what it holds itself."""
        if not self._is_new(function):
            return
        self.visit_method(function)
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
            self.visit_method(value)
            for cell in value.__closure__ or ():
                for each in content(cell):
                    self._visit_inner(each)
        elif isinstance(value, type) and self.home_of(value) is not None:
            self.visit_class(value)

    def visit_method(self, function: types.FunctionType) -> None:
        module = sys.modules.get(str(function.__globals__.get("__name__")))
        own = module if module is not None and vars(module) is function.__globals__ else None
        if own is not None and is_own(own) and self.can_import(own):
            self.visit_code(function.__code__, function.__globals__, own)
        for each in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            if isinstance(each, types.FunctionType | type) and self.home_of(each) is not None:
                self.visit(each)

    def visit_class(self, cls: type) -> None:
        """Note what the methods of a module's class reach, and what the class holds."""
        if not self._is_new(cls):
            return
        self._kept.append(cls)
        for base in (*cls.__bases__, type(cls)):
            self.visit_class(base)
        only_methods = hasattr(cls, "_member_map_") or hasattr(cls, "_field_defaults")
        key: Key = (cls.__module__, *cls.__qualname__.split("."))
        for name, value in list(vars(cls).items()):
            if isinstance(value, types.FunctionType):
                natural = value.__qualname__ == f"{cls.__qualname__}.{name}"
                if natural and value.__module__ == cls.__module__:
                    self.visit_method(value)
                    self._note_code((*key, name), value)
                    self._visit_inner(getattr(value, "__wrapped__", None))
                elif not only_methods:
                    self._note((*key, name), value)
            elif not (only_methods or name.startswith(("__", "_abc_"))):
                self._note((*key, name), value)
            elif isinstance(value, staticmethod | classmethod):
                self._visit_inner(value.__func__)


def content(cell: types.CellType) -> tuple[Any, ...]:
    """Return what a variable of an enclosing function is set to, if it is set."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()
