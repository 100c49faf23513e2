"""pandas' frames, series, indexes and times: columns as NumPy arrays or lists, never by pickle.

A description is a list whose first member says what it is. What has none, such as a column of
intervals, is refused.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy
import pandas

from ..errors import MalformedValueError, UnsupportedValueError
from .extensions import Extension

if TYPE_CHECKING:
    from .extensions import Coder, Decoder, Encoder

MASKED = {
    name: kind
    for kind, names in (
        (
            "IntegerArray",
            ["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"],
        ),
        ("FloatingArray", ["Float32", "Float64"]),
        ("BooleanArray", ["boolean"]),
    )
    for name in names
}
"""The classes of columns that have a mask, by the names of their dtypes."""
PLAIN_KINDS = frozenset("biufcmM")
INDEXES = (
    pandas.Index, pandas.RangeIndex, pandas.DatetimeIndex, pandas.TimedeltaIndex,
    pandas.CategoricalIndex, pandas.MultiIndex,
)  # fmt: skip

ENCODED = {
    pandas.DataFrame, pandas.Series, pandas.Timestamp, pandas.Timedelta, type(pandas.NaT),
    type(pandas.NA), *INDEXES,
}  # fmt: skip
"""The types that are serialized; none that is derived from them."""


def encoder_of(kind: type) -> Encoder | None:
    """Return what encodes values of a type of this library's, if anything does."""
    return (Extension.PANDAS, _encode) if kind in ENCODED else None


def _encode(codec: Coder, value: Any) -> bytes:
    """Encode a frame, a series, an index, or one of pandas' own scalars."""
    return codec.encode(_describe(value))


def _decode(codec: Coder, data: bytes) -> Any:
    """Decode what `encode` was given; what is in it must not define hashes."""
    kind, *parts = codec.decode_hashable(data)
    return _MAKERS[kind](*parts)


def _describe(value: Any) -> list[Any]:
    kind = type(value)
    if kind is pandas.DataFrame:
        return _describe_frame(value)
    if kind is pandas.Series:
        return ["series", _describe_index(value.index), _describe_column(value), value.name,
                *_describe_attributes(value)]  # fmt: skip
    if kind in INDEXES:
        return _describe_index(value)
    if value is pandas.NaT or value is pandas.NA:
        return ["missing", "NaT" if value is pandas.NaT else "NA"]
    if kind is pandas.Timestamp:
        moment = value.tz_convert("UTC").tz_localize(None) if value.tz is not None else value
        zone = None if value.tz is None else _describe_zone(value.tz)
        return ["timestamp", moment.asm8.view("i8").item(), value.unit, zone, value.fold]
    if kind is pandas.Timedelta:
        return ["timedelta", value.asm8.view("i8").item(), value.unit]
    raise AssertionError(kind)


def _describe_frame(frame: Any) -> list[Any]:
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    dtypes = [column.dtype for column in columns]
    if len(columns) > 1 and _is_plain(dtypes[0]) and dtypes.count(dtypes[0]) == len(dtypes):
        content: Any = frame.to_numpy()
    else:
        content = [_describe_column(column) for column in columns]
    index, names = _describe_index(frame.index), _describe_index(frame.columns)
    return ["frame", index, names, content, *_describe_attributes(frame)]


def _describe_attributes(value: Any) -> list[Any]:
    return [value.attrs, value.flags.allows_duplicate_labels]


# ---- columns ----


def _is_plain(dtype: Any) -> bool:
    return isinstance(dtype, numpy.dtype) and dtype.kind in PLAIN_KINDS


