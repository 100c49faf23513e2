"""The function as a worker has it, loaded."""

from __future__ import annotations

from .. import values
from .invoke import describe_arguments, describe_failure, make_synchronous, take_keys
from .running_item import OFFSET, RunningItem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from .batch import Batch
    from .invoke import Function

    class FunctionRunner(Protocol):
        """The loaded function; it knows how items and results are encoded in its batches."""

        def decode(self, items: memoryview, /) -> list[Any]:
            """Decode the items of a lease."""

        def encode(self, results: list[Any], /) -> bytes:
            """Encode results."""

        def compute(self, batch: Batch, running: RunningItem) -> None:
            """Apply the function to each item of a batch, and tell which one is running."""

        def truncate_batch(self, batch: Batch, running: RunningItem) -> int:
            """Remove from a batch being computed what has not been started; return how many remain.

            It may be called by another thread than `compute`.
            """


def read_function(packed: memoryview) -> Callable[[], FunctionRunner]:
    """Return what loads a package's function, with all that it needs of Pando imported.

    What is returned raises:
        FunctionError: something that the function needs is missing here, or it is not as it
            should be.
        Exception: whatever the user's own code raises when it is loaded.
    """
    from ..functions.package import ExactPackage, JavaScriptPackage, read_package

    package = read_package(packed)
    if isinstance(package, JavaScriptPackage):
        from .javascript import JavaScriptFunction

        return lambda: JavaScriptFunction(package)
    if isinstance(package, ExactPackage):
        from ..functions.exact_load import load

        return lambda: PythonFunction(take_keys(load(package), package))
    from ..functions import source  # noqa: F401 - imports much that a user may have a file for
    from ..functions.restore import restore

    return lambda: PythonFunction(take_keys(restore(package), package))


class PythonFunction:
    """A Python function, which takes values and gives values."""

    decode = staticmethod(values.decode)
    encode = staticmethod(values.encode)

    def __init__(self, function: Function) -> None:
        self._function = make_synchronous(function)

    def compute(self, batch: Batch, running: RunningItem) -> None:
        """Apply the function to each item. This loop is what an item costs in a worker.

        The item's number goes into the shared memory in the same step that takes the item out
        of the list, with no chance for the other thread in between: `truncate_batch` relies on it.
        """
        function = self._function
        cells = running.cells
        append = batch.results.append
        for cells[OFFSET], item in enumerate(batch.items):
            try:
                result = function(item)
            except BaseException as error:
                failure = (*describe_failure(error), "", describe_arguments(error))
                batch.failures[len(batch.results)] = failure
                result = None
            append(result)

    def truncate_batch(self, batch: Batch, running: RunningItem) -> int:
        """Remove what has not been started from the batch; return how many items remain."""
        kept = max(running.cells[OFFSET] + 1, len(batch.results))
        del batch.items[kept:]
        # The main thread may have taken more items before they were cut off.
        return max(kept, running.cells[OFFSET] + 1, len(batch.results))
