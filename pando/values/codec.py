"""The codec of items and results: Python values as MessagePack, types kept exactly.

MessagePack's own types stand for None, bool, int (64 bits), float, str, bytes, list and dict.
Everything else is an extension type; its codes are in `Extension`, and both ends of a channel
must agree on them. Nothing is ever unpickled or evaluated: decoding bytes of an unknown origin
gives a value or raises `MalformedValueError`. Only bytearrays and memoryviews change: they arrive
as bytes.
"""

from __future__ import annotations

import datetime
import sys
import threading
from collections.abc import Callable, Sequence

import msgpack

from ..errors import MalformedValueError, UnsupportedValueError, UsageError, shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Encoder = tuple[int, Callable[[Any], bytes]]
    """An extension's code, and what makes its bytes."""

ZONE_SEPARATOR = "|"
MAX_NESTING = 64
"""How many extension types may be nested: each takes 50 kB of the stack while it is decoded."""


class Extension:
    """The codes of MessagePack's application-specific extension types."""

    BIG_INT = 1
    TUPLE = 2
    SET = 3
    FROZENSET = 4
    COMPLEX = 5
    DATETIME = 6
    DATE = 7
    TIME = 8
    TIMEDELTA = 9
    DECIMAL = 10
    UUID = 11
    NUMPY_ARRAY = 12
    NUMPY_SCALAR = 13
    REGISTERED = 14
    RANGE = 16
    FRACTION = 17
    PATH = 18
    ORDERED_DICT = 19
    COUNTER = 20
    DEFAULT_DICT = 21
    DEQUE = 22


class Registration:
    """A user's type that may travel: see `register_type`."""

    def __init__(
        self, name: str, type: type, encode: Callable[[Any], Any], decode: Callable[[Any], Any]
    ) -> None:
        self.name = name
        self.type = type
        self.encode = encode
        self.decode = decode


class _Nesting(threading.local):
    """How many calls of `encode` and `decode` are under way, one inside the other."""

    levels = 0


_nesting = _Nesting()
_by_type: dict[type, Registration] = {}
_by_name: dict[str, Registration] = {}


class Unreadable:
    """An item that could not be read; it takes the item's place, so that it fails alone.

    Encoding it raises UnsupportedValueError with the reason.
    """

    def __init__(self, text: str, reason: str) -> None:
        self.text = text
        self.reason = reason

    def __repr__(self) -> str:
        return shorten(self.text)


def register_type(
    type: type,
    encode: Callable[[Any], Any],
    decode: Callable[[Any], Any],
    *,
    name: str | None = None,
) -> None:
    """Let values of a type of your own travel as items and results.

    Call it before the run starts; the workers learn of it together with the function.

    Args:
        type: the class. Its subclasses are not included.
        encode: turns an instance into a value that can travel, such as a tuple of its fields.
        decode: turns that value into an equal instance again.
        name: what stands for the type in messages; its qualified name by default. A type that is
            registered again, or another one under the same name, takes the earlier one's place.

    Raises:
        UsageError: values of that type travel already.
    """
    if type in _PLAIN_TYPES or _encoder_of(type):
        raise UsageError(f"values of type {type.__name__} travel already")
    registration = Registration(name or type.__qualname__, type, encode, decode)
    for earlier in (_by_type.get(type), _by_name.get(registration.name)):
        if earlier is not None:
            _by_type.pop(earlier.type, None)
            _by_name.pop(earlier.name, None)
    _by_type[type] = registration
    _by_name[registration.name] = registration


def registered_types() -> list[Registration]:
    """All that has been given to `register_type`, in that order."""
    return list(_by_name.values())


def encode(value: Any) -> bytes:
    """One value as MessagePack.

    Raises:
        UnsupportedValueError: the value, or one inside it, is of a type that cannot travel.
    """
    if _nesting.levels == MAX_NESTING:
        raise UnsupportedValueError("the value is nested too deeply to travel")
    _nesting.levels += 1
    try:
        packed: bytes = msgpack.packb(
            value, default=_encode_extension, strict_types=True, unicode_errors="surrogatepass"
        )
    except UnsupportedValueError:
        raise
    except (RecursionError, ValueError, OverflowError) as error:
        if isinstance(error, ValueError) and "recursion" not in str(error):
            raise UnsupportedValueError(f"the value is too large to travel: {error}") from None
        raise UnsupportedValueError("the value is nested too deeply to travel") from None
    finally:
        _nesting.levels -= 1
    return packed


