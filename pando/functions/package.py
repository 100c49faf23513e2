"""What is sent of a function: source text, plain data, and the names of what to import.

A package is a table of nodes that refer to each other by number. It is plain MessagePack; only
the receiver of a function (a worker, which runs the root's code anyway) makes objects of it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import msgpack

from .. import values
from .light_struct import LightStruct
from .short_names import ShortNames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_TAG_BYTES = 32
BYTES_CODE = 0xC6
BYTES_HEADER = struct.Struct(">BI")
"""What MessagePack has before bytes of any number: a code, and the number."""
TEXT_ERRORS = "surrogatepass"
"""A file's name may be no proper Unicode."""


class ModuleSource(LightStruct):
    """A module of the user's own, whole; a package has the files beside it by their paths."""

    source: str
    filename: str
    is_package: bool
    data: dict[str, bytes] = {}  # noqa: RUF012 - a default, as of a dataclass


class Namespace(LightStruct):
    """The globals of functions: those of an importable module, or names given one by one."""

    module: str
    importable: bool
    package: str
    filename: str
    names: dict[str, int]


class Segment(LightStruct):
    """A stretch of a source file that holds one function, lambda or class.

    `flags` are the compiler's flags for the file's `from __future__` imports. `free` are the
    names that the segment takes from the functions around it. `owner` is the class that
    contains it, empty where there is none: private names depend on it.
    """

    source: str
    filename: str
    line: int
    column: int
    flags: int
    free: list[str]
    owner: str


class Data(LightStruct, tag="data"):
    """A value, as `pando.values` encodes it."""

    encoded: bytes


class Import(LightStruct, tag="import"):
    """A module, or what one has under a dotted path; submodules are imported too."""

    module: str
    path: str
    submodules: list[str]


class Function(LightStruct, tag="function"):
    """A function or lambda made from its source; cells are shared where they were.

    `uses` are the globals that it uses.
    """

    segment: Segment
    namespace: int
    name: str
    qualname: str
    cells: list[int]
    defaults: int | None
    keyword_defaults: int | None
    attributes: dict[str, int]
    uses: list[str]


class Cell(LightStruct, tag="cell"):
    """A variable of an enclosing function; None where it is not set."""

    content: int | None


class Class(LightStruct, tag="class"):
    """A class made by running its source, decorators and all, and then given its state.

    `attributes` are those whose value the statement does not tell, or not surely; `removed` are
    names that it binds and that are gone. `registered` are the virtual subclasses of an abstract
    class, `members` what the members of an enumeration hold. `needs` are the globals that the
    statement itself uses, `uses` those of its methods and of annotations that are not evaluated.
    Cells are shared where they were.
    """

    segment: Segment
    namespace: int
    name: str
    qualname: str
    cells: list[int]
    needs: list[str]
    uses: list[str]
    attributes: dict[str, int]
    removed: list[str]
    registered: list[int]
    members: dict[str, int]


class Collection(LightStruct, tag="collection"):
    """A list, tuple, set or frozenset whose members are nodes."""

    kind: str
    members: list[int]


class Mapping(LightStruct, tag="mapping"):
    """A dict whose keys and values are nodes."""

    pairs: list[tuple[int, int]]


class Construct(LightStruct, tag="construct"):
    """An object made as `copy` makes one: a call, then state, members and entries.

    The state is given to `setter`, where there is one.
    """

    callable: int
    arguments: list[int]
    state: int | None = None
    members: Sequence[int] = ()
    entries: Sequence[tuple[int, int]] = ()
    setter: int | None = None


class Home(LightStruct, tag="home"):
    """An object that is at home in a module of the user's own; see `pando.functions.home_objects`.

    `type` is the node of its type, or None where it cannot be sent; then it is that of the import,
    if its type has this name.
    """

    key: list[str | int]
    type: int | None
    type_name: str


Node = Data | Import | Function | Cell | Class | Collection | Mapping | Construct | Home


