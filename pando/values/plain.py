"""The types of Python's own library that are serialized as extension types."""

from __future__ import annotations

import collections
import datetime
import sys
from collections.abc import Callable

from ..errors import MalformedValueError, UnsupportedValueError
from .extensions import Extension

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .extensions import Coder, Decoder, Encoder

NATIVE_TYPES = (bool, int, float, str, bytes, list, dict, bytearray)
"""What the packer takes without asking for an extension type."""
ZONE_SEPARATOR = "|"
FACTORIES: dict[str | None, Callable[[], Any] | None] = {
    None: None,
}
FACTORIES.update(
    (factory.__name__, factory)
    for factory in (
        bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset,
        collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque,
    )
)  # fmt: skip
"""What may make the missing values of a `defaultdict`."""


def full_name(kind: type) -> str:
    """Return the name of a class with its module's."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _encode_big_int(codec: Coder, value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _decode_big_int(codec: Coder, data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _encode_sequence(codec: Coder, value: Any) -> bytes:
    return codec.encode(list(value))


# ---- dates and times ----


def _encode_moment(codec: Coder, value: datetime.datetime | datetime.time) -> bytes:
    """ISO format, then the fold, then the name of the time zone where it has one."""
    kind = type(value.tzinfo)
    key = getattr(value.tzinfo, "key", None) if kind.__module__.startswith("zoneinfo") else None
    if value.tzinfo is not None and key is None and kind is not datetime.timezone:
        raise UnsupportedValueError(
            f"a time zone of type {full_name(kind)} cannot be serialized: "
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


def _encode_timedelta(codec: Coder, value: datetime.timedelta) -> bytes:
    return codec.encode([value.days, value.seconds, value.microseconds])


# ---- numbers and paths ----


def _decode_decimal(codec: Coder, data: bytes) -> Any:
    import decimal

    return decimal.Decimal(data.decode())


def _decode_uuid(codec: Coder, data: bytes) -> Any:
    import uuid

    return uuid.UUID(bytes=bytes(data))


def _encode_fraction(codec: Coder, value: Any) -> bytes:
    return codec.encode([value.numerator, value.denominator])


def _decode_fraction(codec: Coder, data: bytes) -> Any:
    from fractions import Fraction

    numerator, denominator = codec.decode(data)
    if type(numerator) is not int or type(denominator) is not int or denominator < 1:
        raise MalformedValueError("not a fraction of integers")
    # Making it by a call divides by the greatest common divisor, which may not end.
    fraction: Any = object.__new__(Fraction)
    fraction._numerator = numerator
    fraction._denominator = denominator
    return fraction


def _decode_range(codec: Coder, data: bytes) -> range:
    start, stop, step = codec.decode(data)
    if not type(start) is type(stop) is type(step) is int:
        raise MalformedValueError("not a range of integers")
    return range(start, stop, step)


def _encode_path(codec: Coder, value: Any) -> bytes:
    import pathlib

    is_windows = isinstance(value, pathlib.PureWindowsPath)
    if is_windows and pathlib.PureWindowsPath(str(value)) != value:
        raise UnsupportedValueError(
            f"the path {str(value)!r} cannot be serialized: pathlib reads its text as another one"
        )
    return codec.encode([isinstance(value, pathlib.Path), is_windows, str(value)])


def _decode_path(codec: Coder, data: bytes) -> Any:
    """Decode a path; one of another kind of system is a pure one here."""
    import pathlib

    is_concrete, is_windows, text = codec.decode(data)
    if not type(is_concrete) is type(is_windows) is bool or type(text) is not str:
        raise MalformedValueError("not a kind and a text")
    if is_concrete and is_windows == (sys.platform == "win32"):
        return pathlib.Path(text)
    return (pathlib.PureWindowsPath if is_windows else pathlib.PurePosixPath)(text)


# ---- containers ----


def _encode_dict(codec: Coder, value: dict[Any, Any]) -> bytes:
    return codec.encode(dict(value))


def _decode_dict(codec: Coder, data: bytes) -> dict[Any, Any]:
    found = codec.decode(data)
    if type(found) is not dict:
        raise MalformedValueError("not keys and values")
    return found


def _decode_counter(codec: Coder, data: bytes) -> Any:
    counter: collections.Counter[Any] = collections.Counter()
    dict.update(counter, _decode_dict(codec, data))
    return counter


def _encode_default_dict(codec: Coder, value: Any) -> bytes:
    factory = value.default_factory
    name = getattr(factory, "__name__", None)
    if FACTORIES.get(name) is not factory:
        raise UnsupportedValueError(
            "a defaultdict whose factory is no built-in type cannot be serialized: "
            "convert it with dict(…)"
        )
    return codec.encode([name, dict(value)])


def _decode_default_dict(codec: Coder, data: bytes) -> Any:
    name, found = codec.decode(data)
    if type(name) not in (str, type(None)) or type(found) is not dict:
        raise MalformedValueError("not a factory with keys and values")
    return collections.defaultdict(FACTORIES[name], found)


def _encode_deque(codec: Coder, value: collections.deque[Any]) -> bytes:
    return codec.encode([value.maxlen, list(value)])


def _decode_deque(codec: Coder, data: bytes) -> collections.deque[Any]:
    maxlen, members = codec.decode(data)
    if type(members) is not list:
        raise MalformedValueError("not a list")
    if maxlen is not None and (type(maxlen) is not int or maxlen < len(members)):
        raise MalformedValueError("more members than there may be")
    return collections.deque(members, maxlen)


ENCODERS: dict[type, Encoder] = {
    int: (Extension.BIG_INT, _encode_big_int),
    tuple: (Extension.TUPLE, _encode_sequence),
    set: (Extension.SET, _encode_sequence),
    frozenset: (Extension.FROZENSET, _encode_sequence),
    complex: (Extension.COMPLEX, lambda codec, value: codec.encode([value.real, value.imag])),
    datetime.datetime: (Extension.DATETIME, _encode_moment),
    datetime.date: (Extension.DATE, lambda codec, value: value.isoformat().encode()),
    datetime.time: (Extension.TIME, _encode_moment),
    datetime.timedelta: (Extension.TIMEDELTA, _encode_timedelta),
    range: (
        Extension.RANGE,
        lambda codec, value: codec.encode([value.start, value.stop, value.step]),
    ),
    collections.OrderedDict: (Extension.ORDERED_DICT, _encode_dict),
    collections.Counter: (Extension.COUNTER, _encode_dict),
    collections.defaultdict: (Extension.DEFAULT_DICT, _encode_default_dict),
    collections.deque: (Extension.DEQUE, _encode_deque),
}
"""What makes the bytes of an extension type; late ones are added when there is such a value."""

# Modules that take long to import; where there is such a value, they have been imported.
LATE_ENCODERS: dict[str, Encoder] = {
    "decimal.Decimal": (Extension.DECIMAL, lambda codec, value: str(value).encode()),
    "uuid.UUID": (Extension.UUID, lambda codec, value: value.bytes),
    "fractions.Fraction": (Extension.FRACTION, _encode_fraction),
    **{
        f"{module}.{name}": (Extension.PATH, _encode_path)
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
}

DECODERS: dict[int, Decoder] = {
    Extension.BIG_INT: _decode_big_int,
    Extension.TUPLE: lambda codec, data: tuple(codec.decode(data)),
    Extension.SET: lambda codec, data: set(codec.decode_hashable(data)),
    Extension.FROZENSET: lambda codec, data: frozenset(codec.decode_hashable(data)),
    Extension.COMPLEX: lambda codec, data: complex(*codec.decode(data)),
    Extension.DATETIME: lambda codec, data: _decode_moment(datetime.datetime, data),
    Extension.DATE: lambda codec, data: datetime.date.fromisoformat(data.decode()),
    Extension.TIME: lambda codec, data: _decode_moment(datetime.time, data),
    Extension.TIMEDELTA: lambda codec, data: datetime.timedelta(*codec.decode(data)),
    Extension.DECIMAL: _decode_decimal,
    Extension.UUID: _decode_uuid,
    Extension.BYTEARRAY: lambda codec, data: bytearray(data),
    Extension.RANGE: _decode_range,
    Extension.FRACTION: _decode_fraction,
    Extension.PATH: _decode_path,
    Extension.ORDERED_DICT: lambda codec, data: collections.OrderedDict(_decode_dict(codec, data)),
    Extension.COUNTER: _decode_counter,
    Extension.DEFAULT_DICT: _decode_default_dict,
    Extension.DEQUE: _decode_deque,
}
