"""The `pando` command as a process: what it prints, what it says, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from pando.cli.items import MAX_DIGITS, LineSplitter, parse_words
from pando.cli.main import main
from pando.cli.output import encode_lines

from ..processes import COMMAND, GENEROUS_SECONDS, all_gone, environment, run_command, wait_until

pytestmark = pytest.mark.process

ECHO = "def pando(x):\n    return x\n"
TYPES = "def pando(x):\n    return f'{type(x).__name__} {x!r}'\n"
FAIL_ON_3 = """\
def pando(x):
    if x in (3, "abc"):
        raise ValueError(f"no {x}")
    return x
"""


@pytest.fixture
def module(tmp_path):
    """Write a module and return its path."""

    def write(text, name="my_module.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def errors_of(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode()


# ---- items ----

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


def test_items_of_the_command_line(module):
    items = ["1", "abc", "007", "-1e5", "0x10", "", "1_000", "12345678901234567890"]
    done = run_command(module(TYPES), *items)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [
        "int 1", "str 'abc'", "int 7", "float -100000.0", "int 16", "str ''", "str '1_000'",
        "int 12345678901234567890",
    ]  # fmt: skip
    done = run_command(module(TYPES), "--strings", "1", "0x10", "--", "-x")
    assert done.stdout.decode().splitlines() == ["str '1'", "str '0x10'", "str '-x'"]


@pytest.mark.parametrize("local", ["--local=false", "--local=true"])
def test_lines_come_out_as_they_went_in(module, local):
    megabytes = b"x" * 10_000_000
    lines = [b"a", b"", b"\xff\xfe", "ü€😀".encode(), b" x ", b"\xed\xa0\x80", megabytes, b"last"]
    text = b"\n".join([b"first\r", *lines])
    done = run_command(module(ECHO), "--stdin", local, stdin=text)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.split(b"\n") == [b"first", *lines, b""]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_lines_are_split_alike_however_the_bytes_come(size):
    text = "a\r\nbö\n\n\r\n\udcff\rc\nno end".encode("utf-8", "surrogateescape")
    splitter = LineSplitter()
    lines = []
    for start in range(0, len(text), size):
        lines += splitter.feed(text[start : start + size])
    lines += splitter.end()
    assert lines == ["a", "bö", "", "", "\udcff\rc", "no end"]
    assert splitter.end() == []


def test_bytes_survive_beside_what_cannot_be_written():
    assert encode_lines(["\udcff", "\ud800", "ok"]) == b"\xff\n\\ud800\nok\n"


def test_json_lines(module):
    path = module(ECHO)
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


def test_no_items(module):
    path = module(ECHO)
    done = run_command(path, "--stdin", stdin=b"")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = run_command(path)
    assert (done.returncode, done.stdout) == (0, b"")
    assert errors_of(done).startswith("pando: there are no items")


def test_many_lines_stream_in_order(module):
    path = module("def pando(x):\n    return x * x\n")
    numbers = range(50_000)
    done = run_command(path, "--stdin", stdin="\n".join(map(str, numbers)).encode())
    assert done.returncode == 0
    assert done.stdout == "".join(f"{n * n}\n" for n in numbers).encode()


@pytest.mark.parametrize("option", ["--workers=1", "--local"])
def test_each_line_is_answered_before_the_next_is_there(module, option):
    with subprocess.Popen(
        [*COMMAND, str(module(ECHO)), "--stdin", option],
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


# ---- functions that meddle ----

MEDDLING = """\
import os, sys
print("printed while importing")
os.system("echo said while importing")

def pando(x):
    print(f"printed {x}")
    os.write(1, b"written\\n")
    os.system("echo said")
    os.chdir("/")
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    if x == 3:
        sys.exit("enough")
    return x
