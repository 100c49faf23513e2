"""NumPy's arrays and scalars as bytes, with their dtype, shape and order in memory."""

from __future__ import annotations

import numpy

from ..errors import MalformedValueError, UnsupportedValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

KINDS = frozenset("biufcmMSU")
"""NumPy's kinds of elements that are plain bytes."""


def is_array(value: Any) -> bool:
    """Whether it is an array, or a record array, and not of a class derived from them."""
    return type(value) in (numpy.ndarray, numpy.recarray)


def is_scalar(value: Any) -> bool:
    """Whether it is an element of an array."""
    return isinstance(value, numpy.generic)


def array_parts(value: Any) -> list[Any]:
    is_fortran = value.flags.f_contiguous and not value.flags.c_contiguous
    order: Literal["C", "F"] = "F" if is_fortran else "C"
    parts = [_describe(value.dtype), list(value.shape), value.tobytes(order)]
    if is_fortran or type(value) is numpy.recarray:
        parts += [is_fortran, type(value) is numpy.recarray]
    return parts


def scalar_parts(value: Any) -> list[Any]:
    return [_describe(value.dtype), value.tobytes()]


def make_array(parts: Any) -> Any:
    description, shape, raw, *rest = parts
    is_fortran, is_record = rest or (False, False)
    order: Literal["C", "F"] = "F" if is_fortran else "C"
    array = numpy.frombuffer(raw, _dtype(description)).reshape(shape, order=order).copy(order)
    return array.view(numpy.recarray) if is_record else array


def make_scalar(parts: Any) -> Any:
    description, raw = parts
    dtype = _dtype(description)
    return numpy.frombuffer(raw, dtype, count=1)[0] if dtype.itemsize else dtype.type()


def _is_plain(dtype: Any) -> bool:
    if dtype.subdtype is not None:
        return _is_plain(dtype.subdtype[0])
    if dtype.names is not None:
        return all(_is_plain(dtype.fields[name][0]) for name in dtype.names)
    return dtype.kind in KINDS


def _describe(dtype: Any) -> Any:
    """What makes the dtype again: a short text, or a list for the fields of a record.

    Raises:
        UnsupportedValueError: its elements are more than plain bytes.
    """
    if not _is_plain(dtype):
        raise UnsupportedValueError(
            f"NumPy values of dtype {dtype} cannot travel: return value.tolist() instead"
        )
    description = numpy.lib.format.dtype_to_descr(dtype)
    if numpy.lib.format.descr_to_dtype(description) != dtype:
        raise UnsupportedValueError(
            f"NumPy values of dtype {dtype} cannot travel: its layout cannot be described"
        )
    return description


def _dtype(description: Any) -> Any:
    dtype = numpy.lib.format.descr_to_dtype(description)
    if not _is_plain(dtype):
        raise MalformedValueError(f"NumPy values of dtype {dtype} cannot travel")
    return dtype
