"""Pauses between attempts to connect."""

from __future__ import annotations

from pando.volunteering.backoff import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    SHORT_PAUSE_SECONDS,
    SHORT_PAUSES_SECONDS,
    Backoff,
)


def pauses(backoff: Backoff, start: float, count: int) -> list[float]:
    """Return consecutive pauses from a time on."""
    made: list[float] = []
    for _ in range(count):
        made.append(backoff.next_pause(start + sum(made)))
    return made


def test_pauses_are_short_at_first_and_long_later():
    made = pauses(Backoff(100.0), 100.0, 200)
    assert FIRST_PAUSE_SECONDS / 2 <= made[0] <= FIRST_PAUSE_SECONDS
    assert FIRST_PAUSE_SECONDS <= made[1] <= 2 * FIRST_PAUSE_SECONDS
    within = sum(sum(made[: n + 1]) <= SHORT_PAUSES_SECONDS for n in range(len(made)))
    assert max(made[:within]) <= SHORT_PAUSE_SECONDS
    assert min(made[-100:]) >= LONGEST_PAUSE_SECONDS / 2
    assert SHORT_PAUSE_SECONDS < max(made) <= LONGEST_PAUSE_SECONDS


def test_half_of_a_pause_is_random():
    made = {Backoff(0.0).next_pause(0.0) for _ in range(100)}
    assert len(made) > 50


def test_a_root_that_answers_makes_pauses_short_again():
    backoff = Backoff(0.0)
    pauses(backoff, 0.0, 200)
    backoff.reset()
    backoff.note_contact(5000.0)
    assert backoff.next_pause(5000.0) <= FIRST_PAUSE_SECONDS
    assert max(pauses(backoff, 5000.0, 10)) <= SHORT_PAUSE_SECONDS
