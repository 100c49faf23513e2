"""NumPy's arrays and scalars, structured ones and record arrays among them; never of objects."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy

from ..errors import MalformedValueError, UnsupportedValueError
from .extensions import Extension

if TYPE_CHECKING:
    from .extensions import Coder, Decoder, Encoder

KINDS = frozenset("biufcmMSU")
"""NumPy's kinds of elements that are plain bytes: no objects, no records."""
STRUCTURES = {"v": numpy.void, "r": numpy.record}
"""The types of a structured element, by their codes."""
MAX_DEPTH = 16
"""How deeply structures may be nested."""
MAX_EMPTY = 65536
"""How many elements an array may have that take no bytes."""


def encoder_of(kind: type) -> Encoder | None:
    """Return what encodes values of a type of NumPy's, if anything does."""
    if kind is numpy.ndarray or kind is numpy.recarray:
        return Extension.NUMPY_ARRAY, _encode_array
    if issubclass(kind, numpy.generic) and kind is not numpy.object_:
        return Extension.NUMPY_SCALAR, _encode_scalar
    return None


def _encode_scalar(codec: Coder, value: Any) -> bytes:
    description = _describe(value.dtype, 0)
    data = value.tobytes() if value.dtype.names is None else _without_gaps(value).tobytes()
    return codec.encode([description, data])


def _encode_array(codec: Coder, array: Any) -> bytes:
    description = _describe(array.dtype, 0)
    if array.dtype.itemsize == 0 and array.size > MAX_EMPTY:
        raise UnsupportedValueError("an array of that many empty elements cannot be serialized")
    shape = list(array.shape)
    if array.dtype.names is not None:
        array = _without_gaps(array)
    is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    fields = [description, shape, array.tobytes("F" if is_fortran else "C")]
    if is_fortran or type(array) is numpy.recarray:
        fields += [is_fortran, type(array) is numpy.recarray]
    return codec.encode(fields)


def _describe(dtype: Any, depth: int) -> Any:
    """Describe a dtype as text, [kind, aligned, size, fields] or, for subarrays, [dtype, shape]."""
    if dtype.kind in KINDS:
        return dtype.str
    if dtype.hasobject or depth > MAX_DEPTH or dtype.kind != "V":
        raise UnsupportedValueError(
            f"NumPy values of dtype {dtype} cannot be serialized: convert them with .tolist()"
        )
    if dtype.subdtype is not None:
        element, shape = dtype.subdtype
        return [_describe(element, depth + 1), list(shape)]
    kind = next((each for each, found in STRUCTURES.items() if found is dtype.type), None)
    if dtype.names is None or kind is None:
        raise UnsupportedValueError(
            f"NumPy values of dtype {dtype} cannot be serialized: convert them with .tolist()"
        )
    fields = []
    for name in dtype.names:
        element, offset, *title = dtype.fields[name]
        fields.append([name, _describe(element, depth + 1), offset, *title])
    return [kind, dtype.isalignedstruct, dtype.itemsize, fields]


def _without_gaps(value: Any) -> Any:
    """Return a copy in whose gaps between fields there is nothing of what was in memory."""
    array = numpy.asanyarray(value)
    is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    order: Literal["C", "F"] = "F" if is_fortran else "C"
    clean = numpy.zeros(array.shape, array.dtype, order=order)
    _copy_fields(array, clean)
    return clean.view(type(array)) if type(array) is numpy.recarray else clean


def _copy_fields(source: Any, target: Any) -> None:
    if source.dtype.names is None:
        target[...] = source
        return
    for name in source.dtype.names:
        _copy_fields(numpy.asarray(source[name]), target[name])


def _read_dtype(description: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise MalformedValueError("a dtype that is nested too deeply")
    if type(description) is str:
        return _read_plain_dtype(description)
    if len(description) == 2:
        element, shape = description
        return numpy.dtype((_read_dtype(element, depth + 1), tuple(shape)))
    kind, aligned, size, fields = description
    dtype = numpy.dtype(
        {
            "names": [field[0] for field in fields],
            "formats": [_read_dtype(field[1], depth + 1) for field in fields],
            "offsets": [field[2] for field in fields],
            "titles": [field[3] if len(field) > 3 else None for field in fields],
            "itemsize": size,
        },
        align=bool(aligned),
    )
    return numpy.dtype((STRUCTURES[kind], dtype)) if kind != "v" else dtype


@functools.lru_cache(maxsize=64)
def _read_plain_dtype(text: str) -> Any:
    dtype = numpy.dtype(text)
    if dtype.kind not in KINDS:
        raise MalformedValueError(f"NumPy values of dtype {dtype} cannot be serialized")
    return dtype


def _decode_array(codec: Coder, data: bytes) -> Any:
    """Decode an array, which is its own and may be changed."""
    description, shape, raw, *more = codec.decode(data)
    is_fortran, is_record = more or (False, False)
    dtype = _read_dtype(description)
    order: Literal["C", "F"] = "F" if is_fortran else "C"
    if dtype.itemsize:
        # Viewing bytes as structures would ask what is in the gaps between their fields.
        array = numpy.frombuffer(bytearray(raw), dtype).reshape(shape, order=order)
    else:
        if math.prod(shape) > MAX_EMPTY:
            raise MalformedValueError("too many empty elements")
        array = numpy.zeros(shape, dtype, order=order)
    return array.view(numpy.recarray) if is_record else array


def _decode_scalar(codec: Coder, data: bytes) -> Any:
    """Decode a scalar."""
    description, raw = codec.decode(data)
    dtype = _read_dtype(description)
    if dtype.subdtype is not None:
        raise MalformedValueError("a scalar that is an array")
    if dtype.names is not None:
        return numpy.frombuffer(bytearray(raw), dtype, count=1)[0]
    return numpy.frombuffer(raw, dtype, count=1)[0] if dtype.itemsize else dtype.type()


DECODERS: dict[int, Decoder] = {
    Extension.NUMPY_ARRAY: _decode_array,
    Extension.NUMPY_SCALAR: _decode_scalar,
}
