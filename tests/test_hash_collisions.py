"""Sets and dicts whose keys have equal hashes: refused before a table is made of them."""

from __future__ import annotations

import collections
import itertools
import struct
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgpack
import pytest

from pando import values
from pando.errors import MalformedValueError
from pando.values.collisions import MAX_EQUAL_HASHES, MAX_UNCHECKED
from pando.values.extensions import Extension

PRIME = 2**61 - 1
MANY = 40_000
QUICK_SECONDS = 2.0
"""Far less than making a table of these keys takes, which is half a minute."""


def packed_keys(count: int) -> list[bytes]:
    """Integers that do not fit into 64 bits, and all have the hash of 0."""
    return [values.encode((2**70 + n) * PRIME) for n in range(count)]


def as_map(keys: list[bytes]) -> bytes:
    return struct.pack(">BI", 0xDF, len(keys)) + b"".join(key + b"\xc0" for key in keys)


def as_array(keys: list[bytes]) -> bytes:
    return struct.pack(">BI", 0xDD, len(keys)) + b"".join(keys)


def extension(code: int, content: bytes) -> bytes:
    return msgpack.packb(msgpack.ExtType(code, content))


HOSTILE = {
    "dict": as_map,
    "set": lambda keys: extension(Extension.SET, as_array(keys)),
    "frozenset": lambda keys: extension(Extension.FROZENSET, as_array(keys)),
    "ordered dict": lambda keys: extension(Extension.ORDERED_DICT, as_map(keys)),
    "counter": lambda keys: extension(Extension.COUNTER, as_map(keys)),
    "default dict": lambda keys: extension(Extension.DEFAULT_DICT, b"\x92\xa3int" + as_map(keys)),
    "a dict in a tuple": lambda keys: extension(Extension.TUPLE, as_array([as_map(keys)])),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_many_keys_with_one_hash_are_refused_at_once(kind: str) -> None:
    hostile = HOSTILE[kind](packed_keys(MANY))
    since = time.process_time()
    with pytest.raises(MalformedValueError, match="equal hashes"):
        values.decode(hostile)
    assert time.process_time() - since < QUICK_SECONDS


def pairs_of_ones(count: int) -> list[bytes]:
    """Tuples of -1 and -2, which have one hash."""
    width = count.bit_length()
    tuples = itertools.islice(itertools.product((-1, -2), repeat=width), count)
    return [values.encode(each) for each in tuples]


def same(n: int) -> int:
    return (2**70 + n) * PRIME


def timestamps() -> Iterator[tuple[int, int]]:
    """Nanoseconds and seconds that have one hash, as pairs of seconds and nanoseconds.

    The hash of a tuple is calculated backwards, from one that all have before the last step.
    """
    modulus, one, two, five = 2**64, 11400714785074694791, 14029467366897019727, 2870177450012600261
    for nanoseconds in range(10**9):
        turned = -nanoseconds * two * pow(one, -1, modulus) % modulus
        accumulated = (turned >> 31) | (turned << 33) % modulus
        seconds = (accumulated - five) * pow(two, -1, modulus) % modulus
        if 0 <= seconds < PRIME:
            yield nanoseconds, seconds


KEYS: dict[str, Callable[[int], list[bytes]]] = {
    "tuples of big integers": lambda n: [values.encode((same(k),)) for k in range(n)],
    "nested tuples": lambda n: [values.encode((((same(k), 1), "x"), 2.5)) for k in range(n)],
    "tuples of -1 and -2": pairs_of_ones,
    "decimals": lambda n: [values.encode(Decimal(same(k))) for k in range(n)],
    "complex numbers": lambda n: [values.encode(complex(-1000003 * k, k)) for k in range(n)],
    "fractions that are not reduced": lambda n: [
        extension(Extension.FRACTION, values.encode([k, 2 * k])) for k in range(1, n + 1)
    ],
    "UUIDs": lambda n: [values.encode(UUID(int=k * PRIME)) for k in range(n)],
    "ranges": lambda n: [values.encode(range(same(k), same(k) + 2)) for k in range(n)],
    "sets": lambda n: [values.encode(frozenset([same(k)])) for k in range(n)],
    "timestamps": lambda n: [
        struct.pack(">BBBIq", 0xC7, 12, 0xFF, *each) for each in itertools.islice(timestamps(), n)
    ],
}
TABLES: dict[str, Callable[[list[bytes]], bytes]] = {
    "dict": as_map,
    "set": HOSTILE["set"],
    "a dict in a list": lambda keys: b"\x91" + as_map(keys),
    "behind honest ones": lambda keys: (
        b"\x92" + values.encode({(n, "x" * 9): n for n in range(1000)}) + as_map(keys)
    ),
    "in a tuple in a dict": lambda keys: (
        values.encode({n: n for n in range(70)})[:-1]
        + extension(Extension.TUPLE, as_array([as_map(keys)]))
    ),
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("table", TABLES)
def test_keys_of_each_kind_are_refused_at_once(kind: str, table: str) -> None:
    hostile = TABLES[table](KEYS[kind](MANY // 2))
    since = time.process_time()
    with pytest.raises(MalformedValueError, match="equal hashes"):
        values.decode(hostile)
    assert time.process_time() - since < QUICK_SECONDS


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner, table: extension(Extension.TUPLE, as_array([inner, table])),
        lambda inner, table: extension(Extension.TUPLE, as_array([table, inner])),
        lambda inner, table: extension(
            Extension.TUPLE, b"\xdf\0\0\0\1\0" + as_array([inner, table])
        ),
    ],
    ids=["after", "before", "in a dict"],
)
@pytest.mark.parametrize("values_of_table", ["none", "equal hashes"])
def test_a_long_dict_at_each_level_costs_no_more_than_the_bytes(
    wrap: Callable[[bytes, bytes], bytes], values_of_table: str
) -> None:
    keys = [values.encode(n) for n in range(65)]
    if values_of_table == "equal hashes":  # 64 of them, which are allowed
        keys = [values.encode("other"), *packed_keys(64)]
    value = b"\xc0"
    for _ in range(40):  # if each level were decoded twice, 2**40 times
        value = wrap(value, as_map(keys))
    since = time.process_time()
    assert type(values.decode(value)) is tuple
    assert time.process_time() - since < QUICK_SECONDS


def test_the_keys_have_one_hash() -> None:
    for make in KEYS.values():
        assert len({hash(values.decode(key)) for key in make(100)}) == 1


def test_numbers_that_fit_need_no_look() -> None:
    """Few of them have one hash: the powers of 2**61, and what differs by 2**61 - 1."""
    floats = {2.0 ** (61 * k) for k in range(-17, 17)}
    integers = {1 + k * PRIME for k in range(9)}
    assert {hash(number) for number in floats | integers} == {1}
    assert len(floats | integers) <= MAX_EQUAL_HASHES
    table = dict.fromkeys(floats | integers | set(range(2, 200)))
    assert values.decode(values.encode(table)) == table


@pytest.mark.parametrize("count", [1, MAX_UNCHECKED, MAX_EQUAL_HASHES])
def test_a_few_keys_with_one_hash_are_taken(count: int) -> None:
    keys = packed_keys(count)
    numbers = [values.decode(key) for key in keys]
    assert values.decode(HOSTILE["dict"](keys)) == dict.fromkeys(numbers)
    assert values.decode(HOSTILE["set"](keys)) == set(numbers)


@pytest.mark.parametrize(
    "value",
    [
        dict.fromkeys(range(1000), (1, 2)),
        {(n, -n): (1, 2) for n in range(1000)},
        {"a": {n: n for n in range(100)}, "b": [(0, 0)] * 1000},
        {2**100 + n: str(n) for n in range(1000)},
        collections.Counter({f"key {n}": n for n in range(1000)}),
        {complex(n, 1) for n in range(1000)},
        # -1 and -2 have one hash, so these have many times two keys with one.
        {(x, y): x * y for x in range(-50, 51) for y in range(-50, 51)},
        {(x, y, z) for x in range(-9, 9) for y in range(-9, 9) for z in range(-9, 9)},
        [{(x, y): None for x in range(-50, 51) for y in range(-50, 51)}],
        [{n: (n % 2, 0) for n in range(5000)}, {(n, -1): [(0, 0)] for n in range(5000)}],
        {"a": {n: [n] for n in range(100)}, "b": [collections.deque([1])] * 300},
        {(n,): {(n, k): k for k in range(70)} for n in range(70)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_large_tables_of_honest_keys_are_taken(value: Any) -> None:
    assert values.decode(values.encode(value)) == value


def test_different_tables_may_have_keys_with_one_hash() -> None:
    keys = packed_keys(60)
    honest = as_array([as_map([*keys, *map(values.encode, range(10))])] * 5)
    assert [len(table) for table in values.decode(honest)] == [70] * 5


def test_a_map_that_claims_more_than_there_is_is_malformed() -> None:
    for claimed in (65, 2**31, 2**32 - 1):
        with pytest.raises(MalformedValueError):
            values.decode(struct.pack(">BI", 0xDF, claimed) + values.encode((1, 2)) + b"\xc0" * 200)
