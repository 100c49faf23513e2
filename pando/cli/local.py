"""``--local``: items one after the other in the command's own process.

A debugger works in a Python function.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from .. import values
from ..errors import ItemError
from ..scheduler import ResultRun
from ..values import Unreadable

if TYPE_CHECKING:
    from ..functions.package import JavaScriptPackage
    from ..runtime.javascript import JavaScriptFunction
    from ..runtime.progress import Progress


def compute_locally(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    setup: Callable[[], object] | None = None,
    random_seed: int | None = None,
) -> Iterator[ResultRun]:
    """A run of one result for each item; a failure holds the item's `ItemError`.

    Args:
        function: what is applied to the items.
        items: the items.
        setup: called once, before the first item.
        random_seed: see `pando.map`.
    """
    from ..functions.serialized import LocalGenerators
    from ..runtime.calling import make_synchronous

    process = os.getpid()
    generators = LocalGenerators(function, random_seed)
    if setup is not None:
        setup()
    call = make_synchronous(function)
    for index, item in enumerate(items):
        failures: dict[int, Any] = {}
        result = None
        if isinstance(item, Unreadable):
            failures[0] = ItemError(item, index, "UnsupportedValueError", item.reason)
        else:
            generators.seed(index)
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
    from ..runtime.calling import describe_failure

    return ItemError(item, index, *describe_failure(error))


def compute_javascript_locally(
    package: JavaScriptPackage, batches: Iterable[list[Any]]
) -> Iterator[ResultRun]:
    """Runs of results of a JavaScript function, each of some milliseconds or of one item."""
    from ..runtime import progress
    from ..runtime.javascript import JavaScriptFunction

    index = 0
    with closing(JavaScriptFunction(package)) as function, closing(progress.create()) as cells:
        for items in batches:
            yield from _compute_batch(function, items, index, cells)
            index += len(items)


def _compute_batch(
    function: JavaScriptFunction, items: list[Any], index: int, progress: Progress
) -> Iterator[ResultRun]:
    """A batch, whose first item has this index: items that cannot travel fail alone."""
    unsupported = values.find_unsupported(items)
    start = 0
    for place in [*unsupported, len(items)]:
        yield from _compute_stretch(function, items[start:place], index + start, progress)
        start = place + 1
        if place in unsupported:
            failure = ("UnsupportedValueError", str(unsupported[place]))
            error = ItemError(items[place], index + place, *failure)
            yield ResultRun(index + place, [items[place]], [None], {0: error})


def _compute_stretch(
    function: JavaScriptFunction, items: list[Any], index: int, progress: Progress
) -> Iterator[ResultRun]:
    from ..runtime.batch import Batch

    batch = Batch(0, function.decode(values.encode(items)))
    start = 0
    while function.compute_some(batch, progress):
        end = len(batch.results)
        results = [values.decode(result) for result in batch.results[start:end]]
        failures = {
            place - start: ItemError(items[place], index + place, *batch.failures[place])
            for place in range(start, end)
            if place in batch.failures
        }
        yield ResultRun(index + start, items[start:end], results, failures)
        start = end


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
