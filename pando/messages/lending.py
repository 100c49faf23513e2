"""Items that are lent, and what comes back."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..errors import MAX_ARGUMENTS_BYTES
from ..limits import MAX_BATCH_LIMIT
from .fields import Count, Seconds, Text


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """Why an item has no result: the function's exception, as text.

    `arguments` are those of a built-in exception, encoded as one list; empty where it is another
    one, or where they are not values.
    """

    type: Text
    reason: Text
    traceback: Text = ""
    device: Text = ""
    arguments: Annotated[bytes, msgspec.Meta(max_length=MAX_ARGUMENTS_BYTES)] = b""


class Lend(msgspec.Struct, array_like=True, tag="lend"):
    """To a borrower: compute these items, in their order, under this lease.

    Where it is a copy, another borrower has been lent the items, too: it is not copied again.
    """

    lease: Count
    items: msgspec.Raw
    is_copy: bool = False


class Recall(msgspec.Struct, array_like=True, tag="recall"):
    """To a borrower: give back what of this lease has not been started.

    Where it is superseded, its results are not wanted any more: a worker that runs one of its
    items is ended as soon as it is needed.
    """

    lease: Count
    is_superseded: bool = False


class Results(msgspec.Struct, array_like=True, tag="results"):
    """From a borrower: results of consecutive items of a lease.

    `offset` is the first one's place in the lease. `seconds` is the time spent computing them.
    Where an item failed, its value is nil and its place among the values is a key of `failures`.
    """

    lease: Count
    offset: Count
    seconds: Seconds
    values: msgspec.Raw
    failures: Annotated[dict[Count, Failure], msgspec.Meta(max_length=MAX_BATCH_LIMIT)] = {}


class ReturnItems(msgspec.Struct, array_like=True, tag="returned"):
    """From a borrower: these items of a lease come back undone."""

    lease: Count
    offset: Count
    count: Count


class ItemCrashed(msgspec.Struct, array_like=True, tag="struck"):
    """From a borrower: what ran this item of a lease was lost while it ran."""

    lease: Count
    offset: Count
    reason: Text
