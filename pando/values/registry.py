"""The classes whose instances can be serialized, each with the name that messages give it."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import UnsupportedValueError, UsageError
from .shapes import Shape, kind_of_class, shape_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Registration:
    """A class with its name, and how its instances are serialized.

    Attributes:
        name: what messages call the class.
        type: the class.
        encode: turns an instance into a value; None where the class is made of fields.
        decode: turns that value into an instance again.
    """

    def __init__(
        self,
        name: str,
        type: type,
        encode: Callable[[Any], Any] | None = None,
        decode: Callable[[Any], Any] | None = None,
    ) -> None:
        self.name = name
        self.type = type
        self.encode = encode
        self.decode = decode
        self._shape: Shape | None = None

    @property
    def shape(self) -> Shape:
        """How a named tuple, dataclass or enumeration is taken apart and made again.

        Raises:
            UnsupportedValueError: it cannot be, for a reason that the message tells.
        """
        if self._shape is None:
            self._shape = shape_of(self.type)
        return self._shape


class Registry:
    """Registrations by class and by name, in addition to those of another registry.

    A message can only name what is in it: looking a name up imports and calls nothing.

    Attributes:
        has_own_code: whether a class in it was added with functions of its own.
    """

    def __init__(self, parent: Registry | None = None) -> None:
        self._parent = parent
        self._by_type: dict[type, Registration] = {}
        self._by_name: dict[str, Registration] = {}
        self.has_own_code = False

    def add(self, registration: Registration) -> None:
        """Add a registration. It takes the place of those of the same class or name."""
        for earlier in (
            self._by_type.get(registration.type),
            self._by_name.get(registration.name),
        ):
            if earlier is not None:
                self._by_type.pop(earlier.type, None)
                self._by_name.pop(earlier.name, None)
        self.has_own_code = self.has_own_code or registration.encode is not None
        self._by_type[registration.type] = registration
        self._by_name[registration.name] = registration

    def of_type(self, type: type) -> Registration | None:
        """Find the registration of exactly this class."""
        found = self._by_type.get(type)
        return found if found or self._parent is None else self._parent.of_type(type)

    def named(self, name: str) -> Registration | None:
        """Find a registration by its name."""
        found = self._by_name.get(name)
        return found if found or self._parent is None else self._parent.named(name)

    def __iter__(self) -> Iterator[Registration]:
        """Give its own registrations, without its parent's, in the order they were added."""
        return iter(list(self._by_name.values()))


REGISTERED = Registry()
"""What was given to `register_type` in this process."""


def register_type(
    type: type,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any], Any] | None = None,
    *,
    name: str | None = None,
) -> None:
    """Register a class, so that its instances can be items and results.

    Call it before the run starts; the workers learn of it together with the function. Named
    tuples, dataclasses and enumerations need no `encode` and `decode`, and no registration where
    the function or the first items refer to them.

    Args:
        type: the class. Its subclasses are not included.
        encode: turns an instance into a value that can be serialized, such as a tuple of its
            fields.
        decode: turns that value into an equal instance again.
        name: the name of the type in messages; its qualified name by default. A type that is
            registered again, or another one under the same name, takes the earlier one's place.

    Raises:
        UsageError: values of that type are serialized already, or need `encode` and `decode`.

    Example:
        >>> class Temperature:
        ...     def __init__(self, kelvin):
        ...         self.kelvin = kelvin
        >>> pando.register_type(Temperature, lambda t: t.kelvin, Temperature)
        >>> list(pando.map(lambda t: t.kelvin - 273.15, [Temperature(300.15)]))
        [27.0]
    """
    from .kinds import is_built_in

    if is_built_in(type):
        raise UsageError(f"values of type {type.__name__} are serialized already")
    if (encode is None) != (decode is None):
        raise UsageError(f"register {type.__qualname__} with both encode and decode, or neither")
    registration = Registration(name or type.__qualname__, type, encode, decode)
    if encode is None:
        _check_shape(registration)
    REGISTERED.add(registration)


def _check_shape(registration: Registration) -> None:
    kind = registration.type.__qualname__
    if kind_of_class(registration.type) is None:
        raise UsageError(
            f"register {kind} with encode and decode: it is no named tuple, dataclass or "
            "enumeration"
        )
    try:
        assert registration.shape
    except UnsupportedValueError as error:
        raise UsageError(f"register {kind} with encode and decode: {error}") from None


def registered_types() -> list[Registration]:
    """List what was given to `register_type`, in that order."""
    return list(REGISTERED)
