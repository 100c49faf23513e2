"""`pando.volunteer`: volunteering for programs that are not Trio's."""

from __future__ import annotations

import threading

import trio

from ..errors import UsageError
from ..worker.environment import refuse_gevent
from .device import Volunteer, VolunteerOptions
from .work import Say

LOOK_SECONDS = 0.1
"""How often to look whether another thread wants it to stop."""


def volunteer(
    link: str,
    *,
    workers: int | None = None,
    name: str | None = None,
    install: bool = False,
    once: bool = False,
    stop: threading.Event | None = None,
    say: Say = lambda text: None,
) -> None:
    """Compute for the run behind a link, and for those that follow it there, until interrupted.

    It may be called in any thread, and in the cells of a notebook::

        stop = threading.Event()
        threading.Thread(target=pando.volunteer, args=[link], kwargs={"stop": stop}).start()
        ...
        stop.set()

    Args:
        link: what the root has printed, such as ``http://192.168.1.7:5000/#token``.
        workers: worker processes (default: one per core).
        name: what the device is called on the root's pages (default: the host name).
        install: whether what the function needs may be installed into a dedicated virtual
            environment.
        once: whether to return when the run is over instead of waiting for the next one.
        stop: when it is set, deliver what is finished, give the rest back, and return.
        say: told, in sentences, what the person at the device should know.

    Raises:
        FunctionError: the function cannot run here; the message says what is missing.
        KeyboardInterrupt: Ctrl-C was pressed; its workers have been ended.
        UsageError: the link is wrong, or the root does not let this device in.
        WorkerError: workers keep crashing here.
    """
    refuse_gevent()
    if trio.lowlevel.in_trio_run():
        raise UsageError(
            "pando.volunteer would block this Trio program: run it in a thread, as in "
            "`await trio.to_thread.run_sync(pando.volunteer, link, abandon_on_cancel=True)`"
        )
    options = VolunteerOptions(workers, name, install, stay=not once)
    try:
        trio.run(_run, Volunteer(link, options, say), stop, strict_exception_groups=True)
    except BaseExceptionGroup as group:
        if group.split(KeyboardInterrupt)[0] is None:
            raise
    else:
        return
    raise KeyboardInterrupt


async def _run(device: Volunteer, stop: threading.Event | None) -> None:
    error: Exception | None = None
    async with trio.open_nursery() as nursery:
        if stop is not None:
            nursery.start_soon(_leave_when, stop, device, nursery.cancel_scope)
        try:
            await device.run()
        except Exception as problem:  # raised below, so that no group is made of it
            error = problem
        nursery.cancel_scope.cancel()
    if error is not None:
        raise error


async def _leave_when(stop: threading.Event, device: Volunteer, scope: trio.CancelScope) -> None:
    while not stop.is_set():  # noqa: ASYNC110 - it is another thread's event
        await trio.sleep(LOOK_SECONDS)
    await device.leave()
    scope.cancel()