def decode(data: bytes | memoryview) -> Any:
    """The value that `encode` was given.

    Raises:
        MalformedValueError: the bytes are not one encoded value.
    """
    if _nesting.levels == MAX_NESTING:
        raise MalformedValueError("not an encoded value: it is nested too deeply")
    _nesting.levels += 1
    try:
        return msgpack.unpackb(
            data, ext_hook=_decode_extension, strict_map_key=False, unicode_errors="surrogatepass"
        )
    except MalformedValueError:
        raise
    except Exception as error:
        # Anything can come out of a decoder that is fed hostile bytes; none of it is ours.
        raise MalformedValueError(f"not an encoded value: {error}") from None
    finally:
        _nesting.levels -= 1


def find_unsupported(values: Sequence[Any]) -> dict[int, UnsupportedValueError]:
    """Which of the values cannot travel, by position, each with its reason."""
    unsupported = {}
    for position, value in enumerate(values):
        try:
            encode(value)
        except UnsupportedValueError as error:
            unsupported[position] = error
    return unsupported


def _encode_extension(value: Any) -> msgpack.ExtType:
    kind = type(value)
    encoder = _encoder_of(kind)
    if encoder is not None:
        code, to_bytes = encoder
        return msgpack.ExtType(code, to_bytes(value))
    if kind is Unreadable:
        raise UnsupportedValueError(value.reason)
    registration = _by_type.get(kind)
    if registration is not None:
        try:
            fields = registration.encode(value)
        except Exception as error:
            raise UnsupportedValueError(
                f"a value of type {_full_name(kind)} cannot travel: its encoder failed with "
                f"{type(error).__name__}: {error}"
            ) from error
        return msgpack.ExtType(Extension.REGISTERED, encode([registration.name, fields]))
    if kind.__module__ in ("numpy", "numpy.rec"):
        return _encode_numpy(value)
    raise UnsupportedValueError(_why_unsupported(kind))


def _why_unsupported(kind: type) -> str:
    name = kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)
    instead = _RETURN_INSTEAD.get(name)
    if instead is not None:
        return f"a value of type {name} cannot travel: return {instead} instead"
    base = next((b for b in kind.__mro__[1:] if b in _PLAIN_TYPES or _encoder_of(b)), None)
    hint = f"convert it with {base.__name__}(…) or " if base else ""
    return f"a value of type {name} cannot travel: {hint}see pando.register_type"


def _encoder_of(kind: type) -> Encoder | None:
    encoder = _ENCODERS.get(kind)
    if encoder is not None:
        return encoder
    late = _LATE_ENCODERS.get(_full_name(kind))
    if late is None or getattr(sys.modules.get(kind.__module__), kind.__name__, None) is not kind:
        return None
    _ENCODERS[kind] = late
    return late


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _decode_extension(code: int, data: bytes) -> Any:
    try:
        return _DECODERS[code](data)
    except MalformedValueError:
        raise
    except Exception as error:
        name = _EXTENSION_NAMES.get(code, f"unknown extension {code}")
        raise MalformedValueError(f"not an encoded {name}: {error}") from None


def _encode_big_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _decode_big_int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _encode_sequence(value: Any) -> bytes:
    return encode(list(value))


def _encode_moment(value: datetime.datetime | datetime.time) -> bytes:
    """ISO format, then the fold, then the name of the time zone where it has one."""
    kind = type(value.tzinfo)
    key = getattr(value.tzinfo, "key", None) if kind.__module__.startswith("zoneinfo") else None
    if value.tzinfo is not None and key is None and kind is not datetime.timezone:
        raise UnsupportedValueError(
            f"a time zone of type {_full_name(kind)} cannot travel: "
            "use datetime.timezone or zoneinfo.ZoneInfo"
        )
    if key is not None:
        value = value.replace(tzinfo=None)
    return ZONE_SEPARATOR.join([value.isoformat(), str(value.fold), key or ""]).encode()


def _decode_moment(kind: Any, data: bytes) -> Any:
    text, fold, key = data.decode().split(ZONE_SEPARATOR)
    moment = kind.fromisoformat(text).replace(fold=int(fold))
    if key:
        import zoneinfo

        moment = moment.replace(tzinfo=zoneinfo.ZoneInfo(key))
    return moment


def _encode_timedelta(value: datetime.timedelta) -> bytes:
    return encode([value.days, value.seconds, value.microseconds])


def _encode_numpy(value: Any) -> msgpack.ExtType:
    from . import arrays

    if arrays.is_array(value):
        return msgpack.ExtType(Extension.NUMPY_ARRAY, encode(arrays.array_parts(value)))
    if not arrays.is_scalar(value):
        raise UnsupportedValueError(_why_unsupported(type(value)))
    return msgpack.ExtType(Extension.NUMPY_SCALAR, encode(arrays.scalar_parts(value)))


def _decode_numpy(name: str) -> Callable[[bytes], Any]:
    def decode_numpy(data: bytes) -> Any:
        from . import arrays

        return getattr(arrays, name)(decode(data))

    return decode_numpy


