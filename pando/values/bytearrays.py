"""Finding bytearrays, which MessagePack's packer takes for bytes without asking.

Looking at the type of each value would cost as much as packing it. So the packed bytes are looked
at first: where no byte could begin bytes, or where all are numbers of one width, there is none.
What is nested is then looked at layer by layer, each in a few steps.
"""

from __future__ import annotations

from itertools import chain
from operator import countOf

import msgpack

from .extensions import Extension

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

WIDTHS = {0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
"""How many bytes a float or an integer takes, by the first of them."""
NUMBERS = (int, float)
SMALL = 8
"""Up to this many members are looked at one by one."""
LARGE_BYTES = 64
"""From this mean size on, looking at types costs less than looking through the bytes."""


def is_inside(value: Any, packed: bytes) -> bool:
    """Tell whether a value, which has been packed, is or has a bytearray.

    What is inside of extension types does not count.
    """
    kind = type(value)
    if kind is not list:
        if kind is dict:
            return _may_have_bytes(packed) and _is_in_any([], [value])
        return kind is bytearray
    count = len(value)
    if count <= SMALL:
        return _is_in_few(value, packed)
    if len(packed) < LARGE_BYTES * count:
        if not (b"\xc4" in packed or b"\xc5" in packed or b"\xc6" in packed):
            return False
        if _is_all_numbers(packed, count):
            return False
    if type(value[0]) is bytes and countOf(map(type, value), bytes) == count:
        return False
    return _is_in_any([value], [])


def mark(value: Any) -> Any:
    """Copy a value, with the extension type in the place of each bytearray inside of it."""
    kind = type(value)
    if kind is bytearray:
        return msgpack.ExtType(Extension.BYTEARRAY, bytes(value))
    if kind is list:
        return [mark(member) for member in value]
    if kind is dict:
        return {key: mark(member) for key, member in value.items()}
    return value


def _is_in_few(members: list[Any], packed: bytes) -> bool:
    has_inner = False
    for member in members:
        kind = type(member)
        if kind is bytearray:
            return True
        if kind is list or kind is dict:
            has_inner = True
    return has_inner and _may_have_bytes(packed) and _is_in_any([members], [])


def _is_in_any(lists: list[list[Any]], dicts: list[dict[Any, Any]]) -> bool:
    """Tell whether there is a bytearray inside of lists and dicts, layer by layer."""
    while lists or dicts:
        groups: list[Collection[Any]]
        if len(lists) + len(dicts) <= SMALL:
            groups = [*lists, *map(dict.values, dicts)]
        else:  # at once, since a step in Python takes as long as many members
            groups = [[*chain.from_iterable(lists), *chain.from_iterable(map(dict.values, dicts))]]
        lists, dicts = [], []
        for members in groups:
            if len(members) > SMALL and _are_numbers(members):
                continue
            kinds = set(map(type, members))
            if bytearray in kinds:
                return True
            if list in kinds:
                lists += [each for each in members if type(each) is list]
            if dict in kinds:
                dicts += [each for each in members if type(each) is dict]
    return False


def _may_have_bytes(packed: bytes) -> bool:
    return b"\xc4" in packed or b"\xc5" in packed or b"\xc6" in packed


def _is_all_numbers(packed: bytes, count: int) -> bool:
    """Tell whether a packed list has numbers of one width alone, with the same first byte."""
    start = 1 if count < 16 else 3 if count < 65536 else 5
    width = WIDTHS.get(packed[start])
    if width is None or len(packed) != start + width * count:
        return False
    return packed[start::width] == packed[start : start + 1] * count


def _are_numbers(members: Collection[Any]) -> bool:
    """Tell whether all are numbers: adding them is the quickest way to tell that there is."""
    if type(next(iter(members))) not in NUMBERS:  # adding others may take long, or be user code
        return False
    try:
        return type(sum(members)) in NUMBERS
    except Exception:
        return False
