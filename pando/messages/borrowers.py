"""What borrowers say of themselves, and how a worker begins."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..figures import MAX_UNITS
from .fields import (
    MAX_LOADED,
    Addresses,
    Count,
    Description,
    LoadedBytes,
    LoadedList,
    Port,
    Seconds,
    Text,
)


class FunctionReport(msgspec.Struct, array_like=True, tag="reported", frozen=True):
    """From a worker: what the function has reported of its work. Times are in seconds."""

    items: Seconds
    units: Annotated[str, msgspec.Meta(max_length=MAX_UNITS)]
    cpu_seconds: Seconds
    transfer_seconds: Seconds


class Capacity(msgspec.Struct, array_like=True, tag="want"):
    """From a child: how many workers compute below this channel, its own among them.

    Where there are none, as on a device that its person has paused, it is lent nothing.
    `max_value` is the largest item that it takes, in bytes; where it is 0, what fits into a message
    that is not cut into parts. `answers_offers` is as in `Hello`, where it has changed since.
    """

    workers: Count
    max_value: Count = 0
    answers_offers: bool | None = None


class Ready(msgspec.Struct, array_like=True, tag="ready"):
    """From a borrower: the function is loaded; items may come.

    Nodes that join below it may connect to `port` at the address it is seen at, or at one of
    `addresses`; to none where the port is 0. To the root: `offer` is what a parent below it may
    answer, to be connected to by WebRTC; empty where a WebSocket will do.
    """

    port: Port = 0
    addresses: Addresses = []
    offer: Description = ""


class LoadFailed(msgspec.Struct, array_like=True, tag="refused"):
    """From a borrower: the function cannot be loaded here, and why."""

    reason: Text
    traceback: Text = ""


class Load(msgspec.Struct, array_like=True, tag="load"):
    """To a worker process, first of all: load the function, which is in the file it shares.

    It comes with what a program finds in its process: the import path, the command line, and the
    current folder. `places` are the folders of modules whose names are not unique on the path.
    """

    path: LoadedList
    arguments: LoadedList = []
    folder: LoadedBytes = b""
    places: Annotated[dict[Text, LoadedBytes], msgspec.Meta(max_length=MAX_LOADED)] = {}
