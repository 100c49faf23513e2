"""The named tuples, dataclasses and enumerations that items and results may be instances of.

A message names the class of an instance. What it can name is listed here, before the function is
sent: what the function refers to, and what the items at hand are. The list goes to the workers
with the function, as registered types do, and the root keeps its own.
"""

from __future__ import annotations

import collections
import functools
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from ..errors import FunctionError, UnsupportedValueError
from ..values import REGISTERED, Registration, Registry
from ..values.shapes import kind_of_class
from . import modules
from .imports import SCRIPT

MAX_CLASSES = 256
MAX_VISITED = 10_000
"""The most functions, classes and values that are looked at."""
MAX_ITEMS = 4096
"""Items at the beginning of a container whose types are looked at."""
MAX_UNUSED_BYTES = 65536
"""The size of a class that is sent though nobody is known to use it."""
CONTAINERS = (list, tuple, set, frozenset, collections.deque)
PROMPT_TYPES = (*CONTAINERS, dict)
"""Types whose iteration waits for nothing and takes nothing away."""
Form = TypeVar("Form")
NAME = re.compile(r"[^\W\d]\w*")


class ItemClasses:
    """The classes of one function, each with the name that messages give it.

    Attributes:
        used: those that the function or the items refer to.
        unused: others of the function's own module: its items may come from an iterator.
        registry: all of them, for the root.
    """

    def __init__(self, used: Iterable[type] = (), unused: Iterable[type] = ()) -> None:
        self.registry = Registry(REGISTERED)
        self.used = [*map(self._register, used)]
        self.unused = [*map(self._register, unused)]

    def _register(self, cls: type) -> Registration:
        name = stem = f"{cls.__module__}.{cls.__qualname__}"
        number = 1
        while self.registry.named(name) is not None:
            number += 1
            name = f"{stem} ({number})"
        registration = Registration(name, cls)
        self.registry.add(registration)
        return registration


def find_item_classes(
    function: Callable[..., Any], items: Any, registered: Iterable[Registration]
) -> ItemClasses:
    """Find the classes of a function.

    Args:
        function: any callable.
        items: what it is mapped over: a container is looked into, and text and ranges have no
            classes; None where it is not known.
        registered: what was given to `pando.register_type`.
    """
    known = {each.type: each for each in registered}
    finder = _Finder(set(known))
    for each in known.values():
        if each.encode is None:
            finder.visit_fields(each.type)
    finder.visit(function)
    if type(items) in PROMPT_TYPES:
        finder.visit_items(items)
        return ItemClasses(finder.found)
    used = list(finder.found)
    if not isinstance(items, range | str | bytes | bytearray):
        finder.visit_module_of(function)
    return ItemClasses(used, [cls for cls in finder.found if cls not in used])


def send_with_classes(
    classes: ItemClasses,
    make: Callable[[list[Registration]], Form],
    make_alone: Callable[[type], Form],
    measure: Callable[[Form], tuple[int, set[str]]],
) -> Form:
    """Make one form of a function, with those of its classes that have this form.

    A class that nobody is known to use is sent only if it is small, and needs nothing installed
    that the function does not need.

    Args:
        classes: those of the function.
        make: makes the form of the function, with these classes.
        make_alone: makes that of a class alone.
        measure: gives a form's size in bytes, and the installed modules that it needs.

    Raises:
        FunctionError: the function itself has no such form.
    """
    used = classes.used
    try:
        made = make(used)
    except FunctionError:
        used = [each for each in used if _try(make_alone, each.type) is not None]
        if len(used) == len(classes.used):
            raise
        made = make(used)
    if not classes.unused:
        return made
    _, installed = measure(made)
    everywhere = {*sys.stdlib_module_names, "pando"}
    small = []
    for each in classes.unused:
        alone = _try(make_alone, each.type)
        if alone is not None:
            size, needed = measure(alone)
            if size <= MAX_UNUSED_BYTES and needed <= installed | everywhere:
                small.append(each)
    return make([*used, *small]) if small else made


def _try(make: Callable[[type], Form], cls: type) -> Form | None:
    try:
        return make(cls)
    except FunctionError:
        return None


