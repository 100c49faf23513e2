"""Finding bytearrays, which MessagePack's packer takes for bytes without asking.

Looking at the type of each value would cost as much as packing it. So the packed bytes are looked
at first: where no byte could begin bytes, or where all are numbers of one width, there is none.
Only direct members are looked at: inside of lists and dicts, bytearrays become bytes.
"""

from __future__ import annotations

from operator import countOf

import msgpack

from .extensions import Extension

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WIDTHS = {0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
"""How many bytes a float or an integer takes, by the first of them."""
NUMBERS = (int, float)
SMALL = 8
"""So few members are looked at one by one."""
LARGE_BYTES = 64
"""From this mean size on, looking at types costs less than looking through the bytes."""


def is_member(members: list[Any], packed: bytes) -> bool:
    """Tell whether a list, which has been packed, has a bytearray among its members."""
    count = len(members)
    if count <= SMALL:
        for member in members:  # noqa: SIM110 - `any` takes twice as long
            if type(member) is bytearray:
                return True
        return False
    if len(packed) < LARGE_BYTES * count and (
        not _may_have_bytes(packed) or _is_all_numbers(packed, count)
    ):
        return False
    kind = type(members[0])
    if kind in NUMBERS and _is_summable(members):
        return False
    if kind is not bytearray and countOf(map(type, members), kind) == count:
        return False
    return bytearray in set(map(type, members))


def mark(value: Any) -> Any:
    """Put the extension type in the place of a bytearray."""
    if type(value) is bytearray:
        return msgpack.ExtType(Extension.BYTEARRAY, bytes(value))
    return value


def mark_values(found: dict[Any, Any]) -> dict[Any, Any]:
    """Copy a dict, with the extension type in the place of each bytearray."""
    return {key: mark(value) for key, value in found.items()}


def mark_deeply(value: Any) -> Any:
    """Copy a value, with the extension type in the place of each bytearray inside of it."""
    if type(value) is list:
        return [mark_deeply(member) for member in value]
    if type(value) is dict:
        return {key: mark_deeply(member) for key, member in value.items()}
    return mark(value)


def _may_have_bytes(packed: bytes) -> bool:
    return b"\xc4" in packed or b"\xc5" in packed or b"\xc6" in packed


def _is_all_numbers(packed: bytes, count: int) -> bool:
    """Whether a packed list is so many numbers of one width, each with the same first byte."""
    start = 1 if count < 16 else 3 if count < 65536 else 5
    width = WIDTHS.get(packed[start])
    if width is None or len(packed) != start + width * count:
        return False
    return packed[start::width] == packed[start : start + 1] * count


def _is_summable(members: list[Any]) -> bool:
    """Whether all are numbers: the quickest way to tell that there is."""
    try:
        return type(sum(members)) in NUMBERS
    except Exception:
        return False
