"""Items from arguments, lines and files, and the format of results."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from pando.cli.items import MAX_DIGITS, parse_words
from pando.cli.lines import NUL, LineSplitter
from pando.cli.output import encode_lines

from ..processes import COMMAND, GENEROUS_SECONDS, environment, run_command
from .modules import ECHO, TYPES, errors_of

pytestmark = pytest.mark.process


NUMBERS = {
    "0x10": 16,
    "0XfF": 255,
    "007": 7,
    "1e3": 1000.0,
    "-5": -5,
    "-1e5": -1e5,
    "+3": 3,
    ".5": 0.5,
    "2.": 2.0,
    "-0.0": -0.0,
    "12345678901234567890": 12345678901234567890,
    "9" * 5000: 10**5000 - 1,
}
STRINGS = ["1_000", "", " 5", "5 ", "abc", "0x", "1e", "-", ".", "1.2.3", "inf", "nan", "٣", "0b1"]


@pytest.fixture
def many_digits():
    """Allow numbers as long as the command allows them."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(MAX_DIGITS)
    yield
    sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.usefixtures("many_digits")
def test_numbers_become_numbers(together):
    texts = [*NUMBERS, *STRINGS]
    values = [*NUMBERS.values(), *STRINGS]
    parsed = parse_words(texts) if together else [parse_words([text])[0] for text in texts]
    for value, expected in zip(parsed, values, strict=True):
        assert (type(value), value) == (type(expected), expected)


@pytest.mark.usefixtures("many_digits")
def test_a_huge_row_of_digits_stays_a_string():
    start = time.monotonic()
    digits = "7" * (MAX_DIGITS + 1)
    assert parse_words([digits, "5"]) == [digits, 5]
    assert parse_words([digits]) == [digits]
    assert time.monotonic() - start < GENEROUS_SECONDS


def test_items_of_the_command_line(python_module):
    items = ["1", "abc", "007", "-1e5", "0x10", "", "1_000", "12345678901234567890"]
    done = run_command(python_module(TYPES), *items)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [
        "int 1", "str 'abc'", "int 7", "float -100000.0", "int 16", "str ''", "str '1_000'",
        "int 12345678901234567890",
    ]  # fmt: skip
    done = run_command(python_module(TYPES), "--strings", "1", "0x10", "--", "-x")
    assert done.stdout.decode().splitlines() == ["str '1'", "str '0x10'", "str '-x'"]


@pytest.mark.parametrize("local", ["--local=false", "--local=true"])
def test_lines_come_out_as_they_went_in(python_module, local):
    megabytes = b"x" * 10_000_000
    lines = [b"a", b"", b"\xff\xfe", "ü€😀".encode(), b" x ", b"\xed\xa0\x80", megabytes, b"last"]
    text = b"\n".join([b"first\r", *lines])
    done = run_command(python_module(ECHO), "--stdin", local, stdin=text)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.split(b"\n") == [b"first", *lines, b""]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_lines_are_split_alike_however_the_bytes_come(size):
    text = "a\r\nbö\n\n\r\n\udcff\rc\nno end".encode("utf-8", "surrogateescape")
    splitter = LineSplitter()
    lines = []
    for start in range(0, len(text), size):
        lines += splitter.feed(text[start : start + size])
    lines += splitter.finish()
    assert lines == ["a", "bö", "", "", "\udcff\rc", "no end"]
    assert splitter.finish() == []


def test_bytes_survive_beside_what_cannot_be_written():
    assert encode_lines(["\udcff", "\ud800", "ok"]) == b"\xff\n\\ud800\nok\n"


def test_json_lines(python_module):
    path = python_module(ECHO)
    text = b'{"a": [1, 2.5, null, true]}\n{bad\n\n"\xc3\xbc"\n12345678901234567890\nNaN'
    done = run_command(path, "--stdin", "--json", "--on-error", "null", stdin=text)
    assert done.returncode == 1
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert results == [{"a": [1, 2.5, None, True]}, None, None, "ü", 12345678901234567890, None]
    assert '"ü"'.encode() in done.stdout
    errors = errors_of(done).splitlines()
    assert len(errors) == 3
    assert errors[0].startswith("pando: item 1 ('{bad'): UnsupportedValueError: the line is not J")
    assert errors[1].startswith("pando: item 2 (''): ")
    assert "the result cannot be printed" in errors[2]
    locally = run_command(path, "--stdin", "--json", "--on-error=null", "--local", stdin=text)
    assert (locally.returncode, locally.stdout) == (1, done.stdout)
    assert locally.stderr == done.stderr


def test_no_items(python_module):
    path = python_module(ECHO)
    done = run_command(path, "--stdin", stdin=b"")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for nothing in (subprocess.DEVNULL, ours):
            done = run_command(path, stdin=nothing)
            assert (done.returncode, done.stdout) == (0, b"")
            assert errors_of(done).startswith("pando: no items: pass them")


