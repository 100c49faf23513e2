"""A function as it is sent: exactly, or in a form for other versions of Python and for browsers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .. import values
from ..errors import FunctionError, shorten
from . import loading
from .capture import capture, function_name
from .generators import Generators
from .package import ExactPackage, JavaScriptPackage

if TYPE_CHECKING:
    from .kept_sources import KeptSources


class SerializedFunction:
    """A function with both of its forms, of which the portable one is made when it is asked for.

    Attributes:
        name: what people call it.
        language: ``python`` or ``javascript``.
        installed: top-level names of the installed modules that the exact form refers to.
        generators: the random generators that it refers to.
    """

    def __init__(
        self,
        name: str,
        exact: ExactPackage | None,
        make_portable: Callable[[], bytes],
        *,
        sources: KeptSources | None = None,
        generators: Generators | None = None,
        language: str = "python",
    ) -> None:
        self.name = name
        self.language = language
        self._exact = exact
        self._packed = exact.to_bytes() if exact else None
        self._sources = sources
        self.generators = generators
        self.installed = exact.installed if exact else []
        self._make_portable = make_portable
        self._made: bytes | FunctionError | None = None
        self._lock = threading.Lock()

    def exact(self) -> bytes | None:
        """The exact form, packed, for workers that equal this process; None where there is none.

        Modules of the user's own that have been edited meanwhile are in it as they were.
        """
        if self._exact is not None and self._sources is not None:
            changed = self._sources.changed()
            if changed:
                modules = {**self._exact.modules, **changed}
                fields = {**vars(self._exact), "modules": modules}
                return ExactPackage(**fields).to_bytes()
        return self._packed

    def draw_key(self) -> bytes:
        """The key of a map, where its items need keys, for random generators; empty otherwise."""
        return self.generators.draw_key() if self.generators else b""

    def portable(self) -> bytes:
        """The portable form, packed.

        Raises:
            FunctionError: there is none; the message names the variable that is in the way.
        """
        with self._lock:
            if self._made is None:
                try:
                    self._made = self._make_portable()
                except FunctionError as error:
                    self._made = error
            if isinstance(self._made, FunctionError):
                raise self._made
            return self._made


def serialize(
    function: Callable[..., Any],
    requires: Iterable[str] = (),
    *,
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
) -> SerializedFunction:
    """A Python function as it is sent.

    Args:
        function: any callable.
        requires: what it needs installed, in the words of PEP 508.
        initializer: what is called once in each worker, before the first item.
        random_seed: what the generators of Python and of NumPy are seeded by, for each item.

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

    def make_portable() -> bytes:
        return capture(
            function, requires, initializer=initializer, generators=generators
        ).to_bytes()

    exact, sources, failure = None, None, None
    try:
        exact, sources = dump_exactly(function, name, initializer, generators)
    except FunctionError as error:
        failure = error
    made = SerializedFunction(name, exact, make_portable, sources=sources, generators=generators)
    if failure is not None:
        try:
            made.portable()
        except FunctionError:
            raise failure from None
    return made


def dump_exactly(
    function: Callable[..., Any],
    name: str,
    initializer: Callable[[], object] | None = None,
    generators: Generators | None = None,
) -> tuple[ExactPackage, KeptSources]:
    """The exact form of a function, and the sources that belong to it."""
    from .exact import dump

    types = [(each.name, each.type, each.encode, each.decode) for each in values.registered_types()]
    return dump(function, name, types, initializer, generators)


def as_received(packed: bytes) -> SerializedFunction:
    """A function in the one form that a node has received it in."""
    return SerializedFunction("", None, lambda: packed)


def serialize_javascript(package: JavaScriptPackage) -> SerializedFunction:
    """A JavaScript function as it is sent, which has one form alone."""
    return SerializedFunction(package.name, None, package.to_bytes, language="javascript")