def _describe_column(holder: Any) -> list[Any]:
    """Describe the column of a series or an index."""
    dtype, column = holder.dtype, holder.array
    if _is_plain(dtype):
        return ["numpy", holder.to_numpy()]
    if isinstance(dtype, numpy.dtype):
        return ["object", list(column)]
    if isinstance(dtype, pandas.CategoricalDtype):
        categories = _describe_index(dtype.categories)
        return ["category", numpy.asarray(column.codes), categories, bool(dtype.ordered)]
    if isinstance(dtype, pandas.DatetimeTZDtype):
        moments = numpy.asarray(column.tz_convert("UTC").tz_localize(None))
        return ["zoned", moments, dtype.unit, _describe_zone(dtype.tz)]
    if isinstance(dtype, pandas.StringDtype):
        texts = [text if isinstance(text, str) else None for text in column]
        return ["string", texts, dtype.storage, dtype.na_value is pandas.NA]
    if dtype.name in MASKED and type(column).__name__ == MASKED[dtype.name]:
        return ["masked", dtype.name, column.to_numpy(dtype.numpy_dtype, na_value=0),
                numpy.asarray(column.isna())]  # fmt: skip
    raise UnsupportedValueError(
        f"a pandas column of dtype {dtype} cannot be serialized: convert it with "
        '.astype(str), or the frame with .to_dict("records")'
    )


def _make_column(description: Any) -> Any:
    kind, *parts = description
    return _COLUMN_MAKERS[kind](*parts)


def _make_plain(array: Any) -> Any:
    if type(array) is not numpy.ndarray or array.ndim != 1 or array.dtype.kind not in PLAIN_KINDS:
        raise MalformedValueError("a column that is no plain array")
    return array


def _make_objects(members: Any) -> Any:
    if type(members) is not list:
        raise MalformedValueError("a column that is no list")
    made = numpy.empty(len(members), object)
    for place, member in enumerate(members):
        made[place] = member
    return made


def _make_categories(codes: Any, categories: Any, ordered: Any) -> Any:
    dtype = pandas.CategoricalDtype(_make_index(*categories), ordered=ordered is True)
    return pandas.Categorical.from_codes(_make_plain(codes), dtype=dtype)


def _make_zoned(moments: Any, unit: Any, zone: Any) -> Any:
    utc = pandas.DatetimeIndex(_make_plain(moments)).as_unit(unit).tz_localize("UTC")
    return utc.tz_convert(_make_zone(zone)).array


def _make_strings(texts: Any, storage: Any, has_na: Any) -> Any:
    if type(texts) is not list or not {*map(type, texts)} <= {str, type(None)}:
        raise MalformedValueError("a column of strings that has others")
    missing = pandas.NA if has_na is True else numpy.nan
    try:
        dtype = pandas.StringDtype(storage, missing)
    except ImportError:  # of PyArrow, which the other side has
        dtype = pandas.StringDtype("python", missing)
    return pandas.array(texts, dtype=dtype)


def _make_masked(name: Any, data: Any, mask: Any) -> Any:
    kind = getattr(pandas.arrays, MASKED[name])
    return kind(_make_plain(data), _make_plain(mask))


_COLUMN_MAKERS: dict[str, Callable[..., Any]] = {
    "numpy": _make_plain,
    "object": _make_objects,
    "category": _make_categories,
    "zoned": _make_zoned,
    "string": _make_strings,
    "masked": _make_masked,
}


# ---- indexes ----


def _describe_index(index: Any) -> list[Any]:
    kind = type(index)
    if kind is pandas.RangeIndex:
        return ["range", index.start, index.stop, index.step, index.name]
    if kind is pandas.MultiIndex:
        levels = [_describe_index(level) for level in index.levels]
        return ["multi", levels, [numpy.asarray(code) for code in index.codes], list(index.names)]
    if kind not in INDEXES:
        raise UnsupportedValueError(
            f"a pandas {kind.__name__} cannot be serialized: convert it with .astype(str), or "
            "the frame with .reset_index()"
        )
    frequency = getattr(index, "freqstr", None)
    return ["index", _describe_column(index), index.name, frequency]


def _make_index(kind: Any, *parts: Any) -> Any:
    if kind not in ("range", "multi", "index"):
        raise MalformedValueError("not an index")
    return _MAKERS[kind](*parts)


