"""Encoding and decoding: the two calls, and the values that hold others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgpack

from ..errors import (
    MalformedValueError,
    UnavailableValueError,
    UnsupportedValueError,
    shorten,
)
from . import bytearrays, kinds, plain
from .careful import ALL_DICTS, TEXT_ERRORS, refuse_extension, unpack_with_care
from .collisions import (
    MAX_UNCHECKED,
    SHORTEST_UNCHECKED,
    TOO_LONG,
    LookAgainError,
    check_hashes,
)
from .extensions import EXTENSION_NAMES, Extension
from .registry import REGISTERED, Registration, Registry
from .shapes import Shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .extensions import Coder, Decoder

MAX_NESTING = 64
"""How many extension types may be nested: each takes 50 kB of the stack while it is decoded."""
KEPT_BYTES = 1 << 18
"""The most that a packer which is used again may hold on to."""
TOO_DEEP = "the value is nested too deeply to be serialized"


class InvalidItem:
    """An item that could not be read; it takes the item's place, so that it fails alone.

    Encoding it raises UnsupportedValueError with the reason.
    """

    def __init__(self, text: str, reason: str) -> None:
        self.text = text
        self.reason = reason

    def __repr__(self) -> str:
        return shorten(self.text)


class _Held:
    """Something that must not be hashed while it is decoded: its class defines its own hash."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any) -> None:
        self.value = value


class _State:
    """A thread's calls of `encode` and `decode` that are under way, one inside the other.

    Attributes:
        levels: how many there are.
        packers: a packer for each level, to be used again.
        strangers: how many instances of classes with a hash of their own there have been.
        care: how keys are looked at while decoding: not where 0, else see `careful`.
    """

    __slots__ = ("care", "levels", "packers", "strangers")

    def __init__(self) -> None:
        self.care = 0
        self.levels = 0
        self.packers: list[msgpack.Packer | None] = [None] * MAX_NESTING
        self.strangers = 0


class _Threads(threading.local):
    """Each thread's state, in a plain object: attributes of this one are slow to get."""

    def __init__(self) -> None:
        self.state = _State()