"""


@pytest.mark.parametrize("option", ["--workers=2", "--local"])
def test_whatever_a_function_does_results_are_not_corrupted(module, option):
    done = run_command(module(MEDDLING), option, "1", "2", "3", "4", "--on-error=skip")
    assert (done.returncode, done.stdout) == (1, b"1\n2\n4\n")
    errors = errors_of(done)
    for words in ("printed while importing", "said while importing", "printed 4", "written"):
        assert words in errors
    assert "pando: item 2 (3): SystemExit: the function called sys.exit('enough')" in errors


def test_a_function_cannot_read_the_items(module):
    path = module("import sys\n\ndef pando(x):\n    return [x, sys.stdin.read()]\n")
    done = run_command(path, "--stdin", "--json", stdin=b"1\n2\n3\n")
    assert (done.returncode, done.stdout) == (0, b'[1, ""]\n[2, ""]\n[3, ""]\n')


def test_an_asynchronous_function(module):
    path = module(
        "import asyncio\n\nasync def pando(x):\n    await asyncio.sleep(0)\n    return x\n"
    )
    assert run_command(path, "1", "2").stdout == b"1\n2\n"
    assert run_command(path, "1", "2", "--local").stdout == b"1\n2\n"


# ---- errors of items ----


@pytest.mark.parametrize("option", ["--workers=2", "--local"])
def test_what_happens_when_items_fail(module, option):
    path = module(FAIL_ON_3)
    items = ["1", "2", "3", "4", "abc", "6"]

    done = run_command(path, option, *items)
    assert (done.returncode, done.stdout) == (1, b"1\n2\n")
    errors = errors_of(done)
    assert errors.startswith("Traceback (most recent call last):\n")
    assert 'raise ValueError(f"no {x}")' in errors
    assert f'File "{path}", line 3' in errors
    assert "pando/" not in errors.replace(str(path), "")
    assert errors.endswith("pando: item 2 (3): ValueError: no 3\n")

    done = run_command(path, option, "--on-error", "skip", *items)
    assert (done.returncode, done.stdout) == (1, b"1\n2\n4\n6\n")
    assert "pando: item 2 (3): ValueError: no 3\n" in errors_of(done)
    assert errors_of(done).endswith("pando: item 4 ('abc'): ValueError: no abc\n")

    done = run_command(path, option, "--on-error=null", *items)
    assert (done.returncode, done.stdout) == (1, b"1\n2\n\n4\n\n6\n")


def test_a_crash_and_a_timeout_on_the_command_line(module):
    path = module(
        "import os, time\n\ndef pando(x):\n    if x == 'die':\n        os._exit(4)\n"
        "    if x == 'sleep':\n        time.sleep(600)\n    return x\n"
    )
    done = run_command(path, "--timeout=0.3", "--on-error=skip", "1", "die", "2", "sleep", "3")
    assert (done.returncode, done.stdout) == (1, b"1\n2\n3\n")
    died, slow = errors_of(done).splitlines()
    assert died.startswith("pando: item 1 ('die'): WorkerLost: the item was given up after 3")
    assert slow == "pando: item 3 ('sleep'): TimeoutError: it took longer than 0.3 s"


def test_a_function_that_cannot_be_loaded_by_workers(module):
    path = module(
        "import sys\nif 'pando.runtime.child' in sys.modules:\n    raise OSError('not there')\n"
        "def helper():\n    pass\nclass A:\n    pass\ndef pando(x):\n    return A and x\n"
    )
    done = run_command(path, "1", "2")
    assert (done.returncode, done.stdout) == (2, b"")
    assert errors_of(done).count("Traceback") == 1
    assert errors_of(done).endswith("pando: the function cannot be loaded: OSError: not there\n")


# ---- wrong use ----

WRONG_MODULES = {
    "def pando(x:\n": "line 1: SyntaxError",
    "import not_there\ndef pando(x): return x": "ModuleNotFoundError: No module named 'not_there'",
    "1 / 0": "line 1 fails to import: ZeroDivisionError",
    "import sys\nsys.exit(3)": "line 2 fails to import: SystemExit: 3",
    "x = 1": "exports no function: it should define `def pando(x)`",
    "pando = 5": "pando is not a function",
    "def pando(): pass": "the function must take one value",
    "def pando(x): pass\nexports = {'/pando/1.0.0': len}": "exports more than one function",
}


@pytest.mark.parametrize("text", WRONG_MODULES)
def test_a_wrong_module_is_refused_in_one_sentence(module, text, capfd):
    path = module(text)
    assert main([str(path), "1"]) == 2
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err.startswith("pando: ")
    assert output.err.count("\n") == 1
    assert WRONG_MODULES[text] in output.err
    assert str(path) in output.err


def test_wrong_use_is_refused_in_one_sentence(module, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = str(module(ECHO))
    text_file = module("hello", "words.txt")
    for arguments, message in {
        (): "which module?",
        ("not_there.py", "1"): "there is no file not_there.py",
        (str(tmp_path), "1"): "is a folder, not a Python file",
        (str(text_file), "1"): "its name should end in .py",
        (path, "--frobnicate=3", "1"): "there is no option --frobnicate, and items with",
        (path, "--stdin", "1"): "not from both",
        (path, "--no-serve", "--workers", "0", "1"): "nobody would compute",
        (path, "--no-serve", "--start-idle", "1"): "nobody would compute",
        (path, "--on-error=x", "1"): "must be stop, skip or null",
    }.items():
        assert main(list(arguments)) == 2
        output = capfd.readouterr()
        assert output.out == ""
        assert output.err.startswith("pando: ")
        assert output.err.count("\n") == 1
        assert message in output.err

    (tmp_path / ".pando").mkdir()
    (tmp_path / ".pando" / "config.json").write_text('{"wrokers": 2}')
    assert main([path, "1"]) == 2
    assert "config.json: 'wrokers' is not an option" in capfd.readouterr().err


def test_the_whole_command_in_wrong_use_and_in_config(module, tmp_path):
    done = run_command("not_there.py")
    assert (done.returncode, done.stdout) == (2, b"")
    assert errors_of(done) == "pando: there is no file not_there.py\n"

    (tmp_path / ".pando").mkdir()
    (tmp_path / ".pando" / "config.json").write_text('{"strings": true, "on-error": "skip"}')
    done = run_command(module(TYPES), "1", home=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"str '1'\n")


def test_options_to_come_say_so(module, capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main([str(module(ECHO)), "--headless", "--public", "--global-monitoring"]) == 0
    errors = capfd.readouterr().err
    assert "pando: --global-monitoring has no effect yet" in errors
    assert "pando: --public has no effect yet" in errors
    assert "pando: --headless is not needed" in errors


def test_help_and_version():
    done = run_command("-h")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"usage: pando MODULE [OPTIONS] [ITEM ...]\n")
    done = run_command("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, b"pando")


# ---- how it ends ----

WAIT = """\
import os, time