class _Finder:
    """Walks what a function refers to, as far as it is the user's own."""

    def __init__(self, registered: set[type]) -> None:
        self.found: dict[type, None] = {}
        self._registered = registered
        self._seen: set[int] = set()
        self._own: dict[str, bool] = {SCRIPT: True}

    def _is_new(self, value: Any) -> bool:
        """Tell whether a value is looked at for the first time, and may be."""
        if id(value) in self._seen or len(self._seen) >= MAX_VISITED:
            return False
        self._seen.add(id(value))
        return True

    # ---- code ----

    def visit(self, value: Any) -> None:
        """Look at anything that code refers to."""
        if not self._is_new(value):
            return
        if isinstance(value, type):
            self._visit_class(value)
        elif isinstance(value, types.FunctionType):
            if self._is_own(value.__module__):
                self._visit_function(value)
        elif isinstance(value, functools.partial):
            for each in (value.func, *value.args, *value.keywords.values()):
                self.visit(each)
        elif isinstance(value, types.MethodType):
            self.visit(value.__func__)
            self.visit(value.__self__)
        elif type(value).__module__ in ("typing", "types"):
            self._visit_annotation(value, {})
        elif not isinstance(value, types.ModuleType):
            if isinstance(value, functools._lru_cache_wrapper):
                self.visit(value.__wrapped__)
            self._visit_class(type(value))
            if type(value) in PROMPT_TYPES:
                self.visit_items(value)

    def _visit_function(self, function: types.FunctionType) -> None:
        code, variables = function.__code__, function.__globals__
        names = {name for inner in _nested(code) for name in inner.co_names}
        for name in names:
            if name in variables:
                found = variables[name]
                self.visit(found)
                if isinstance(found, types.ModuleType):
                    self._visit_attributes(found, names)
        for cell in function.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:
                continue
            self.visit(content)
            if isinstance(content, types.ModuleType):
                self._visit_attributes(content, names)
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.visit(default)
        for annotation in _annotations(function).values():
            self._visit_annotation(annotation, variables)
        self.visit(getattr(function, "__wrapped__", None))

    def _visit_attributes(self, module: types.ModuleType, names: set[str]) -> None:
        variables = vars(module)
        for name in names:
            found = variables.get(name)
            if isinstance(found, type | types.FunctionType):
                self.visit(found)
            elif isinstance(found, types.ModuleType) and id(found) not in self._seen:
                self._seen.add(id(found))
                self._visit_attributes(found, names)

    def _visit_annotation(self, annotation: Any, variables: dict[str, Any]) -> None:
        if isinstance(annotation, typing.ForwardRef):
            annotation = annotation.__forward_arg__
        if isinstance(annotation, str):
            for name in NAME.findall(annotation):
                found = variables.get(name)
                if isinstance(found, type):
                    self.visit(found)
            return
        if isinstance(annotation, type):
            self.visit(annotation)
        for argument in typing.get_args(annotation):
            self._visit_annotation(argument, variables)

    def _visit_class(self, cls: type) -> None:
        if cls in self.found or cls in self._registered or cls.__module__ == "builtins":
            return
        is_own = self._is_own(cls.__module__)
        if len(self.found) < MAX_CLASSES and _is_sendable(cls):
            self.found[cls] = None
        elif not is_own:
            return
        self.visit_fields(cls)
        if is_own:
            self._visit_members(cls)

    def visit_fields(self, cls: type) -> None:
        """Look at what the fields of a class are said to be."""
        home = sys.modules.get(cls.__module__)
        variables = vars(home) if home else {}
        for annotation in _annotations(cls).values():
            self._visit_annotation(annotation, variables)

    def _visit_members(self, cls: type) -> None:
        for base in cls.__mro__[1:]:
            self.visit(base)
        for member in list(vars(cls).values()):
            if isinstance(member, staticmethod | classmethod):
                member = member.__func__
            elif isinstance(member, property):
                member = member.fget
            elif isinstance(member, functools.cached_property):
                member = member.func
            is_code = isinstance(member, types.FunctionType)
            if isinstance(member, type) or (is_code and not _is_generated(member)):
                self.visit(member)

    def visit_module_of(self, function: Callable[..., Any]) -> None:
        """Look at all classes that are made in the module of a function."""
        while isinstance(function, functools.partial):
            function = function.func
        variables = getattr(getattr(function, "__func__", function), "__globals__", None)
        if not isinstance(variables, dict) or not self._is_own(variables.get("__name__")):
            return
        for found in list(variables.values()):
            if isinstance(found, type) and found.__module__ == variables.get("__name__"):
                self._visit_class(found)

    # ---- items ----

    def visit_items(self, items: Iterable[Any]) -> None:
        """Look at the classes of values, and at those inside of them."""
        layer: Iterable[Any] = items.values() if isinstance(items, dict) else items
        if isinstance(items, dict):
            layer = [*islice(items, MAX_ITEMS), *islice(items.values(), MAX_ITEMS)]
        some = list(islice(layer, MAX_ITEMS))
        kinds = dict.fromkeys(map(type, some))
        interesting = tuple(kind for kind in kinds if kind.__module__ != "builtins")
        for kind in interesting:
            self._visit_class(kind)
        containers = tuple(kind for kind in kinds if issubclass(kind, (*PROMPT_TYPES,)))
        for member in some:
            if type(member) in containers or type(member) in self.found:
                self._visit_inside(member)

    def _visit_inside(self, value: Any) -> None:
        if not self._is_new(value):
            return
        if isinstance(value, PROMPT_TYPES):
            self.visit_items(value)
        elif hasattr(value, "__dict__"):
            self.visit_items(list(vars(value).values()))
        else:
            self.visit_items([getattr(value, name, None) for name in _slots(type(value))])

    def _is_own(self, module: Any) -> bool:
        if not isinstance(module, str):
            return False
        known = self._own.get(module)
        if known is None:
            home = sys.modules.get(module)
            is_shown = home is not None and getattr(home, "__file__", None) is None
            known = modules.is_own_module(module) or (is_shown and _is_made_up(module))
            self._own[module] = known
        return known


def _is_made_up(module: str) -> bool:
    """Tell whether a module without a file is no part of Python: notebooks and tests make such."""
    top = module.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in sys.builtin_module_names


def _is_sendable(cls: type) -> bool:
    if kind_of_class(cls) is None:
        return False
    try:
        return Registration("", cls).shape is not None
    except UnsupportedValueError:
        return False


def _is_generated(function: types.FunctionType) -> bool:
    """Tell whether `dataclasses` has made a method, which may hold a class that was replaced."""
    return function.__code__.co_filename == "<string>"


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _annotations(holder: Any) -> dict[str, Any]:
    try:
        found = holder.__annotations__
    except Exception:  # from Python 3.14 on they are made now, which may fail in any way
        return {}
    return found if isinstance(found, dict) else {}


def _slots(cls: type) -> list[str]:
    return [
        name
        for base in cls.__mro__
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType)
    ]