class Codec:
    """Encodes and decodes values, among them instances of the classes of a registry.

    Args:
        registry: the classes, which may be added to later.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._threads = _Threads()
        self._has_strangers = False

    def encode(self, value: Any) -> bytes:
        """Encode one value as MessagePack.

        Raises:
            UnsupportedValueError: the value, or one inside it, is of a type that cannot be
                serialized.
        """
        state = self._threads.state
        level = state.levels
        if level == MAX_NESTING:
            raise UnsupportedValueError(TOO_DEEP)
        strangers = state.strangers
        state.levels = level + 1
        try:
            packed = self._pack(value, state, level)
            if bytearrays.is_inside(value, packed):
                packed = self._pack(_mark_bytearrays(value), state, level)
        finally:
            state.levels = level
        if level == 0 and state.strangers != strangers:
            self._check(packed)
        return packed

    def decode(self, data: bytes | memoryview) -> Any:
        """Decode the value that `encode` was given.

        Raises:
            MalformedValueError: the bytes are not one encoded value.
        """
        state = self._threads.state
        level = state.levels
        if level == MAX_NESTING:
            raise MalformedValueError("not an encoded value: it is nested too deeply")
        strangers = state.strangers
        state.levels = level + 1
        try:
            if state.care and len(data) >= SHORTEST_UNCHECKED:
                value = unpack_with_care(data, state.care, self._decode_extension)
            else:
                value = msgpack.unpackb(
                    data,
                    ext_hook=self._decode_extension,
                    strict_map_key=False,
                    unicode_errors=TEXT_ERRORS,
                    max_map_len=MAX_UNCHECKED,
                )
            return value if state.strangers == strangers else _release(value)
        except MalformedValueError:
            raise
        except Exception as error:
            # Anything can come out of a decoder that is fed hostile bytes; none of it is ours.
            if state.care == ALL_DICTS or not _asks_for_care(error):
                raise MalformedValueError(f"not an encoded value: {_line(error)}") from None
            if level > 0:  # a second look at each level would take twice as long with each
                raise LookAgainError from None
        finally:
            state.levels = level
        return self._decode_with_more_care(data, state)

    def _decode_with_more_care(self, data: bytes | memoryview, state: _State) -> Any:
        state.care += 1
        try:
            return self.decode(data)
        finally:
            state.care -= 1

    def decode_hashable(self, data: bytes | memoryview) -> Any:
        """Decode a list whose members will be hashed.

        Raises:
            MalformedValueError: they, or what is in them, have a hash of their own.
        """
        strangers = self._threads.state.strangers
        members = self.decode(data)
        if self._threads.state.strangers != strangers:
            raise MalformedValueError("a key of a class that has its own __hash__ or __eq__")
        check_hashes(members)
        return members

    def find_unsupported(self, values: Sequence[Any]) -> dict[int, UnsupportedValueError]:
        """Find which of the values cannot be serialized, by position, each with its reason."""
        unsupported = {}
        for position, value in enumerate(values):
            try:
                self.encode(value)
            except UnsupportedValueError as error:
                unsupported[position] = error
        return unsupported

    # ---- encoding ----

    def _pack(self, value: Any, state: _State, level: int) -> bytes:
        packer = state.packers[level]
        if packer is None:
            packer = state.packers[level] = msgpack.Packer(
                default=self._encode_extension, strict_types=True
            )
        try:
            try:
                packed: bytes = packer.pack(value)
            except UnicodeEncodeError:
                packed = msgpack.packb(
                    value,
                    default=self._encode_extension,
                    strict_types=True,
                    unicode_errors=TEXT_ERRORS,
                )
        except UnsupportedValueError:
            raise
        except (RecursionError, ValueError, OverflowError) as error:
            if isinstance(error, ValueError) and "recursion" not in str(error):
                raise UnsupportedValueError(
                    f"the value is too large to be serialized: {error}"
                ) from None
            raise UnsupportedValueError(TOO_DEEP) from None
        except BufferError:
            raise UnsupportedValueError(
                "a memoryview of bytes with gaps between them cannot be serialized: "
                "convert it with bytes(…)"
            ) from None
        if len(packed) > KEPT_BYTES:
            state.packers[level] = None
        return packed

    def _check(self, packed: bytes) -> None:
        """Refuse now what would be refused where it is decoded."""
        try:
            self.decode(packed)
        except MalformedValueError:
            raise UnsupportedValueError(
                "a set or dict cannot be serialized while its keys are of a class that has its own "
                "__hash__ or __eq__: convert it with list(…), or see pando.register_type"
            ) from None

    def _encode_extension(self, value: Any) -> msgpack.ExtType:
        kind = type(value)
        encoder = plain.ENCODERS.get(kind) or kinds.encoder_of(kind)
        if encoder is not None:
            code, to_bytes = encoder
            return msgpack.ExtType(code, to_bytes(self, value))
        if kind is InvalidItem:
            raise UnsupportedValueError(value.reason)
        registration = self.registry.of_type(kind)
        if registration is not None:
            return self._encode_registered(registration, value)
        from .refusals import why_unsupported

        raise UnsupportedValueError(why_unsupported(kind))

    def _encode_registered(self, registration: Registration, value: Any) -> msgpack.ExtType:
        kind = plain.full_name(registration.type)
        if registration.encode is None:
            try:
                shape = registration.shape
                parts = shape.take_apart(value)
            except UnsupportedValueError as error:
                raise UnsupportedValueError(
                    f"a value of type {kind} cannot be serialized: {error}; see pando.register_type"
                ) from None
            self._note_stranger(shape)
            return msgpack.ExtType(shape.code, self.encode([registration.name, *parts]))
        try:
            fields = registration.encode(value)
        except Exception as error:
            raise UnsupportedValueError(
                f"a value of type {kind} cannot be serialized: its encoder failed with "
                f"{type(error).__name__}: {error}"
            ) from error
        return msgpack.ExtType(Extension.REGISTERED, self.encode([registration.name, fields]))

    # ---- decoding ----

    def _decode_extension(self, code: int, data: bytes) -> Any:
        make = _FROM_MEMBERS.get(code)
        if make is not None and len(data) < SHORTEST_UNCHECKED:
            try:
                return make(msgpack.unpackb(data, ext_hook=refuse_extension))
            except Exception:  # it holds more, or is malformed: what follows tells
                pass
        strangers = self._threads.state.strangers if self._has_strangers else 0
        try:
            value = _DECODERS[code](self, data)
        except (MalformedValueError, LookAgainError):
            raise
        except ImportError as error:
            raise UnavailableValueError(f"{error.name} is not installed") from None
        except Exception as error:
            if type(error).__name__ == "ZoneInfoNotFoundError":
                raise UnavailableValueError(f"{_line(error)}") from None
            name = EXTENSION_NAMES.get(code, f"unknown extension {code}")
            raise MalformedValueError(f"not an encoded {name}: {_line(error)}") from None
        if self._has_strangers and self._threads.state.strangers != strangers:
            return _Held(value)
        return value

    def _decode_instance(self, code: int, data: bytes) -> Any:
        name, *parts = self.decode(data)
        registration = self._named(name)
        if registration.encode is not None or registration.shape.code != code:
            raise MalformedValueError(f"a value of the type {name!r}, which is another one here")
        self._note_stranger(registration.shape)
        return registration.shape.make(parts)

    def _note_stranger(self, shape: Shape) -> None:
        if shape.hashes_itself:
            self._has_strangers = True
            self._threads.state.strangers += 1

    def _decode_registered(self, data: bytes) -> Any:
        name, fields = self.decode(data)
        registration = self._named(name)
        if registration.decode is None:
            raise MalformedValueError(f"a value of the type {name!r}, which is another one here")
        return registration.decode(fields)

    def _named(self, name: object) -> Registration:
        registration = self.registry.named(name) if type(name) is str else None
        if registration is None:
            shown = shorten(name) if type(name) is str else "of no name"
            raise UnavailableValueError(
                f"a value of the type {shown}, which is not registered here: "
                "call pando.register_type before the run starts"
            )
        return registration


def _mark_bytearrays(value: Any) -> Any:
    try:
        return bytearrays.mark(value)
    except RecursionError:
        raise UnsupportedValueError(TOO_DEEP) from None


def _release(value: Any) -> Any:
    """Put what was held back into its place: in lists and dicts, but nowhere as a key."""
    kind = type(value)
    if kind is _Held:
        return value.value
    if kind is list or kind is dict:
        for place, member in enumerate(value) if kind is list else list(value.items()):
            if type(member) in (_Held, list, dict):
                value[place] = _release(member)
    return value


def _asks_for_care(error: Exception) -> bool:
    """Whether a dict is so long, or hashes are so often equal, that its keys need a closer look."""
    kind = type(error)
    return kind is LookAgainError or (kind is ValueError and TOO_LONG in _line(error))


def _line(error: Exception) -> str:
    """Return an error's text in one line, or its type where the text could run foreign code."""
    if all(type(argument) in (str, int) for argument in error.args):
        return str(error).partition("\n")[0]
    return type(error).__name__


