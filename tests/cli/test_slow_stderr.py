"""Standard error that nobody reads, or that cannot be written: the results go on."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pando.cli.error_stream import CHUNK_BYTES, MEMORY_BYTES, ErrorStream

from ..processes import COMMAND, GENEROUS_SECONDS, environment

MODULE = """\
def pando(x):
    if x % 2:
        raise ValueError("odd " + 2000 * "x")
    return x
"""
ITEMS = 400
"""Their errors are far more than a pipe holds."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for file in (reader, writer):
        os.close(file)


def read(file: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(file, size - len(data))
    return data


# ---- the stream ----


def test_what_waits_comes_whole_and_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream = ErrorStream(writer)
    lines = [f"{number} {'é' * 1000}\n" for number in range(MEMORY_BYTES // 1000)]
    for line in lines:
        stream.write(line)  # this would block for ever, if it could
    expected = "".join(lines).encode()
    assert len(expected) > MEMORY_BYTES + CHUNK_BYTES
    assert read(reader, len(expected)) == expected
    stream.write("more")
    assert read(reader, 4) == b"more"
    stream.finish(GENEROUS_SECONDS)


def test_drawings_are_skipped_and_counted_while_something_waits(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream = ErrorStream(writer)
    assert stream.draw("first")
    assert read(reader, 5) == b"first"
    text = "x" * 4 * CHUNK_BYTES
    stream.write(text)
    assert not stream.draw("second")
    assert stream.skipped == 1
    assert read(reader, len(text)) == text.encode()
    stream.finish(GENEROUS_SECONDS)


def test_finishing_waits_for_the_reader(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream = ErrorStream(writer)
    text = "x" * 4 * CHUNK_BYTES
    stream.write(text)
    ended = threading.Thread(target=stream.finish, args=[None])
    ended.start()
    ended.join(0.1)
    assert ended.is_alive()
    assert read(reader, len(text)) == text.encode()
    ended.join(GENEROUS_SECONDS)
    assert not ended.is_alive()


def test_a_reader_that_is_gone_costs_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = ErrorStream(writer)
    for _ in range(100):
        stream.write("x" * CHUNK_BYTES)
    stream.finish(GENEROUS_SECONDS)
    os.close(writer)


# ---- the command ----


def start(folder: Path, errors: int) -> subprocess.Popen[bytes]:
    path = folder / "module.py"
    path.write_text(MODULE)
    items = map(str, range(ITEMS))
    return subprocess.Popen(
        [*COMMAND, str(path), "--on-error=skip", "--workers=2", *items],
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment(),
    )


EVEN = "".join(f"{number}\n" for number in range(0, ITEMS, 2)).encode()


@pytest.mark.process
def test_errors_that_nobody_reads_hold_up_no_result(tmp_path: Path, pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with start(tmp_path, writer) as process:
        assert process.stdout
        assert read(process.stdout.fileno(), len(EVEN)) == EVEN
        assert process.poll() is None, "its errors wait to be read"
        errors = b""
        while errors.count(b"pando: item") < ITEMS // 2:
            errors += os.read(reader, 65536)
        assert process.wait(GENEROUS_SECONDS) == 1
    assert errors.index(b"item 1 (1)") < errors.index(b"item 399 (399)")


@pytest.mark.process
def test_ctrl_c_ends_it_although_nobody_reads(tmp_path: Path, pipe: tuple[int, int]) -> None:
    _, writer = pipe
    with start(tmp_path, writer) as process:
        assert process.stdout
        assert read(process.stdout.fileno(), 10) == EVEN[:10]
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert process.wait(GENEROUS_SECONDS) == -signal.SIGINT
        assert time.monotonic() - began < GENEROUS_SECONDS / 2


@pytest.mark.process
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_errors_on_a_full_disk(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full, start(tmp_path, full.fileno()) as process:
        assert process.stdout
        assert process.stdout.read() == EVEN
        assert process.wait(GENEROUS_SECONDS) == 1
