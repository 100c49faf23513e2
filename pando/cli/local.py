"""``--local``: items one by one in the command's own process, so that a debugger works."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..errors import ItemError
from ..scheduler import ResultRun
from ..values import Unreadable


def compute_locally(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[ResultRun]:
    """A run of one result for each item; a failure holds the item's `ItemError`."""
    from ..worker.calling import make_synchronous

    process = os.getpid()
    call = make_synchronous(function)
    for index, item in enumerate(items):
        failures: dict[int, Any] = {}
        result = None
        if isinstance(item, Unreadable):
            failures[0] = ItemError(item, index, "UnsupportedValueError", item.reason)
        else:
            try:
                result = call(item)
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                failures[0] = _item_error(error, item, index)
            if os.getpid() != process:  # the function has forked, and this is not the command
                os._exit(0)
        yield ResultRun(index, [item], [result], failures)


def _item_error(error: BaseException, item: Any, index: int) -> ItemError:
    from ..worker.calling import describe_failure

    return ItemError(item, index, *describe_failure(error))


def free_standard_input() -> int:
    """Keep the items to ourselves: a file descriptor to read them from.

    What the function, or a debugger in it, reads from standard input comes from the terminal, if
    there is one.
    """
    items = os.dup(0)
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        terminal = os.open(os.devnull, os.O_RDONLY)
    os.dup2(terminal, 0)
    os.close(terminal)
    return items