def _late_decoder(code: int, module: str) -> Decoder:
    """Return a decoder that imports a library with its first value, and is then replaced."""

    def decode_late(codec: Coder, data: bytes) -> Any:
        decoder: Decoder = kinds.module_of(module).DECODERS[code]
        _DECODERS[code] = decoder
        return decoder(codec, data)

    return decode_late


_FROM_MEMBERS: dict[int, Callable[[list[Any]], Any]] = {
    Extension.TUPLE: tuple,
    Extension.COMPLEX: lambda members: complex(*members),
}
"""What is common and small, and holds no more than plain values most often: then one call does."""

_DECODERS: dict[int, Callable[[Any, bytes], Any]] = {
    **plain.DECODERS,
    Extension.NUMPY_ARRAY: _late_decoder(Extension.NUMPY_ARRAY, "arrays"),
    Extension.NUMPY_SCALAR: _late_decoder(Extension.NUMPY_SCALAR, "arrays"),
    Extension.REGISTERED: Codec._decode_registered,
    Extension.NAMED_TUPLE: lambda codec, data: codec._decode_instance(Extension.NAMED_TUPLE, data),
    Extension.DATACLASS: lambda codec, data: codec._decode_instance(Extension.DATACLASS, data),
    Extension.ENUM: lambda codec, data: codec._decode_instance(Extension.ENUM, data),
    Extension.PANDAS: _late_decoder(Extension.PANDAS, "pandas_frames"),
    Extension.POLARS: _late_decoder(Extension.POLARS, "polars_frames"),
}

_default = Codec(REGISTERED)
encode = _default.encode
decode = _default.decode
find_unsupported = _default.find_unsupported
