"""Each field of every message made absurd in turn, from the types themselves.

A field that is added is covered without anybody thinking of it: a type without bounds fails here.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import msgspec.inspect as types
import pytest

from pando import messages

KINDS: list[type] = [
    kind
    for union in (
        messages.ToBorrower,
        messages.FromBorrower,
        messages.Joining,
        messages.Membership,
    )
    for kind in typing.get_args(union)
]
LONG = 1 << 25
"""Nothing so long is made here; what may be longer need only have a bound."""
Absurd = Iterator[tuple[str, Any]]


def example(hint: types.Type) -> Any:
    """The plainest value that a type takes, as MessagePack has it."""
    match hint:
        case types.RawType():
            return []
        case types.IntType() | types.FloatType():
            return max(1 if isinstance(hint, types.IntType) else 1.0, hint.ge or 0)
        case types.StrType():
            return "x" * (hint.min_length or 0)
        case types.BytesType():
            return b"x" * (hint.min_length or 0)
        case types.BoolType():
            return False
        case types.NoneType():
            return None
        case types.ListType():
            return []
        case types.DictType():
            return {}
        case types.UnionType():
            return example(hint.types[0])
        case types.StructType():
            return [example(field.type) for field in hint.fields]
    raise NotImplementedError(f"fields of type {hint}")


def absurd(hint: types.Type, where: str) -> Absurd:
    """Values that a type must refuse; AssertionError where it has no bounds."""
    match hint:
        case types.RawType():
            pass  # whole, as it was found in a message, and as large as that may be
        case types.IntType():
            assert hint.ge is not None, f"{where} has no least value"
            assert hint.le is not None or hint.lt is not None, f"{where} has no largest value"
            yield where, hint.ge - 1
            yield where, (hint.le if hint.le is not None else hint.lt - 1) + 1
            yield from ((where, value) for value in (-(2**63), 2**64 - 1, 0.5, "1", None, []))
        case types.FloatType():
            assert hint.ge is not None or hint.gt is not None, f"{where} has no least value"
            assert hint.le is not None, f"{where} has no largest value"
            yield from ((where, value) for value in (math.nan, math.inf, -math.inf, -1.0, 1e300))
            yield where, "1"
        case types.StrType() | types.BytesType():
            empty: str | bytes = "x" if isinstance(hint, types.StrType) else b"x"
            assert hint.max_length is not None, f"{where} has no bound"
            if hint.max_length < LONG:
                yield where, empty * (hint.max_length + 1)
            yield from ((where, value) for value in (1, [], {}))
            if hint.min_length:
                yield where, empty * (hint.min_length - 1)
        case types.ListType():
            assert hint.max_length is not None, f"{where} has no bound"
            if hint.max_length < 1 << 20:
                yield where, [example(hint.item_type)] * (hint.max_length + 1)
            yield from ((where, value) for value in (1, "x", {1: 1}))
            for place, value in absurd(hint.item_type, f"{where}[]"):
                yield place, [value]
        case types.DictType():
            assert hint.max_length is not None, f"{where} has no bound"
            yield from ((where, value) for value in (1, "x", [1]))
            for place, value in absurd(hint.key_type, f"{where} (key)"):
                if not isinstance(value, list | dict):
                    yield place, {value: example(hint.value_type)}
            for place, value in absurd(hint.value_type, f"{where}{{}}"):
                yield place, {example(hint.key_type): value}
        case types.UnionType():
            taken = tuple(type(example(each)) for each in hint.types)
            for each in hint.types:
                yield from (
                    (place, value)
                    for place, value in absurd(each, where)
                    if type(value) not in taken or isinstance(value, int | float)
                )
        case types.StructType():
            fields = example(hint)
            for number, field in enumerate(hint.fields):
                for place, value in absurd(field.type, f"{where}.{field.name}"):
                    yield place, [*fields[:number], value, *fields[number + 1 :]]
        case types.BoolType():
            yield from ((where, value) for value in (1, "x", None, []))
        case types.NoneType():
            pass
        case _:
            raise NotImplementedError(f"fields of type {hint}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_absurd_field_is_refused(kind: type) -> None:
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    head = [info.tag]
    assert isinstance(messages.decode(msgspec.msgpack.encode([*head, *example(info)])), kind)
    for where, fields in absurd(info, kind.__name__):
        with pytest.raises(messages.MalformedMessageError):
            messages.decode(msgspec.msgpack.encode([*head, *fields]))
            pytest.fail(f"{where} takes {str(fields)[:200]}")
