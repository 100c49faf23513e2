"""``--local``: compute items one by one in this process, so that a debugger works."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from .. import values
from ..errors import ItemError
from ..scheduler import ResultBatch
from ..values import InvalidItem

if TYPE_CHECKING:
    from ..functions.package import JavaScriptPackage
    from ..runtime.javascript import JavaScriptFunction
    from ..runtime.running_item import RunningItem


def compute_locally(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    setup: Callable[[], object] | None = None,
    random_seed: int | None = None,
) -> Iterator[ResultBatch]:
    """Yield a batch of one result for each item; its failures are `ItemError` objects.

    Args:
        function: the function.
        items: the items.
        setup: called once, before the first item.
        random_seed: see `pando.map`.
    """
    from ..functions.serialized import LocalGenerators
    from ..runtime.invoke import make_synchronous

    process = os.getpid()
    generators = LocalGenerators(function, random_seed)
    if setup is not None:
        setup()
    call = make_synchronous(function)
    for index, item in enumerate(items):
        failures: dict[int, Any] = {}
        result = None
        if isinstance(item, InvalidItem):
            failures[0] = ItemError(item, index, "UnsupportedValueError", item.reason)
        else:
            generators.seed(index)
            try:
                result = call(item)
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                failures[0] = _item_error(error, item, index)
            if os.getpid() != process:  # a child process that the function has forked
                os._exit(0)
        yield ResultBatch(index, [item], [result], failures)


def _item_error(error: BaseException, item: Any, index: int) -> ItemError:
    from ..runtime.invoke import describe_failure

    return ItemError(item, index, *describe_failure(error))


def compute_javascript_locally(
    package: JavaScriptPackage, batches: Iterable[list[Any]]
) -> Iterator[ResultBatch]:
    """Yield batches of results of a JavaScript function, each of some milliseconds or one item."""
    from ..runtime import running_item
    from ..runtime.javascript import JavaScriptFunction

    index = 0
    with closing(JavaScriptFunction(package)) as function, closing(running_item.create()) as cells:
        for items in batches:
            yield from _compute_batch(function, items, index, cells)
            index += len(items)


def _compute_batch(
    function: JavaScriptFunction, items: list[Any], index: int, running: RunningItem
) -> Iterator[ResultBatch]:
    """Compute items from `index` on; those that cannot be serialized fail individually."""
    unsupported = values.find_unsupported(items)
    start = 0
    for place in [*unsupported, len(items)]:
        yield from _compute_range(function, items[start:place], index + start, running)
        start = place + 1
        if place in unsupported:
            failure = ("UnsupportedValueError", str(unsupported[place]))
            error = ItemError(items[place], index + place, *failure)
            yield ResultBatch(index + place, [items[place]], [None], {0: error})


def _compute_range(
    function: JavaScriptFunction, items: list[Any], index: int, running: RunningItem
) -> Iterator[ResultBatch]:
    from ..runtime.batch import Batch

    batch = Batch(0, function.decode(values.encode(items)))
    start = 0
    while function.compute_some(batch, running):
        end = len(batch.results)
        results = [values.decode(result) for result in batch.results[start:end]]
        failures = {
            place - start: ItemError(items[place], index + place, *batch.failures[place])
            for place in range(start, end)
            if place in batch.failures
        }
        yield ResultBatch(index + start, items[start:end], results, failures)
        start = end


def reserve_stdin() -> int:
    """Return a file descriptor of the items, and connect standard input to the terminal.

    So a debugger in the function can be used, and the function cannot read items.
    """
    items = os.dup(0)
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        terminal = os.open(os.devnull, os.O_RDONLY)
    os.dup2(terminal, 0)
    os.close(terminal)
    return items
