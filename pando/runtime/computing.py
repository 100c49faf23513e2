"""The function as a worker has it, loaded."""

from __future__ import annotations

from .. import values
from .calling import describe_arguments, describe_failure, make_synchronous, take_keys
from .progress import OFFSET, Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from .batch import Batch
    from .calling import Function

    class Computer(Protocol):
        """The function, loaded; it knows how items and results stand in its batches."""

        def decode(self, items: memoryview, /) -> list[Any]:
            """The items of a lease."""

        def encode(self, results: list[Any], /) -> bytes:
            """Results as they travel."""

        def compute(self, batch: Batch, progress: Progress) -> None:
            """Apply the function to each item of a batch, and tell which one is running."""

        def cut(self, batch: Batch, progress: Progress) -> int:
            """Take what has not been started off a batch that is being computed; what remains.

            It may be called by another thread than `compute`.
            """


def read_function(packed: bytes) -> Callable[[], Computer]:
    """What loads the function of a package: everything of Pando's own that it needs is imported.

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

    def compute(self, batch: Batch, progress: Progress) -> None:
        """Apply the function to each item. This loop is what an item costs in a worker.

        The item's number goes into the shared memory in the same step that takes the item out
        of the list, with no chance for the other thread in between: `cut` relies on it.
        """
        function = self._function
        cells = progress.cells
        append = batch.results.append
        for cells[OFFSET], item in enumerate(batch.items):
            try:
                result = function(item)
            except BaseException as error:
                failure = (*describe_failure(error), "", describe_arguments(error))
                batch.failures[len(batch.results)] = failure
                result = None
            append(result)

    def cut(self, batch: Batch, progress: Progress) -> int:
        """Take what has not been started off the batch; what remains."""
        kept = max(progress.cells[OFFSET] + 1, len(batch.results))
        del batch.items[kept:]
        # The main thread may have taken more items before they were cut off.
        return max(kept, progress.cells[OFFSET] + 1, len(batch.results))