class RegisteredType(LightStruct):
    """A type given to `pando.register_type`, as nodes."""

    name: str
    type: int
    encode: int
    decode: int


class FunctionPackage(LightStruct, tag="python"):
    """A Python function in its portable form.

    Attributes:
        name: what people call the function.
        python: the root's Python version, such as ``3.11``.
        entry: the node that is the function.
        nodes: everything the function needs.
        namespaces: the globals of its functions and classes.
        modules: the user's own modules, by name.
        imports: top-level names of all modules imported from elsewhere.
        types: the registered types.
        requirements: what has to be installed, as PEP 508 requirement strings.
        binds: what names in the user's own modules are bound to, at last.
        fills: what objects that are at home in these modules hold.
        same: decorated functions of these modules, and where the decorators made them.
        initializer: the node of what is called once in each worker.
        keyed: whether each item comes with a key, for random generators.
        seeded: whether Python's and NumPy's own generators are seeded by it.
        arguments: the command line, where modules of the user's own read it; else none.
    """

    name: str
    python: str
    entry: int
    nodes: list[Node]
    namespaces: list[Namespace]
    modules: dict[str, ModuleSource]
    imports: list[str]
    types: list[RegisteredType]
    requirements: list[str]
    binds: list[tuple[list[str | int], int]]
    fills: list[tuple[int, str, int]]
    same: list[tuple[list[str | int], list[str | int]]]
    initializer: int | None = None
    keyed: bool = False
    seeded: bool = False
    arguments: list[str] = []  # noqa: RUF012 - a default, as of a dataclass

    def to_bytes(self) -> bytes:
        """Return the package as MessagePack."""
        packed: bytes = msgpack.packb(self, default=LightStruct.to_list, unicode_errors=TEXT_ERRORS)
        return packed

    @staticmethod
    def from_bytes(data: bytes | memoryview) -> FunctionPackage:
        """Return the package that `to_bytes` was called on; some exception if it is none."""
        tag, name, python, entry, nodes, namespaces, modules, imports, types, *others = (
            msgpack.unpackb(data, unicode_errors=TEXT_ERRORS)
        )
        assert tag == FunctionPackage.tag
        return FunctionPackage(
            name,
            python,
            entry,
            [_read_node(*fields) for fields in nodes],
            [Namespace(*fields) for fields in namespaces],
            {name: ModuleSource(*fields) for name, fields in modules.items()},
            imports,
            [RegisteredType(*fields) for fields in types],
            *others,
        )


class ExactPackage(LightStruct, tag="exact"):
    """A Python function pickled: for workers that equal the root, and loaded nowhere else.

    Attributes:
        name: what people call the function.
        modules: modules of the user's own that are imported by their file, or from a kept text.
        lines: the text of code that is in no file, by the name it has instead of a file's.
        installed: top-level names of the installed modules that the pickle refers to.
        keyed: whether each item comes with a key, for random generators.
        seeded: whether Python's and NumPy's own generators are seeded by it.
        needs_own_modules: whether modules of the user's own are imported, which are only here.
        files: the files of this machine, by the short names that the pickle has of them; those of
            another machine are empty.
        pickle: several pickles one after the other, for `pando.functions.exact_load`; the last
            field, since it may be large.
    """

    name: str
    modules: dict[str, ModuleSource]
    lines: dict[str, str]
    installed: list[str]
    keyed: bool
    seeded: bool
    needs_own_modules: bool
    files: dict[str, str]
    pickle: bytes

    def to_bytes(self) -> bytes:
        """Return the package as MessagePack."""
        *fields, pickle = self.to_list()
        head = msgpack.packb(
            [*fields, None], default=LightStruct.to_list, unicode_errors=TEXT_ERRORS
        )
        # The packer itself would copy the pickle several times.
        return b"".join([head[:-1], BYTES_HEADER.pack(BYTES_CODE, len(pickle)), pickle])

    @staticmethod
    def from_bytes(data: bytes | memoryview) -> ExactPackage:
        """Return the package that `to_bytes` was called on; some exception if it is none."""
        tag, name, modules, *others = msgpack.unpackb(
            data, unicode_errors=TEXT_ERRORS, max_bin_len=len(data)
        )
        assert tag == ExactPackage.tag
        modules = {name: ModuleSource(*fields) for name, fields in modules.items()}
        return ExactPackage(name, modules, *others)


