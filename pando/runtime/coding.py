"""Decoding a lease's items and encoding its results, where the user's own code may take part.

A class that was given to `pando.register_type` with two functions brings code that may fail, or
never return. Then items and results are taken one by one, and the one that is under way stands in
the memory that the worker shares with its parent, so that a time limit finds it.
"""

from __future__ import annotations

import msgpack

from .. import values
from ..errors import UnsupportedValueError
from . import invoke, wire
from .running_item import NOTHING, RunningItem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .wire import FailureTuple


def decode_items(
    lease: int,
    encoded: memoryview,
    decode: Callable[[memoryview], list[Any]],
    running: RunningItem,
) -> list[Any]:
    """Decode the items of a lease.

    Args:
        lease: its number.
        encoded: the items, as one array.
        decode: decodes all at once, where no code of the user's takes part.
        running: where it is noted which one is being decoded.

    Raises:
        MalformedValueError: one of them is not an encoded value.
    """
    if not values.REGISTERED.has_own_code:
        return decode(encoded)
    stage, items = running.decoding, []
    stage.lease = lease
    try:
        for stage.offset, item in enumerate(wire.split(encoded)):
            items.append(values.decode(item))
    finally:
        stage.offset = NOTHING
    return items


def encode_results(
    lease: int,
    offset: int,
    results: list[Any],
    failures: dict[int, FailureTuple],
    encode: Callable[[list[Any]], bytes],
    running: RunningItem,
) -> bytes:
    """Encode results; those that cannot be serialized become failures instead.

    Args:
        lease: whose results they are.
        offset: the first one's place in it.
        results: the results; what cannot be serialized is replaced by None.
        failures: failures by place among the results, which may be added to.
        encode: encodes all at once, where no code of the user's takes part.
        running: where it is noted which one is being encoded.
    """
    if not values.REGISTERED.has_own_code:
        return invoke.encode_results(results, failures, encode)
    stage, encoded = running.encoding, []
    stage.lease = lease
    try:
        for place, result in enumerate(results):
            stage.offset = offset + place
            try:
                encoded.append(values.encode(result))
            except UnsupportedValueError as error:
                failures[place] = invoke.describe_unsupported(error)
                results[place] = None
                encoded.append(values.encode(None))
    finally:
        stage.offset = NOTHING
    return b"".join((msgpack.Packer().pack_array_header(len(encoded)), *encoded))
