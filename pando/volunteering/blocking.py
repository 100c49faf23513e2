"""`pando.volunteer`: volunteering in programs that do not use Trio."""

from __future__ import annotations

import os
import threading

import trio

from ..errors import UsageError
from ..limits import MAX_VALUE_BYTES
from ..notifier import Notifier, to_nobody
from ..worker.environment import refuse_gevent
from .device import Volunteer
from .options import VolunteerOptions

POLL_SECONDS = 0.1
"""Seconds between two checks whether another thread has set `stop`."""


def volunteer(
    link: str,
    *,
    workers: int | None = None,
    name: str | None = None,
    install: bool = False,
    once: bool = False,
    give_up_after: float | None = None,
    cafile: str | os.PathLike[str] | None = None,
    max_value: int = MAX_VALUE_BYTES,
    protocol: str | None = None,
    stop: threading.Event | None = None,
    say: Notifier = to_nobody,
) -> None:
    """Join someone's run as a volunteer, then the next runs at the same link, until interrupted.

    Call it in any thread, or in a notebook cell::

        stop = threading.Event()
        threading.Thread(target=pando.volunteer, args=[link], kwargs={"stop": stop}).start()
        ...
        stop.set()

    Args:
        link: the join link, such as ``http://192.168.1.7:5000/#token``.
        workers: worker processes (default: one per core).
        name: device name, shown on the root's pages (default: the host name).
        install: whether to install what the function needs into a dedicated virtual environment.
        once: whether to return when the run ends instead of waiting for the next one.
        give_up_after: seconds without a run to join after which to give up (default: never).
        cafile: file of certificate authorities to trust as well.
        max_value: bytes of the largest item to take; others stay with those who can take them.
        protocol: how to connect: ``auto``, ``websocket`` or ``webrtc`` (default: as the link or the
            run says).
        stop: when set, deliver finished results, return the other items, and return.
        say: takes sentences for the person at the device.

    Raises:
        FunctionError: the function cannot run here; the message names what is missing.
        KeyboardInterrupt: Ctrl-C was pressed; the workers have been ended.
        RootUnreachableError: no run could be joined within `give_up_after` seconds.
        UsageError: the link is malformed, or the root refuses this device.
        WorkerError: workers keep crashing here.
    """
    refuse_gevent()
    if trio.lowlevel.in_trio_run():
        raise UsageError(
            "pando.volunteer would block this Trio program: run it in a thread, as in "
            "`await trio.to_thread.run_sync(pando.volunteer, link, abandon_on_cancel=True)`"
        )
    options = VolunteerOptions(
        workers,
        name,
        install,
        stay=not once,
        give_up_after=give_up_after,
        cafile=cafile,
        max_value=max_value,
        protocol=protocol,
    )
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
        except Exception as problem:  # raised below: here, the nursery would wrap it in a group
            error = problem
        nursery.cancel_scope.cancel()
    if error is not None:
        raise error


async def _leave_when(stop: threading.Event, device: Volunteer, scope: trio.CancelScope) -> None:
    while not stop.is_set():  # noqa: ASYNC110 - it is another thread's event
        await trio.sleep(POLL_SECONDS)
    await device.leave()
    scope.cancel()