def pando(x):
    if x:
        time.sleep(600)
    return os.getpid()
"""
STUBBORN = WAIT.replace("time.sleep(600)", "__import__('re').match(r'(a|aa)+$', 'a' * 100 + 'b')")


@pytest.mark.parametrize(("text", "option"), [(WAIT, "--workers=2"), (STUBBORN, "--workers=1"),
                                              (WAIT, "--local")])  # fmt: skip
def test_control_c(module, text, option):
    with subprocess.Popen(
        [*COMMAND, str(module(text)), option, *["0", "1", "1", "1"]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as command:
        pid = int(command.stdout.readline())
        time.sleep(0.1)
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=GENEROUS_SECONDS)
    assert (command.returncode, errors) == (130, b"")
    assert all_gone([pid])


@pytest.mark.parametrize("option", ["--workers=2", "--local"])
def test_a_closed_output_ends_it_quietly(module, option):
    with subprocess.Popen(
        [*COMMAND, str(module(ECHO)), "--stdin", option],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as command:
        command.stdin.write(b"1\n2\n")
        command.stdin.flush()
        assert command.stdout.readline() == b"1\n"
        command.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            while command.poll() is None:
                command.stdin.write(b"3\n" * 1000)
        assert command.wait(GENEROUS_SECONDS) == 0
        assert command.stderr.read() == b""
        with contextlib.suppress(BrokenPipeError):
            command.stdin.close()


def test_an_output_that_takes_no_more_is_told(module):
    with open("/dev/full", "wb") as full:
        for option in ("--workers=1", "--local"):
            done = subprocess.run(
                [*COMMAND, str(module(ECHO)), option, "1"],
                stdout=full,
                stderr=subprocess.PIPE,
                env=environment(),
                check=False,
            )
            assert done.returncode == 1
            assert errors_of(done) == (
                "pando: the results cannot be written: No space left on device\n"
            )


def test_closed_standard_files(module):
    def run(arguments: list[str], closed: int) -> subprocess.CompletedProcess[bytes]:
        shell = f'exec "$@" {closed}>&-'
        return subprocess.run(
            ["sh", "-c", shell, "sh", *COMMAND, str(module(ECHO)), *arguments],
            capture_output=True,
            env=environment(),
            check=False,
        )

    for option in ("--workers=1", "--local"):
        done = run(["--stdin", option], closed=0)
        assert (done.returncode, errors_of(done)) == (2, "pando: standard input is closed\n")
    done = run(["1"], closed=1)
    assert (done.returncode, errors_of(done)) == (2, "pando: standard output is closed\n")
    done = run(["1"], closed=2)
    assert (done.returncode, done.stdout) == (0, b"1\n")


def test_memory_is_flat_behind_a_slow_reader(module):
    """A reader that has stopped stops the reading of items, too."""
    with subprocess.Popen(
        [*COMMAND, str(module(ECHO)), "--stdin", "--workers=1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as command:
        os.set_blocking(command.stdin.fileno(), False)
        lines = b"0123456789\n" * 5000
        written = 0
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < 1.0:
            try:
                written += os.write(command.stdin.fileno(), lines)
                idle_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
            assert written < 20_000_000
        command.kill()
        command.stdout.close()


# ---- debugging ----

BREAKPOINT = """\
def pando(x):
    y = x + 1
    breakpoint()
    return y
