"""Shell completion and manual pages, generated from the options."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pando.cli import options, volunteer_command
from pando.cli.manual import format_manual
from pando.cli.parser import SHELLS, Parser
from pando.cli.shells import print_completion
from pando.errors import UsageError

from ..processes import run_command

PARSERS = {
    "pando": options.documented_parser,
    "pando-volunteer": volunteer_command.make_parser,
}
HIDDEN = ("--public ", "--no-stdin", "--serve")
COMPLETE = {
    "bash": (
        'source "$1"; COMP_WORDS=(pando "${@:2}"); COMP_CWORD=$(($# - 1)); _shtab_pando;'
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    ),
    "fish": 'source $argv[1]; complete -C "pando $argv[2..]"',
}


def shell_or_skip(shell: str) -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    return shell


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", PARSERS)
def test_the_completion_is_of_the_options_on_the_help_page(command: str, shell: str) -> None:
    parser = PARSERS[command]()
    script = print_completion(parser, shell)
    for option in parser.visible_options():
        name = option.lstrip("-")
        assert re.search(rf"(-|-l |-s ){re.escape(name)}\b", script), option
    for unseen in HIDDEN:
        assert unseen not in script


@pytest.mark.process
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", PARSERS)
def test_shells_can_read_it(command: str, shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(print_completion(PARSERS[command](), shell_or_skip(shell)))
    done = subprocess.run([shell, "-n", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.process
@pytest.mark.parametrize("shell", COMPLETE)
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["--work"], {"--workers"}),
        (["here.py", "--start"], {"--start-idle"}),
        (["--on-error", ""], {"stop", "skip", "null"}),
        (["--print-completion", ""], set(SHELLS)),
        (["her"], {"here.py"}),
        (["--keyfile", "her"], {"here.py"}),
    ],
)
def test_shells_complete(shell: str, words: list[str], completed: set[str], tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(print_completion(options.documented_parser(), shell_or_skip(shell)))
    (tmp_path / "here.py").touch()
    start = [shell, "-c", COMPLETE[shell], *(["bash"] if shell == "bash" else [])]
    done = subprocess.run(
        [*start, script, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert {line.partition("\t")[0] for line in done.stdout.splitlines()} == completed


@pytest.mark.parametrize("command", PARSERS)
def test_the_manual_has_all_that_the_help_page_has(command: str) -> None:
    parser = PARSERS[command]()
    page = format_manual(parser)
    assert page.startswith(f".TH {command.upper().replace('-', chr(92) + '-')} 1 ")
    text = re.sub(r"\\f[BRI]|\\&", "", page).replace("\\-", "-").replace("\\(aq", "'")
    text = text.replace("\\(ga", "`").replace("\\e", "\\")
    for action in parser._actions:
        if action.help != argparse.SUPPRESS:
            assert str(action.help).replace("%%", "%") in text
            assert all(option in text for option in action.option_strings)
    for unseen in HIDDEN:
        assert unseen not in text
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SEE ALSO"):
        assert f"\n.SH {section}\n" in page


@pytest.mark.parametrize("command", PARSERS)
def test_nothing_in_the_manual_is_a_request_by_accident(command: str) -> None:
    requests = {"TH", "SH", "SS", "TP", "PP", "nf", "fi", "BR"}
    for line in format_manual(PARSERS[command]()).splitlines():
        assert not line.startswith("'")
        assert not line.startswith(".") or line[1:3] in requests, line
        assert re.sub(r"\\(f[BRI]|&|-|e|\(aq|\(ga)", "", line).count("\\") == 0, line


@pytest.mark.process
@pytest.mark.parametrize("command", PARSERS)
@pytest.mark.parametrize(
    "reader", [["mandoc", "-T", "lint", "-W", "error"], ["groff", "-man", "-Tutf8", "-ww", "-z"]]
)
def test_readers_of_manuals_find_no_fault(command: str, reader: list[str]) -> None:
    shell_or_skip(reader[0])
    page = format_manual(PARSERS[command]())
    done = subprocess.run(reader, input=page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.process
def test_the_command_prints_them() -> None:
    done = run_command("--print-man")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b".TH PANDO 1 ")
    done = run_command("module.py", "--print-completion", "bash")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"complete " in done.stdout
    done = run_command("--print-completion", "tcsh")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_a_parser_escapes_what_roff_would_obey() -> None:
    parser = Parser(prog="pando", usage="pando\n  .x", description=".SH no\n'x \\fB-1\n\n  .a")
    page = format_manual(parser)
    assert "\n\\&.x\n" in page
    assert "\n\\&.SH no\n\\(aqx \\efB\\-1\n" in page
    with pytest.raises(UsageError, match=r"; see pando -h$"):
        parser.error("wrong")


def test_both_parsers_suggest(monkeypatch: pytest.MonkeyPatch) -> None:
    make: Callable[[], Parser]
    for command, make in PARSERS.items():
        with pytest.raises(UsageError, match=f"did you mean --workers\\? See {command} -h"):
            make().refuse("--wokers=2")
        with pytest.raises(UsageError, match=f"unknown option --zzz, so; see {command} -h"):
            make().refuse("--zzz", ", so")
