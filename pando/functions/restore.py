"""Restoring a function: make objects of a package, in the process that will run them.

A package is code: only a worker, whose purpose is to run the root's function, restores one.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
import types
from collections.abc import Callable

from .. import values
from ..errors import FunctionError
from . import home_objects, package, rebuild
from .placing import forget
from .resources import add_folders
from .sent_modules import SentModules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COLLECTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}


def restore(shipped: package.FunctionPackage) -> Callable[[Any], Any]:
    """Make the function of a package; what it registers and imports is registered and imported.

    Raises:
        FunctionError: a module is missing here; the message names it.
        Exception: whatever the user's own modules and classes raise when they are made.
    """
    forget([name for name in shipped.modules if name in sys.stdlib_module_names])
    sys.meta_path.insert(0, SentModules(shipped.modules))
    add_folders(shipped.modules)
    if shipped.arguments:
        sys.argv[:] = shipped.arguments
    restoring = _Restoring(shipped)
    for registered in shipped.types:
        values.REGISTERED.add(
            values.Registration(
                registered.name,
                restoring.get(registered.type),
                restoring.get(registered.encode),
                restoring.get(registered.decode),
            )
        )
    function: Callable[[Any], Any] = restoring.get(shipped.entry)
    restoring.finish()
    restoring.set_state()
    if shipped.initializer is not None:
        restoring.get(shipped.initializer)()
    return function


class _Restoring:
    """One restoration: the objects made so far, and what has to be filled in afterwards."""

    def __init__(self, shipped: package.FunctionPackage) -> None:
        self._shipped = shipped
        self._made: dict[int, Any] = {}
        self._later: list[Callable[[], None]] = []
        self._globals: dict[int, dict[str, Any]] = {}
        self._names_given: set[tuple[int, str]] = set()
        self._classes_begun: set[int] = set()
        self._homes = home_objects.Homes()

    def get(self, number: int) -> Any:
        """Return the object of a node, made when it is first asked for."""
        if number not in self._made:
            self._made[number] = self._make(number, self._shipped.nodes[number])
        return self._made[number]

    def finish(self) -> None:
        """Fill in what functions refer to, now that they exist."""
        while self._later:
            self._later.pop()()
        for number in range(len(self._shipped.namespaces)):
            self._give_names(number, list(self._shipped.namespaces[number].names))
        while self._later:
            self._later.pop()()

    def set_state(self) -> None:
        """Give everything the state that it had, whatever was run here to make it.

        Class statements with their decorators and metaclasses have been run once more, and may
        have added to lists, counted, or drawn: all that can change is set again.
        """
        shipped = self._shipped
        numbers = sorted(self._made)
        for number in numbers:
            self._set_again(self._made[number], shipped.nodes[number])
        for made, kind, content in shipped.fills:
            home_objects.fill(self.get(made), kind, self.get(content))
        for number in numbers:
            node = shipped.nodes[number]
            if isinstance(node, package.Class):
                self._set_class(self._made[number], node)
        self._settle()
        for key, value in shipped.binds:
            home_objects.bind(tuple(key), self.get(value))
        for key, origin in shipped.same:
            home_objects.check_origin(tuple(key), origin)
        for place, namespace in enumerate(shipped.namespaces):
            for name, number in namespace.names.items():
                self._namespace(place)[name] = self.get(number)
        self._settle()

    def _set_again(self, made: Any, node: package.Node) -> None:
        match node:
            case package.Cell(content) if content is not None:
                made.cell_contents = self.get(content)
            case package.Collection("list", members):
                made[:] = [self.get(member) for member in members]
            case package.Collection("set", members):
                made.clear()
                made.update([self.get(member) for member in members])
            case package.Mapping(pairs):
                entries = [(self.get(key), self.get(value)) for key, value in pairs]
                made.clear()
                made.update(entries)
            case package.Data() if isinstance(made, list | dict | set):
                fresh = values.decode(node.encoded)
                if isinstance(made, list):
                    made[:] = fresh
                else:
                    made.clear()
                    made.update(fresh)
            case package.Function():
                self._complete(made, node)
            case package.Construct(state=state) if state is not None and node.setter is None:
                found = self.get(state)
                if type(found) is dict and not hasattr(type(made), "__setstate__"):
                    vars(made).clear()
                    vars(made).update(found)

    def _set_class(self, cls: type, node: package.Class) -> None:
        for name in node.removed:
            *inner, last = name.split(".")
            owner = self._find_inner(cls, inner)
            if last in vars(owner):
                type.__delattr__(owner, last)
        for name, attribute in node.attributes.items():
            *inner, last = name.split(".")
            type.__setattr__(self._find_inner(cls, inner), last, self.get(attribute))
        for subclass in node.registered:
            from abc import ABCMeta

            ABCMeta.register(cls, self.get(subclass))  # type: ignore[arg-type]
        for name, held in node.members.items():
            rebuild.set_member(cls, name, self.get(held))

    @staticmethod
    def _find_inner(found: type, path: list[str]) -> type:
        for name in path:
            found = vars(found)[name]
        return found

    def _make(self, number: int, node: package.Node) -> Any:
        match node:
            case package.Data(encoded):
                return values.decode(encoded)
            case package.Import():
                return self._import(node)
            case package.Function():
                return self._function(node)
            case package.Cell(content):
                cell = types.CellType()
                if content is not None:
                    self._later.append(lambda: setattr(cell, "cell_contents", self.get(content)))
                return cell
            case package.Class():
                return self._class(number, node)
            case package.Collection(kind, members):
                return self._collection(number, kind, members)
            case package.Mapping(pairs):
                mapping: dict[Any, Any] = {}
                self._made[number] = mapping
                found = [(self.get(key), self.get(value)) for key, value in pairs]
                self._settle()  # a dict calls the hashes of its keys
                mapping.update(found)
                return mapping
            case package.Construct():
                return self._construct(number, node)
            case package.Home(key, kind, type_name):
                wanted = type_name if kind is None else self.get(kind)
                return self._homes.find(tuple(key), wanted)

    def _import(self, node: package.Import) -> Any:
        try:
            found: Any = importlib.import_module(node.module)
            for name in node.submodules:
                importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise FunctionError(
                f"the function {self._shipped.name} needs the module {error.name!r}, "
                f"which is not installed for {sys.executable}"
            ) from error
        for part in filter(None, node.path.split(".")):
            found = getattr(found, part)
        return found

    def _function(self, node: package.Function) -> types.FunctionType:
        from . import segments

        _remember_lines(node.segment.filename, node.segment.line, node.segment.source)
        code = segments.compile_function(node.segment, node.qualname)
        by_name = dict(zip(node.segment.free, node.cells, strict=True))
        cells = tuple(self.get(by_name[name]) for name in code.co_freevars)
        function = types.FunctionType(code, self._namespace(node.namespace), node.name, None, cells)
        function.__qualname__ = node.qualname
        self._later.append(lambda: self._complete(function, node))
        return function

    def _complete(self, function: types.FunctionType, node: package.Function) -> None:
        if node.defaults is not None:
            function.__defaults__ = self.get(node.defaults)
        if node.keyword_defaults is not None:
            function.__kwdefaults__ = self.get(node.keyword_defaults)
        for name, attribute in node.attributes.items():
            setattr(function, name, self.get(attribute))
        self._give_names(node.namespace, node.uses)

    def _class(self, number: int, node: package.Class) -> Any:
        from . import segments

        _remember_lines(node.segment.filename, node.segment.line, node.segment.source)
        namespace = self._namespace(node.namespace)
        self._give_names_for_class(number, node)
        code = segments.compile_class_factory(node.segment, node.qualname)
        by_name = dict(zip(node.segment.free, node.cells, strict=True))
        cells = tuple(self.get(by_name[name]) for name in code.co_freevars)
        self._settle()
        if number in self._made:
            return self._made[number]  # what it refers to has needed it meanwhile
        earlier = namespace.get(node.name)
        cls = types.FunctionType(code, namespace, node.name, None, cells)()
        if (node.namespace, node.name) in self._names_given:
            namespace[node.name] = earlier
        return cls

    def _settle(self) -> None:
        """Complete the functions made so far, since a class statement may call them."""
        while self._later:
            self._later.pop()()

    def _collection(self, number: int, kind: str, members: list[int]) -> Any:
        if kind == "list":
            made: list[Any] = []
            self._made[number] = made
            made.extend(self.get(member) for member in members)
            return made
        found = [self.get(member) for member in members]
        self._settle()  # a set calls the hashes of its members
        return COLLECTIONS[kind](found)

    def _construct(self, number: int, node: package.Construct) -> Any:
        callable_ = self.get(node.callable)
        arguments = [self.get(argument) for argument in node.arguments]
        self._settle()
        if number in self._made:
            return self._made[number]  # what it refers to has needed it meanwhile
        made = callable_(*arguments)
        self._made[number] = made
        if node.setter is not None:
            self.get(node.setter)(made, self.get(node.state or 0))
        elif node.state is not None:
            home_objects.set_state(made, self.get(node.state))
        for member in node.members:
            made.append(self.get(member))
        for key, value in node.entries:
            made[self.get(key)] = self.get(value)
        return made

    def _namespace(self, number: int) -> dict[str, Any]:
        known = self._globals.get(number)
        if known is not None:
            return known
        namespace = self._shipped.namespaces[number]
        if namespace.importable:
            variables = vars(importlib.import_module(namespace.module))
        else:
            # Under the script's own name, since annotations and enumerations look their module up.
            module = types.ModuleType(namespace.module)
            module.__package__ = namespace.package or None
            if namespace.filename:
                module.__file__ = namespace.filename
            sys.modules[namespace.module] = module
            variables = vars(module)
            variables["__builtins__"] = builtins
        self._globals[number] = variables
        return variables

    def _give_names_for_class(self, number: int, node: package.Class) -> None:
        """What the class statement uses, and what its methods use, where that is possible.

        Methods may run while the class is made, as those of an enumeration do. Classes that need
        this one, as their base say, are left for later.
        """
        names = self._shipped.namespaces[node.namespace].names
        for name in node.needs:
            if name in names and names[name] != number:
                self._give_name(node.namespace, name, names[name])
        if number in self._classes_begun:
            return
        self._classes_begun.add(number)
        uses = [name for name in node.uses if not self._needs(names.get(name), number)]
        self._give_names(node.namespace, uses)

    def _needs(self, number: int | None, wanted: int) -> bool:
        """Tell whether a node is a class whose statement needs another one, directly or not."""
        if number is None or number == wanted:
            return number == wanted
        node = self._shipped.nodes[number]
        if not isinstance(node, package.Class):
            return False
        names = self._shipped.namespaces[node.namespace].names
        needed = {names[name] for name in node.needs if name in names} - {number}
        return any(self._needs(other, wanted) for other in needed)

    def _give_names(self, namespace: int, wanted: list[str]) -> None:
        """Give a namespace these names: first what is no code that may need the others."""
        names = self._shipped.namespaces[namespace].names
        numbers = {name: names[name] for name in wanted if name in names}
        for name in sorted(numbers, key=lambda name: self._rank(numbers[name])):
            self._give_name(namespace, name, numbers[name])

    def _rank(self, number: int) -> int:
        match self._shipped.nodes[number]:
            case package.Collection() | package.Mapping():
                return 1
            case package.Class():
                return 2
            case package.Construct():
                return 3
        return 0

    def _give_name(self, namespace: int, name: str, number: int) -> None:
        """Set a global, once: code that has run may have set it to something else."""
        if (namespace, name) in self._names_given:
            return
        value = self.get(number)
        if (namespace, name) not in self._names_given:
            self._names_given.add((namespace, name))
            self._namespace(namespace)[name] = value


def _remember_lines(filename: str, first_line: int, text: str) -> None:
    """Let tracebacks show lines of a file that is not on this machine."""
    import linecache

    from . import source

    known = linecache.cache.get(filename)
    # A short name is that of a file elsewhere, even where one here has the same.
    if known is None and not (os.path.isabs(filename) and linecache.getlines(filename)):
        linecache.cache[filename] = (0, None, [], filename)
        known = linecache.cache[filename]
    if known is None or len(known) != 4 or known[1] is not None:
        return
    lines = known[2]
    wanted = source.split_lines(text)
    last = first_line - 1 + len(wanted)
    lines.extend(["\n"] * (last - len(lines)))
    lines[first_line - 1 : last] = wanted
