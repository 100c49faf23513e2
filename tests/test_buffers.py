"""Messages in pieces, and their memory."""

from __future__ import annotations

import platform
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando.buffers import SMALL_BYTES, Pieces

PROGRAM = """
import resource, sys
from pando.buffers import keep_freed_memory

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        blocks = [bytearray(b"x") * 1_000_000 for _ in range(4)]
        del blocks
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / rounds

taken = faults(50)
keep_freed_memory()
faults(3)
print(taken, faults(50))
"""


@pytest.mark.process
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators do otherwise")
def test_large_blocks_are_not_taken_from_the_system_again_and_again() -> None:
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    ).stdout
    before, after = map(float, output.split())
    assert after < 100 < before, "pages of 4 MB are 1,024"


PIECES = st.one_of(st.binary(max_size=20), st.just(bytes(range(200)) * 30))


@given(st.lists(st.lists(PIECES, max_size=12), max_size=4))
def test_messages_are_their_pieces_in_order(sent: list[list[bytes]]) -> None:
    pieces = Pieces()
    for message in sent:
        for piece in message:
            pieces.add(memoryview(piece))
        assert pieces.take() == b"".join(message)


def test_many_small_pieces_take_little_more_memory_than_their_bytes() -> None:
    count = 200_000
    pieces = Pieces()
    tracemalloc.start()
    try:
        for _ in range(count):
            pieces.add(memoryview(bytes(2)))
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now < 2 * 2 * count
    assert pieces.take() == bytes(2 * count)
    assert SMALL_BYTES > 1000, "what a view and the bytes below it take is a part of that"
