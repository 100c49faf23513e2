"""A function as it is sent: exactly, or in a form for other versions of Python and for browsers."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .. import values
from ..errors import FunctionError, shorten
from . import loading, seeding
from .generators import Generators
from .item_classes import ItemClasses, find_item_classes, send_with_classes
from .naming import function_name
from .own_modules import being_imported
from .package import ExactPackage, JavaScriptPackage, read_package, shorten_names
from .purpose import purpose_of_function, purpose_of_script

if TYPE_CHECKING:
    from .kept_sources import KeptSources


MAX_PREPARED_BYTES = 1024 * 1024
"""A function whose exact form is larger is made portable only when a node needs that."""


class SerializedFunction:
    """A function with both of its forms, of which the portable one is made when it is asked for.

    Attributes:
        name: what people call it.
        language: ``python`` or ``javascript``.
        find_purpose: gives what its module says of itself, in one line.
        installed: top-level names of the installed modules that the exact form refers to.
        generators: the random generators that it refers to.
        classes: the classes that items and results may be instances of.
    """

    def __init__(
        self,
        name: str,
        exact: ExactPackage | None,
        make_portable: Callable[[], bytes],
        *,
        sources: KeptSources | None = None,
        generators: Generators | None = None,
        classes: ItemClasses | None = None,
        language: str = "python",
        find_purpose: Callable[[], str] = str,
    ) -> None:
        self.name = name
        self.language = language
        self.find_purpose = find_purpose
        self._exact = exact
        self._packed = exact.to_bytes() if exact else None
        self._exact_for_others: bytes | None = None
        self._portable_for_others: bytes | None = None
        self._sources = sources
        self.generators = generators
        self.classes = classes or ItemClasses()
        self.installed = exact.installed if exact else []
        self._make_portable = make_portable
        self._made: bytes | FunctionError | None = None
        self._lock = threading.Lock()
        self._context = contextvars.copy_context()

    @property
    def has_exact(self) -> bool:
        """Whether there is an exact form."""
        return self._exact is not None

    def exact(self) -> bytes | None:
        """Return the exact form for workers that equal this process; None where there is none.

        Modules of the user's own that have been edited meanwhile are in it as they were.
        """
        if self._exact is not None and self._sources is not None:
            changed = self._sources.changed()
            if changed:
                modules = {**self._exact.modules, **changed}
                fields = {**vars(self._exact), "modules": modules}
                return ExactPackage(**fields).to_bytes()
        return self._packed

    def exact_for_others(self) -> bytes | None:
        """Return the exact form for equal interpreters of other machines, where that is possible.

        Modules of the user's own are only on this machine.
        """
        if self._exact is None or self._exact.needs_own_modules:
            return None
        if self._exact_for_others is None:
            # Nobody there needs to know the folders of this machine.
            fields = {**vars(self._exact), "files": dict.fromkeys(self._exact.files, "")}
            self._exact_for_others = ExactPackage(**fields).to_bytes()
        return self._exact_for_others

    @property
    def size(self) -> int:
        """The size of the exact form, in bytes; 0 where there is none."""
        return len(self._packed or b"")

    def draw_key(self) -> bytes:
        """Draw the key of a map, where its items need keys for random generators; else empty."""
        return self.generators.draw_key() if self.generators else b""

    def prepare_portable(self) -> None:
        """Make the portable form at once if that takes no time: what it is made of may change."""
        if self.size <= MAX_PREPARED_BYTES:
            with suppress(FunctionError):
                self.portable()

    def portable(self) -> bytes:
        """Return the portable form, packed.

        Raises:
            FunctionError: there is none; the message names the variable that is in the way.
        """
        with self._lock:
            if self._made is None:
                try:
                    self._made = self._context.run(self._make_portable)
                except FunctionError as error:
                    self._made = error
            if isinstance(self._made, FunctionError):
                raise self._made
            return self._made

    def portable_for_others(self) -> bytes:
        """Return the portable form without the folders of this machine, for other machines.

        Raises:
            FunctionError: as `portable`.
        """
        if self._portable_for_others is None:
            package = read_package(self.portable())
            assert not isinstance(package, ExactPackage)
            shorten_names(package)
            self._portable_for_others = package.to_bytes()
        return self._portable_for_others


def serialize(
    function: Callable[..., Any],
    requires: Iterable[str] = (),
    *,
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
    items: Any = None,
) -> SerializedFunction:
    """Serialize a Python function.

    Args:
        function: any callable.
        requires: what it needs installed, as PEP 508 requirement strings.
        initializer: what is called once in each worker, before the first item.
        random_seed: what the generators of Python and of NumPy are seeded by, for each item.
        items: what it is mapped over, as far as that is known: classes are looked for in it.

    Raises:
        FunctionError: it has neither form; the message names the variable that is in the way.
    """
    loading.check()
    for each in (function, initializer):
        if each is not None and not callable(each):
            raise FunctionError(f"{shorten(each)} is not a function")
    requires = tuple(requires)
    name = function_name(function)
    generators = Generators(random_seed)
    classes = find_item_classes(function, items, values.registered_types())

    def make_portable() -> bytes:
        from .capture import capture  # most runs do without this form

        if began and (importing := being_imported()) is not None:
            raise FunctionError(f"the module {importing} is still being imported")
        if exact is not None and began:
            again, _ = dump_exactly(function, name, initializer, generators, classes)
            if again.pickle != exact.pickle:
                raise FunctionError(
                    "what the function refers to has changed since the run began, so only "
                    "workers that equal this process can have it"
                )
        return send_with_classes(
            classes,
            lambda found: capture(
                function,
                requires,
                initializer=initializer,
                generators=generators,
                classes=found,
            ),
            capture,
            lambda made: (len(made.to_bytes()), set(made.imports)),
        ).to_bytes()

    exact, sources, failure = None, None, None
    began = False
    try:
        exact, sources = dump_exactly(function, name, initializer, generators, classes)
    except FunctionError as error:
        failure = error
    made = SerializedFunction(
        name,
        exact,
        make_portable,
        sources=sources,
        generators=generators,
        classes=classes,
        find_purpose=functools.partial(purpose_of_function, function),
    )
    if failure is not None:
        try:
            made.portable()
        except FunctionError:
            raise failure from None
    began = True
    return made


def dump_exactly(
    function: Callable[..., Any],
    name: str,
    initializer: Callable[[], object] | None = None,
    generators: Generators | None = None,
    classes: ItemClasses | None = None,
) -> tuple[ExactPackage, KeptSources]:
    """Pickle the exact form of a function, and the sources that belong to it."""
    from .exact import dump

    def make(found: list[values.Registration]) -> tuple[ExactPackage, KeptSources]:
        registered = [*values.registered_types(), *found]
        types = [(each.name, each.type, each.encode, each.decode) for each in registered]
        return dump(function, name, types, initializer, generators)

    return send_with_classes(
        classes or ItemClasses(),
        make,
        lambda cls: dump(cls, cls.__name__, []),
        lambda made: (len(made[0].pickle), set(made[0].installed)),
    )


class LocalGenerators:
    """The generators of a function that runs in this very process, with the same numbers."""

    def __init__(self, function: Callable[..., Any], random_seed: int | None) -> None:
        self._seeded = random_seed is not None
        self._found: dict[int, Any] = {}
        try:
            made = serialize(function, random_seed=random_seed)
        except FunctionError:  # it cannot be sent, but runs here
            generators = Generators(random_seed)
        else:
            generators = made.generators or Generators(random_seed)
        self._found = generators.found
        self._key = generators.draw_key()

    def seed(self, index: int) -> None:
        """Seed all generators for an item."""
        if self._key:
            key = seeding.key_of_item(self._key, index)
            seeding.seed_all(self._found, key, self._seeded)


def as_received(packed: bytes) -> SerializedFunction:
    """Return a function in the one form that a node has received it in."""
    return SerializedFunction("", None, lambda: packed)


def serialize_javascript(package: JavaScriptPackage) -> SerializedFunction:
    """Serialize a JavaScript function, which has one form alone."""
    return SerializedFunction(
        package.name,
        None,
        package.to_bytes,
        language="javascript",
        find_purpose=functools.partial(purpose_of_script, package.filename),
    )