def _make_range_index(start: Any, stop: Any, step: Any, name: Any) -> Any:
    if not type(start) is type(stop) is type(step) is int:
        raise MalformedValueError("not a range of integers")
    return pandas.RangeIndex(start, stop, step, name=name)


def _make_multi_index(levels: Any, codes: Any, names: Any) -> Any:
    made = [_make_index(*level) for level in levels]
    return pandas.MultiIndex(made, [_make_plain(code) for code in codes], names=names)


def _make_plain_index(column: Any, name: Any, frequency: Any) -> Any:
    made = _make_column(column)
    index = pandas.Index(made, dtype=made.dtype, name=name)
    if frequency is not None:
        index = index._with_freq(None)
        index.freq = frequency
    return index


# ---- whole values ----


def _make_frame(index: Any, names: Any, content: Any, *attributes: Any) -> Any:
    if type(content) is numpy.ndarray:
        if content.ndim != 2 or content.dtype.kind not in PLAIN_KINDS:
            raise MalformedValueError("columns that are no plain array")
        frame = pandas.DataFrame(content, index=_make_index(*index))
    else:
        columns = dict(enumerate(map(_make_column, content)))
        frame = pandas.DataFrame(columns, index=_make_index(*index))
    frame.columns = _make_index(*names)
    return _with_attributes(frame, *attributes)


def _make_series(index: Any, column: Any, name: Any, *attributes: Any) -> Any:
    made = _make_column(column)
    series = pandas.Series(made, index=_make_index(*index), dtype=made.dtype, name=name)
    return _with_attributes(series, *attributes)


def _with_attributes(value: Any, attributes: Any, allows_duplicates: Any) -> Any:
    if type(attributes) is not dict:
        raise MalformedValueError("attributes that are no dict")
    if attributes:
        value.attrs = attributes
    if allows_duplicates is False:
        value.flags.allows_duplicate_labels = False
    return value


def _make_timestamp(count: Any, unit: Any, zone: Any, fold: Any) -> Any:
    made = pandas.Timestamp(numpy.datetime64(count, unit))
    if zone is not None:
        made = made.tz_localize("UTC").tz_convert(_make_zone(zone))
    return made.replace(fold=fold) if fold and not made.fold else made


def _make_timedelta(count: Any, unit: Any) -> Any:
    return pandas.Timedelta(numpy.timedelta64(count, unit))


def _make_missing(name: Any) -> Any:
    return {"NaT": pandas.NaT, "NA": pandas.NA}[name]


_MAKERS: dict[str, Callable[..., Any]] = {
    "frame": _make_frame,
    "series": _make_series,
    "range": _make_range_index,
    "multi": _make_multi_index,
    "index": _make_plain_index,
    "timestamp": _make_timestamp,
    "timedelta": _make_timedelta,
    "missing": _make_missing,
}


# ---- time zones ----


def _describe_zone(zone: Any) -> Any:
    """Describe a time zone by its offset, or by the name that `zoneinfo` or pandas finds it by."""
    if type(zone) is datetime.timezone:
        return zone.utcoffset(None)
    name = getattr(zone, "key", None)
    if name is not None and type(zone).__module__.startswith("zoneinfo"):
        return [name]
    if pandas.DatetimeTZDtype(tz=str(zone)).tz is zone:
        return str(zone)
    raise UnsupportedValueError(
        f"a time zone of type {type(zone).__name__} cannot be serialized: "
        "use datetime.timezone or zoneinfo.ZoneInfo"
    )


def _make_zone(description: Any) -> Any:
    if type(description) is datetime.timedelta:
        return datetime.timezone(description)
    if type(description) is list:
        import zoneinfo

        return zoneinfo.ZoneInfo(description[0])
    if type(description) is not str:
        raise MalformedValueError("not a time zone")
    return pandas.DatetimeTZDtype(tz=description).tz


DECODERS: dict[int, Decoder] = {Extension.PANDAS: _decode}