"""


def test_a_breakpoint_works_with_items_as_arguments(module):
    done = run_command(module(BREAKPOINT), "--local", "1", stdin=b"p y * 21\ny = 5\nc\n")
    assert (done.returncode, done.stdout) == (0, b"5\n")
    assert "42" in errors_of(done)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, arguments: list[str], items: bytes | None = None) -> None:
        items_end, self.items = os.pipe()
        results, results_end = os.pipe()
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            if items is not None:
                os.dup2(items_end, 0)
            os.dup2(results_end, 1)
            os.closerange(3, 100)
            os.execvpe(COMMAND[0], [*COMMAND, *arguments], environment())
        os.close(items_end)
        os.close(results_end)
        if items:
            os.write(self.items, items)
        os.close(self.items)
        self._results = results
        self.shown = b""

    def wait_for(self, text: bytes) -> None:
        def seen() -> bool:
            if select.select([self.terminal], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    self.shown += os.read(self.terminal, 4096)
            return text in self.shown

        assert wait_until(seen), self.shown

    def type(self, text: bytes) -> None:
        os.write(self.terminal, text)

    def end(self) -> tuple[int, bytes]:
        """The exit status and the results."""
        results = b""
        while chunk := os.read(self._results, 4096):
            results += chunk
        while True:
            try:
                chunk = os.read(self.terminal, 4096)
            except OSError:
                break
            if not chunk:
                break
            self.shown += chunk
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._results)
        os.close(self.terminal)
        return status, results


def test_a_breakpoint_works_on_the_terminal_while_items_come_from_elsewhere(module):
    command = Terminal([str(module(BREAKPOINT)), "--local", "--stdin"], items=b"1\n2\n")
    command.wait_for(b"(Pdb)")
    command.type(b"p 'saw', y\n")
    command.wait_for(b"('saw', 2)")
    command.type(b"c\n")
    command.wait_for(b"return y")
    command.type(b"y = 7\n")
    command.type(b"c\n")
    assert command.end() == (0, b"2\n7\n")


# ---- progress ----

SLOW = "import time\n\ndef pando(x):\n    time.sleep(0.1)\n    return x\n"


def test_progress_is_shown_on_a_terminal_only(module):
    path = str(module(SLOW))
    items = [str(n) for n in range(10)]
    results = "".join(f"{n}\n" for n in items).encode()

    command = Terminal([path, "--workers=1", *items])
    assert command.end() == (0, results)
    assert b" of 10 done" in command.shown
    assert b"1 worker" in command.shown
    assert b"left" in command.shown
    assert command.shown.endswith(b"\r\x1b[2K")  # it leaves nothing behind

    command = Terminal([path, "--workers=1", "--quiet", *items])
    assert command.end() == (0, results)
    assert command.shown == b""

    done = run_command(path, "--workers=2", *items[:3])
    assert (done.stdout, done.stderr) == (b"0\n1\n2\n", b"")


def test_what_comes_from_other_devices_does_not_rule_the_terminal(module):
    done = run_command(
        module("def pando(x):\n    raise ValueError('\\x1b[31mred\\x07 \\u00e9\\tok')\n"), "1"
    )
    assert b"\x1b" not in done.stderr
    assert b"\x07" not in done.stderr
    assert "\\x1b[31mred\\x07 \u00e9\tok".encode() in done.stderr
    assert done.returncode == 1


def test_a_folder_of_wheels_must_be_there(module):
    done = subprocess.run(
        [arg for arg in COMMAND if arg != "--no-serve"]
        + [module(ECHO), "--port=0", "--wheels=nowhere", "1"],
        capture_output=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert b"nowhere is not a folder with wheels" in done.stderr
    assert done.returncode == 2