def shorten_names(package: FunctionPackage | JavaScriptPackage) -> None:
    """Name files without the folders of this machine."""
    names = ShortNames()
    if isinstance(package, JavaScriptPackage):
        package.filename = names.of(package.filename)
        return
    for name, module in package.modules.items():
        end = "/__init__.py" if module.is_package else ".py"
        names.give(module.filename, name.replace(".", "/") + end)
    segments = [each.segment for each in package.nodes if isinstance(each, Function | Class)]
    for namespace in package.namespaces:
        place = namespace.names.get("__file__")
        node = None if place is None else package.nodes[place]
        if place is not None and isinstance(node, Data):
            name = values.decode(node.encoded)
            if isinstance(name, str):
                package.nodes[place] = Data(values.encode(names.of(name)))
    named: list[Any] = [*package.modules.values(), *package.namespaces, *segments]
    for each in named:
        each.filename = names.of(each.filename)
    for _, origin in package.same:
        origin[0] = names.of(str(origin[0]))
    package.arguments = [names.of(each) for each in package.arguments[:1]] + package.arguments[1:]


def _read_node(tag: str, *fields: Any) -> Node:
    kind = _NODES[tag]
    if kind is Function or kind is Class:
        segment, *others = fields
        return kind(Segment(*segment), *others)
    return kind(*fields)


_NODES: dict[str, Callable[..., Node]] = {
    kind.tag: kind
    for kind in (Data, Import, Function, Cell, Class, Collection, Mapping, Construct, Home)
}


def language_of(packed: bytes | memoryview) -> str:
    """Return the tag of a packed function: ``python``, ``exact``, ``javascript`` or ``none``."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(packed[:MAX_TAG_BYTES])
    try:
        unpacker.read_array_header()
        language: str = unpacker.unpack()
    except (ValueError, msgpack.exceptions.OutOfData):
        return "none"
    return language


class JavaScriptPackage(LightStruct, tag="javascript"):
    """A JavaScript function: a module that requires nothing but Pando.

    Attributes:
        name: what people call the function.
        source: a CommonJS script, the body of a function of `exports`, `require` and `module`.
        filename: where it comes from, for stacks.
        as_text: whether results are wanted as `String(result)`.
        requirements: PEP 508 requirement strings, for where no browser runs it.
    """

    name: str
    source: str
    filename: str
    as_text: bool
    requirements: list[str]

    def to_bytes(self) -> bytes:
        """Return the package as MessagePack."""
        packed: bytes = msgpack.packb(self.to_list(), unicode_errors=TEXT_ERRORS)
        return packed

    @staticmethod
    def from_bytes(data: bytes | memoryview) -> JavaScriptPackage:
        """Return the package that `to_bytes` was called on; some exception if it is none."""
        tag, *fields = msgpack.unpackb(data, unicode_errors=TEXT_ERRORS)
        assert tag == JavaScriptPackage.tag
        return JavaScriptPackage(*fields)


def read_package(data: bytes | memoryview) -> FunctionPackage | ExactPackage | JavaScriptPackage:
    """Return the package that `to_bytes` was called on; some exception if it is none."""
    language = language_of(data)
    if language == JavaScriptPackage.tag:
        return JavaScriptPackage.from_bytes(data)
    if language == ExactPackage.tag:
        return ExactPackage.from_bytes(data)
    return FunctionPackage.from_bytes(data)
