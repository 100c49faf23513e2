"""Polars' frames and series: columns as NumPy arrays or lists, with the type of each in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy
import polars

from ..errors import MalformedValueError, UnsupportedValueError
from .extensions import Extension

if TYPE_CHECKING:
    from .extensions import Coder, Decoder, Encoder

NUMBERS = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64",
           "Float32", "Float64", "Boolean")  # fmt: skip
SIMPLE = (*NUMBERS, "String", "Binary", "Date", "Time", "Null", "Categorical")
TEMPORAL = ("Datetime", "Duration", "Time", "Date")
MAX_DEPTH = 16
"""How deeply lists and structures may be nested in a column."""

ENCODED = {polars.DataFrame, polars.Series}
"""The types that are serialized; none that is derived from them."""


def encoder_of(kind: type) -> Encoder | None:
    """Return what encodes values of a type of this library's, if anything does."""
    return (Extension.POLARS, _encode) if kind in ENCODED else None


def _encode(codec: Coder, value: Any) -> bytes:
    """Encode a frame or a series."""
    if type(value) is polars.Series:
        return codec.encode(["series", _describe_series(value)])
    series = [_describe_series(each) for each in value.get_columns()]
    return codec.encode(["frame", series])


def _decode(codec: Coder, data: bytes) -> Any:
    """Decode what `encode` was given."""
    kind, content = codec.decode_hashable(data)
    if kind == "series":
        return _make_series(*content)
    if kind != "frame":
        raise MalformedValueError("neither a frame nor a series")
    return polars.DataFrame([_make_series(*each) for each in content])


# ---- types ----


def _describe_type(dtype: Any, depth: int = 0) -> list[Any]:
    """Describe a type's name and its parameters."""
    name = type(dtype).__name__
    is_inner = depth > 0
    if depth > MAX_DEPTH or (is_inner and (name in ("Time", "Categorical") or _counts_ns(dtype))):
        pass
    elif name in SIMPLE:
        return [name]
    elif name == "Datetime":
        return [name, dtype.time_unit, dtype.time_zone]
    elif name == "Duration":
        return [name, dtype.time_unit]
    elif name == "Decimal":
        return [name, dtype.precision, dtype.scale]
    elif name == "Enum":
        return [name, dtype.categories.to_list()]
    elif name == "List":
        return [name, _describe_type(dtype.inner, depth + 1)]
    elif name == "Array":
        return [name, _describe_type(dtype.inner, depth + 1), dtype.size]
    elif name == "Struct":
        fields = [[each.name, _describe_type(each.dtype, depth + 1)] for each in dtype.fields]
        return [name, fields]
    raise UnsupportedValueError(
        f"a Polars column of type {dtype} cannot be serialized: convert the frame with .to_dicts()"
    )


def _counts_ns(dtype: Any) -> bool:
    """Tell whether Python's own times are too coarse for it."""
    return getattr(dtype, "time_unit", "") == "ns"


def _make_type(description: Any, depth: int = 0) -> Any:
    name, *parameters = description
    if depth > MAX_DEPTH:
        raise MalformedValueError("a type that is nested too deeply")
    if name in SIMPLE and not parameters:
        return getattr(polars, name)()
    if name in ("Datetime", "Duration", "Decimal", "Enum"):
        return getattr(polars, name)(*parameters)
    if name == "List":
        return polars.List(_make_type(parameters[0], depth + 1))
    if name == "Array":
        return polars.Array(_make_type(parameters[0], depth + 1), parameters[1])
    if name == "Struct":
        fields = [polars.Field(each, _make_type(inner, depth + 1)) for each, inner in parameters[0]]
        return polars.Struct(fields)
    raise MalformedValueError("a type that there is not")


# ---- series ----


def _describe_series(series: Any) -> list[Any]:
    """Its name, its type, its values, and which of them are missing."""
    description = _describe_type(series.dtype)
    name = description[0]
    if name not in NUMBERS and name not in TEMPORAL:
        return [series.name, description, series.to_list(), None]
    numbers = series.to_physical()
    mask = None
    if numbers.null_count():
        mask = numbers.is_null().to_numpy()
        numbers = numbers.fill_null(False if name == "Boolean" else 0)
    return [series.name, description, numbers.to_numpy(), mask]


def _make_series(name: Any, description: Any, content: Any, mask: Any) -> Any:
    dtype = _make_type(description)
    if type(content) is list:
        return polars.Series(name, content, dtype, strict=True)
    if type(content) is not numpy.ndarray or content.ndim != 1 or content.dtype.kind not in "biuf":
        raise MalformedValueError("a column that is neither a list nor an array of numbers")
    series = polars.Series(name, content)
    if mask is not None:
        if type(mask) is not numpy.ndarray or mask.dtype.kind != "b" or mask.shape != content.shape:
            raise MalformedValueError("a mask of another shape")
        series = series.set(polars.Series(mask), None)
    return series.cast(dtype)


DECODERS: dict[int, Decoder] = {Extension.POLARS: _decode}
