"""Turns: few connections of a process are made at a time, and the others wait in line.

A connection costs both ends processor time while it is made. Where a hundred are made at once, all
of them are slow, run into their time limits together, and begin anew together. Few at a time are
made soon, one after the other, and the last one stands no later than all would otherwise. How many
they are follows how long they take, as a congestion window does: more while they are fast, since
most of that time is spent waiting for the other end, and fewer on a slow or busy machine.
"""

from __future__ import annotations

import trio

FIRST_UNCONNECTED = 16
"""Offers that a process answers at a time at first, each until its data channel is open."""
MAX_UNCONNECTED = 32
"""As many at the most."""
LEAST_UNCONNECTED = 4
"""As many at the least, since connections over long ways are slow for another reason."""
FAST_SECONDS = 0.5
"""A turn that has not lasted longer allows one more at a time."""
SLOW_SECONDS = 1.5
"""A turn that has lasted longer makes them fewer."""
FEWER = 0.9
"""How many are left then, as a part."""
WAIT_SECONDS = 8.0
"""Maximum seconds that an offer waits for its turn; it is less than whoever made it waits for the
answer (`ANSWER_SECONDS`), so that no turn goes to somebody who has given up."""
FIRST_GUESS_SECONDS = 0.2
"""How long a turn is taken to last before there has been one."""
WEIGHT = 0.2
"""That of the last turn in the mean of all."""
LEAST_PAUSE_SECONDS = 1.0


class TooManyAskError(Exception):
    """There is no turn in time.

    Attributes:
        pause: seconds after which to ask again.
    """

    def __init__(self, pause: float) -> None:
        super().__init__("too many ask at present")
        self.pause = max(LEAST_PAUSE_SECONDS, pause)


class Turns:
    """Who waits for a turn has it when all have had one that came before.

    Attributes:
        allowed: how many may have one at a time.
    """

    def __init__(self) -> None:
        self.allowed = float(FIRST_UNCONNECTED)
        self._limiter = trio.CapacityLimiter(FIRST_UNCONNECTED)
        self._mean = FIRST_GUESS_SECONDS

    @property
    def expected_wait(self) -> float:
        """Seconds until whoever comes now has a turn, if turns last as long as they did lately."""
        if self._limiter.available_tokens > 0:
            return 0.0
        ahead = self._limiter.statistics().tasks_waiting
        return (ahead + 1) / self.allowed * self._mean

    async def wait(self, patience: float = WAIT_SECONDS) -> Turn:
        """Wait for a turn, which is to be ended.

        Args:
            patience: for how many seconds at the most.

        Raises:
            TooManyAskError: there is none in time.
        """
        expected, turn = self.expected_wait, Turn(self)
        if expected <= patience:
            with trio.move_on_after(patience):
                await self._limiter.acquire_on_behalf_of(turn)
                turn.begin()
                return turn
        raise TooManyAskError(expected)

    def note_end(self, turn: Turn, seconds: float, *, is_open: bool) -> None:
        """Let somebody else have a turn after this one, which has lasted so long.

        What has not opened says nothing of this machine: nobody may be there.
        """
        self._limiter.release_on_behalf_of(turn)
        self._mean += WEIGHT * (seconds - self._mean)
        if is_open and seconds > SLOW_SECONDS:
            self.allowed = max(self.allowed * FEWER, LEAST_UNCONNECTED)
        elif is_open and seconds <= FAST_SECONDS:
            self.allowed = min(self.allowed + 1, MAX_UNCONNECTED)
        self._limiter.total_tokens = int(self.allowed)


class Turn:
    """One turn, from when it has begun until it is ended."""

    def __init__(self, turns: Turns) -> None:
        self._turns: Turns | None = turns
        self._began = 0.0

    def begin(self) -> None:
        """Note that it begins now."""
        self._began = trio.current_time()

    def end(self, *, is_open: bool = False) -> None:
        """Let others have theirs; more than once does nothing.

        Args:
            is_open: whether the data channel is open.
        """
        if self._turns is not None:
            turns, self._turns = self._turns, None
            turns.note_end(self, trio.current_time() - self._began, is_open=is_open)


_of_process: trio.lowlevel.RunVar[Turns] = trio.lowlevel.RunVar("turns")


def shared_turns() -> Turns:
    """Those of this process: all its nodes answer with the same processor."""
    try:
        return _of_process.get()
    except LookupError:
        turns = Turns()
        _of_process.set(turns)
        return turns
