"""Open a run: start its workers, let volunteers join, and end both with the block.

The order of the start matters for short programs. Workers start at once. The port opens after a
second, except where the caller asked for it: a run that is over sooner needs no server, and is
spared the imports. The order of the end matters for volunteers: they are told that the run is
over before their connections are closed.
"""

from __future__ import annotations

import functools
import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, Unpack, overload

import trio

from .. import messages
from ..debug import write_logs
from ..deprecation import accept_former_arguments
from ..errors import ServerError, UsageError, one_line
from ..functions.naming import function_name
from ..functions.serialized import SerializedFunction, serialize
from ..notifier import Notifier, to_nobody, to_standard_error
from ..tree.node import Node
from ..worker.launcher import Launcher
from ..worker.pool import WorkerPool
from .monitoring import RunMonitoring
from .monitoring_lines import MonitoringLines
from .options import RunArguments, RunOptions, make_run_options
from .run import Run
from .serve_options import Serve, ServeOptions
from .value_codec import ValueCodec

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0
"""Seconds the workers may take to end in order when a run is closed."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@overload
def open_run(
    function: Callable[[Item], Coroutine[Any, Any, Result]], **options: Unpack[RunArguments]
) -> AbstractAsyncContextManager[Run[Item, Result]]: ...


@overload
def open_run(
    function: Callable[[Item], Result], **options: Unpack[RunArguments]
) -> AbstractAsyncContextManager[Run[Item, Result]]: ...


@accept_former_arguments
def open_run(
    function: Callable[[Any], Any],
    *,
    workers: int | None = None,
    timeout: float | None = None,
    batch_size: int | None = None,
    requires: Iterable[str] = (),
    speculate: bool = True,
    initializer: Callable[[], object] | None = None,
    random_seed: int | None = None,
    serve: Serve = None,
) -> AbstractAsyncContextManager[Run[Any, Any]]:
    """Open a run in a Trio program, for an ``async with`` block.

    The workers live as long as the block, so that mapping again costs no start-up.

    Args:
        function: takes an item and returns its result; may be ``async def``, for asyncio.
        workers: worker processes on this machine (default: one per core).
        timeout: seconds that an item may take before it fails and its worker is replaced.
        batch_size: maximum items per batch (default: adaptive).
        requires: what the function needs installed, as PEP 508 requirement strings.
        speculate: whether an item that takes a device far longer than others is computed a second
            time elsewhere, where somebody has nothing to do; the first result counts.
        initializer: called without arguments once in each worker, before its first item.
        random_seed: seed `random` and NumPy's global generator for each item, repeatably.
            Generators that the function refers to are always repeatable.
        serve: whether and how volunteers may join, as for `pando.map`; the links are in
            `Run.links`. If it is given, the port opens at once.

    Raises:
        FunctionError: the function cannot be sent to workers or loaded there.
        UsageError: an option is invalid, or the event loop is not Trio's.
        WorkerError: workers cannot be started.

    Example:
        >>> async def main():
        ...     async with pando.open_run(abs) as run:
        ...         return [result async for result in run.map([-1, 2, -3])]
        >>> import trio
        >>> trio.run(main)
        [1, 2, 3]
    """
    options = make_run_options(
        workers, timeout, batch_size, requires, serve, speculate=speculate, serve_at_once=True
    )
    return _open_run(function, options, initializer, random_seed)


@asynccontextmanager
async def _open_run(
    function: Callable[[Any], Any],
    options: RunOptions,
    initializer: Callable[[], object] | None,
    random_seed: int | None,
) -> AsyncIterator[Run[Any, Any]]:
    if not trio.lowlevel.in_trio_run():
        raise UsageError(
            "open_run needs Trio: under asyncio and in notebooks write "
            "`async for result in pando.amap(function, items)`, or use `pando.run` or `pando.map`"
        )
    serialized = serialize(
        function, options.requires, initializer=initializer, random_seed=random_seed
    )
    async with open_serialized_run(
        serialized, function_name(function), options, to_standard_error
    ) as run:
        yield run


@asynccontextmanager
async def open_serialized_run(
    function: SerializedFunction,
    name: str,
    options: RunOptions,
    say: Notifier = to_nobody,
    *,
    launcher: Launcher | None = None,
) -> AsyncIterator[Run[Any, Any]]:
    """Open a run of a function that has been serialized already.

    Args:
        function: the function.
        name: its name, for people.
        options: see `RunOptions`.
        say: takes sentences for the person who runs the program.
        launcher: starts the workers; one is made by default.

    Raises:
        ServerError: the public server cannot be reached, or refuses this run.
        UsageError: the port cannot be opened.
        WorkerError: workers cannot be started.
    """
    write_logs()
    codec = ValueCodec(function.classes.registry)
    node = Node(
        codec,
        batch_limit=options.batch_size,
        names_workers=True,
        item_timeout=options.timeout,
        speculates=options.speculate,
        say=say,
    )
    launcher = launcher or Launcher(function, options.count_workers())
    pool = WorkerPool(launcher, node.serve, timeout=options.timeout, say=say)
    seed = options.serve.seed if options.serve else None
    ids = random.Random(secrets.randbits(64) if seed is None else seed)
    monitoring = RunMonitoring(
        node,
        name,
        ids.randbytes(messages.ID_BYTES),
        launcher.count,
        options.interval,
        pool.processor_seconds,
        has_report_links=options.serve is not None and options.serve.global_monitoring,
    )
    lines = MonitoringLines(monitoring, options.monitoring_log)
    body_error: BaseException | None = None
    async with trio.open_nursery() as nursery:
        pool_ended = trio.Event()

        async def keep_workers() -> None:
            await pool.run(run.fail)
            pool_ended.set()

        run: Run[Any, Any] = Run(node, pool, nursery, monitoring, function)
        nursery.start_soon(keep_workers)
        nursery.start_soon(monitoring.run)
        lines.start(nursery)
        nursery.start_soon(node.balance_forever)
        try:
            if options.serve is not None:
                serve = functools.partial(
                    _serve, run, node, function, options, options.serve, monitoring, ids, say
                )
                if options.serve_after:
                    nursery.start_soon(serve)
                else:
                    await nursery.start(serve)
            try:
                yield run
            finally:
                monitoring.end()
            run.close()
            pool.close()
            with trio.move_on_after(CLOSE_SECONDS):
                await pool_ended.wait()
        except trio.Cancelled:
            raise
        except BaseException as error:
            # Raised again below: inside, the nursery would wrap it in a group.
            body_error = error
        finally:
            run.close()
        nursery.cancel_scope.cancel()
    monitoring.finish()
    await lines.close()
    if body_error is not None:
        raise body_error


async def _serve(
    run: Run[Any, Any],
    node: Node,
    function: SerializedFunction,
    options: RunOptions,
    serve: ServeOptions,
    monitoring: RunMonitoring,
    ids: random.Random,
    say: Notifier,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Let volunteers join a run until it is cancelled, then notify them of its end."""
    await trio.sleep(options.serve_after)
    function.prepare_portable()
    # Imported only now, while the workers start or compute.
    from .served_run import ServedRun
    from .shared_server import shared_server

    try:
        async with shared_server(serve, say) as server:
            served = ServedRun(server, node, function, options, serve, monitoring, ids, say)
            server.runs.add(served)
            run.attach_server(served)
            if options.announce:
                server.announce(say)
            task_status.started()
            async with trio.open_nursery() as nursery:
                await nursery.start(served.answer_offers)
                try:
                    await served.run()
                finally:
                    with trio.CancelScope(shield=True):
                        await served.notify_run_ended()
                        monitoring.finish()
                        await monitoring.wait_for_viewers()
                    server.runs.remove(served)
    except (UsageError, ServerError) as error:
        if not options.serve_after:
            raise
        if options.must_serve:
            run.fail(error)
        else:
            logger.info("%r does not serve: %s", run, one_line(str(error)))
            say(f"this run cannot be watched: {error}")