def test_items_that_wait_on_standard_input_are_not_left_there(python_module, tmp_path):
    path = python_module(ECHO)
    (tmp_path / "items.txt").write_text("1\n2\n")
    with (tmp_path / "items.txt").open("rb") as file:
        for kind, stdin in {"a pipe": b"1\n2\n", "a file": file}.items():
            done = run_command(path, stdin=stdin)
            assert (done.returncode, done.stdout) == (2, b"")
            hint = f"no items, but standard input is {kind}: add --stdin to read items from it"
            assert errors_of(done) == f"pando: {hint}\n"
    done = run_command(path, "7", stdin=b"1\n2\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"7\n", b"")


@pytest.mark.parametrize("option", ["--workers=1", "--local"])
def test_a_dash_means_standard_input(python_module, option):
    path = python_module(TYPES)
    done = run_command(path, option, "-", stdin=b"5\nsix")
    assert done.stdout.decode().splitlines() == ["int 5", "str 'six'"]
    done = run_command(path, option, "a", "1", "-", "2", "--", "-", "-z", stdin=b"5\nsix\n")
    assert done.stdout.decode().splitlines() == [
        "str 'a'", "int 1", "int 5", "str 'six'", "int 2", "str '-'", "str '-z'",
    ]  # fmt: skip
    done = run_command(path, option, "--", "-", stdin=b"5\n")
    assert done.stdout == b"str '-'\n"
    done = run_command(path, option, "-", "-", stdin=b"5\n")
    assert (done.returncode, errors_of(done).count("\n")) == (2, 1)
    assert "can be an item only once" in errors_of(done)


@pytest.mark.parametrize("option", ["--workers=1", "--local"])
def test_items_before_standard_input_do_not_wait_for_it(python_module, option):
    with subprocess.Popen(
        [*COMMAND, str(python_module(ECHO)), option, "first", "-", "last"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as command:
        assert command.stdout.readline() == b"first\n"
        command.stdin.write(b"second\n")
        command.stdin.flush()
        assert command.stdout.readline() == b"second\n"
        command.stdin.close()
        assert command.stdout.read() == b"last\n"


@pytest.mark.parametrize("option", ["--workers=1", "--local"])
def test_null_ends_items_and_results(python_module, option):
    path = python_module(ECHO)
    items = [b"a\nb", b"", b"c\r", b"\xff", b"7"]
    for spelling in ("-0", "--null"):
        done = run_command(path, option, spelling, "--stdin", stdin=NUL.join(items))
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == b"".join(item + NUL for item in items)
    done = run_command(path, option, "-0", "--json", "-", stdin=b'{"a":\n1}\x00"b\\n"\x00')
    assert done.stdout == b'{"a": 1}\x00"b\\n"\x00'


def test_a_result_with_line_ends(python_module):
    path = python_module("def pando(x):\n    return f'{x}\\n{x}'\n")
    assert run_command(path, "1", "2").stdout == b"1\n1\n2\n2\n"
    assert run_command(path, "1", "2", "-0").stdout == b"1\n1\x002\n2\x00"
    assert run_command(path, "1", "2", "--json").stdout == b'"1\\n1"\n"2\\n2"\n'


@pytest.mark.parametrize("option", ["--workers=1", "--local"])
def test_a_standard_input_that_does_not_block_is_waited_for(python_module, option):
    items, theirs = os.pipe()
    os.set_blocking(items, False)
    with subprocess.Popen(
        [*COMMAND, str(python_module(ECHO)), "--stdin", option],
        stdin=items,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as command:
        for line in (b"1\n", b"two\n"):
            time.sleep(0.5)
            os.write(theirs, line)
            assert command.stdout.readline() == line
        os.close(theirs)
        assert command.communicate(timeout=GENEROUS_SECONDS) == (b"", b"")
        assert command.returncode == 0
    os.close(items)


@pytest.mark.parametrize("option", ["--workers=1", "--local"])
def test_a_standard_input_that_cannot_be_read_is_told(python_module, option):
    with open(os.devnull, "wb") as only_written:
        done = run_command(python_module(ECHO), "--stdin", option, stdin=only_written)
    assert (done.returncode, done.stdout) == (2, b"")
    assert errors_of(done) == "pando: standard input cannot be read: Bad file descriptor\n"


def test_many_lines_stream_in_order(python_module):
    path = python_module("def pando(x):\n    return x * x\n")
    numbers = range(50_000)
    done = run_command(path, "--stdin", stdin="\n".join(map(str, numbers)).encode())
    assert done.returncode == 0
    assert done.stdout == "".join(f"{n * n}\n" for n in numbers).encode()


@pytest.mark.parametrize("option", ["--workers=1", "--local"])
def test_each_line_is_answered_before_the_next_is_there(python_module, option):
    with subprocess.Popen(
        [*COMMAND, str(python_module(ECHO)), "--stdin", option],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as command:
        for line in (b"1\n", b"two\n", b"3\n"):
            command.stdin.write(line)
            command.stdin.flush()
            assert command.stdout.readline() == line
        command.stdin.close()
        assert command.stdout.read() == b""
        assert command.wait(GENEROUS_SECONDS) == 0
