"""A function as it is sent: exactly, or in a form for other versions of Python and for browsers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .. import values
from ..errors import FunctionError, shorten
from . import loading
from .capture import capture, function_name
from .package import ExactPackage, JavaScriptPackage

if TYPE_CHECKING:
    from .kept_sources import KeptSources


class SerializedFunction:
    """A function with both of its forms, of which the portable one is made when it is asked for.

    Attributes:
        name: what people call it.
        language: ``python`` or ``javascript``.
        installed: top-level names of the installed modules that the exact form refers to.
    """

    def __init__(
        self,
        name: str,
        exact: ExactPackage | None,
        make_portable: Callable[[], bytes],
        *,
        sources: KeptSources | None = None,
        language: str = "python",
    ) -> None:
        self.name = name
        self.language = language
        self._exact = exact
        self._packed = exact.to_bytes() if exact else None
        self._sources = sources
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


def serialize(function: Callable[..., Any], requires: Iterable[str] = ()) -> SerializedFunction:
    """A Python function as it is sent.

    Raises:
        FunctionError: it has neither form; the message names the variable that is in the way.
    """
    loading.check()
    if not callable(function):
        raise FunctionError(f"{shorten(function)} is not a function")
    requires = tuple(requires)
    name = function_name(function)
    try:
        exact, sources = dump_exactly(function, name)
    except FunctionError as error:
        made = SerializedFunction(name, None, lambda: capture(function, requires).to_bytes())
        try:
            made.portable()
        except FunctionError:
            raise error from None
        return made
    return SerializedFunction(
        name, exact, lambda: capture(function, requires).to_bytes(), sources=sources
    )


def dump_exactly(function: Callable[..., Any], name: str) -> tuple[ExactPackage, KeptSources]:
    """The exact form of a function, and the sources that belong to it."""
    from .exact import dump

    types = [(each.name, each.type, each.encode, each.decode) for each in values.registered_types()]
    return dump(function, name, types)


def as_received(packed: bytes) -> SerializedFunction:
    """A function in the one form that a node has received it in."""
    return SerializedFunction("", None, lambda: packed)


def serialize_javascript(package: JavaScriptPackage) -> SerializedFunction:
    """A JavaScript function as it is sent, which has one form alone."""
    return SerializedFunction(package.name, None, package.to_bytes, language="javascript")