def _encode_standard(name: str) -> Callable[[Any], bytes]:
    """The encoder for values whose parts a function of `standard` gives."""

    def encode_standard(value: Any) -> bytes:
        from . import standard

        return encode(getattr(standard, name)(value))

    return encode_standard


def _decode_standard(name: str) -> Callable[[bytes], Any]:
    def decode_standard(data: bytes) -> Any:
        from . import standard

        return getattr(standard, name)(decode(data))

    return decode_standard


def _decode_decimal(data: bytes) -> Any:
    import decimal

    return decimal.Decimal(data.decode())


def _decode_uuid(data: bytes) -> Any:
    import uuid

    return uuid.UUID(bytes=bytes(data))


def _decode_registered(data: bytes) -> Any:
    name, fields = decode(data)
    registration = _by_name.get(name)
    if registration is None:
        raise MalformedValueError(f"a value of the type {name!r}, which is not registered here")
    return registration.decode(fields)


_PLAIN_TYPES = (bool, int, float, str, bytes, list, dict)

_EXTENSION_NAMES = {code: name for name, code in vars(Extension).items() if name.isupper()}

_ENCODERS: dict[type, Encoder] = {
    int: (Extension.BIG_INT, _encode_big_int),
    tuple: (Extension.TUPLE, _encode_sequence),
    set: (Extension.SET, _encode_sequence),
    frozenset: (Extension.FROZENSET, _encode_sequence),
    complex: (Extension.COMPLEX, lambda value: encode([value.real, value.imag])),
    datetime.datetime: (Extension.DATETIME, _encode_moment),
    datetime.date: (Extension.DATE, lambda value: value.isoformat().encode()),
    datetime.time: (Extension.TIME, _encode_moment),
    datetime.timedelta: (Extension.TIMEDELTA, _encode_timedelta),
    range: (Extension.RANGE, _encode_standard("range_parts")),
}

# Modules that take long to import: whoever has such a value has imported them.
_LATE_ENCODERS: dict[str, Encoder] = {
    "decimal.Decimal": (Extension.DECIMAL, lambda value: str(value).encode()),
    "uuid.UUID": (Extension.UUID, lambda value: value.bytes),
    "fractions.Fraction": (Extension.FRACTION, _encode_standard("fraction_parts")),
    "collections.OrderedDict": (Extension.ORDERED_DICT, _encode_standard("mapping_parts")),
    "collections.Counter": (Extension.COUNTER, _encode_standard("mapping_parts")),
    "collections.defaultdict": (Extension.DEFAULT_DICT, _encode_standard("default_dict_parts")),
    "collections.deque": (Extension.DEQUE, _encode_standard("deque_parts")),
    **{
        f"{module}.{name}": (Extension.PATH, _encode_standard("path_parts"))
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
}

_DECODERS: dict[int, Callable[[bytes], Any]] = {
    Extension.BIG_INT: _decode_big_int,
    Extension.TUPLE: lambda data: tuple(decode(data)),
    Extension.SET: lambda data: set(decode(data)),
    Extension.FROZENSET: lambda data: frozenset(decode(data)),
    Extension.COMPLEX: lambda data: complex(*decode(data)),
    Extension.DATETIME: lambda data: _decode_moment(datetime.datetime, data),
    Extension.DATE: lambda data: datetime.date.fromisoformat(data.decode()),
    Extension.TIME: lambda data: _decode_moment(datetime.time, data),
    Extension.TIMEDELTA: lambda data: datetime.timedelta(*decode(data)),
    Extension.DECIMAL: _decode_decimal,
    Extension.UUID: _decode_uuid,
    Extension.NUMPY_ARRAY: _decode_numpy("make_array"),
    Extension.NUMPY_SCALAR: _decode_numpy("make_scalar"),
    Extension.REGISTERED: _decode_registered,
    Extension.RANGE: _decode_standard("make_range"),
    Extension.FRACTION: _decode_standard("make_fraction"),
    Extension.PATH: _decode_standard("make_path"),
    Extension.ORDERED_DICT: _decode_standard("make_ordered_dict"),
    Extension.COUNTER: _decode_standard("make_counter"),
    Extension.DEFAULT_DICT: _decode_standard("make_default_dict"),
    Extension.DEQUE: _decode_standard("make_deque"),
}

_RETURN_INSTEAD = {
    "generator": "list(…)",
    "map": "list(…)",
    "filter": "list(…)",
    "zip": "list(…)",
    "reversed": "list(…)",
    "dict_keys": "list(…)",
    "dict_values": "list(…)",
    "dict_items": "list(…)",
    "pandas.core.frame.DataFrame": 'df.to_dict("records")',
    "pandas.core.series.Series": "series.to_list()",
    "polars.dataframe.frame.DataFrame": "df.to_dicts()",
    "polars.series.series.Series": "series.to_list()",
}
"""What to return instead of a value of some types."""
