"""The options of the command: defaults, config.json, and invalid values."""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import fields
from pathlib import Path

import pytest

from pando.cli.defaults import describe_config, read_config
from pando.cli.items import ItemWords
from pando.cli.options import parse
from pando.cli.settings import FILE_ONLY, Settings, dashed, implemented_options, value_type
from pando.errors import UsageError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def write_config(home):
    def write(content) -> None:
        (home / ".pando").mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (home / ".pando" / "config.json").write_text(text)

    return write


def parse_settings(*arguments: str) -> Settings:
    parsed = parse(["module.py", *arguments])
    assert not isinstance(parsed, str)
    return parsed.settings


def parse_items(*arguments: str) -> ItemWords:
    parsed = parse(["module.py", *arguments])
    assert not isinstance(parsed, str)
    assert parsed.module == "module.py"
    return parsed.items


# ---- the command line ----


def test_defaults():
    assert parse_settings("1") == Settings()
    assert Settings().port == 5000
    assert Settings().degree == 10
    assert Settings().secret == "INSECURE-SECRET"
    assert Settings().bootstrap_timeout == 60
    assert Settings().reporting_interval == 3
    assert Settings().heartbeat == 10_000
    assert not Settings().start_idle


ON_THE_COMMAND_LINE = [f for f in fields(Settings) if f.metadata["group"] != FILE_ONLY]


@pytest.mark.parametrize("option", [f.name for f in ON_THE_COMMAND_LINE])
def test_every_option_is_read_in_each_of_its_forms(option):
    name = f"--{dashed(option)}"
    kind = value_type(option)
    if kind is bool:
        for true in ([name], [f"{name}=true"], [f"{name}=1"], [f"{name}=YES"]):
            assert getattr(parse_settings(*true), option) is True
        for false in ([f"{name}=false"], [f"{name}=0"], [f"--no-{dashed(option)}"]):
            assert getattr(parse_settings(*false), option) is False
        with pytest.raises(UsageError, match=f"{name} is true or false, not 'maybe'"):
            parse_settings(f"{name}=maybe")
        return
    value = {"on_error": "skip", "protocol": "websocket"}.get(option, "7")
    forms = [[f"{name}={value}"]]
    if option != "host":  # the original's users leave out the value of this one
        forms.append([name, value])
        with pytest.raises(UsageError, match=f"{name}.*expected one argument"):
            parse_settings(name)
    for given in forms:
        assert getattr(parse_settings(*given), option) == kind(value)
    if kind is not str:
        with pytest.raises(UsageError, match=f"{name}: invalid {kind.__name__} value: 'x'"):
            parse_settings(name, "x")


def test_options_may_stand_anywhere():
    for arguments in (
        ["--workers", "2", "module.py", "1", "2"],
        ["module.py", "1", "--workers", "2", "2"],
        ["module.py", "1", "2", "--workers=2"],
    ):
        invocation = parse(arguments)
        assert invocation.settings.workers == 2
        assert (invocation.module, invocation.given) == ("module.py", ["workers"])
        assert invocation.items == ItemWords(["1", "2"])


def test_negative_numbers_are_items_and_others_go_after_two_dashes():
    numbers = ["-5", "-1e5", "-.5", "-1.5e-3", "-00", "-0.5", "-05", "-0e1"]
    assert parse_items(*numbers).before == numbers
    odd = ["--local=true", "-x", "--", "-h", "-0", "-"]
    assert parse_items("--", *odd).before == odd
    with pytest.raises(
        UsageError, match="unknown option -x; put items that begin with a dash after `--`; see"
    ):
        parse_items("-x")


def test_a_dash_means_standard_input():
    assert parse_items("-") == ItemWords([], True, [])
    assert parse_items("1", "-", "2", "--", "-") == ItemWords(["1"], True, ["2", "-"])
    assert parse_items("--stdin") == ItemWords(reads_stdin=True)
    assert parse_items("--", "-") == ItemWords(["-"])
    for arguments in (["-", "-"], ["--stdin", "-"]):
        with pytest.raises(UsageError):
            parse_items(*arguments)


def test_null_has_a_short_form():
    for spelling in ("-0", "--null", "--null=true"):
        assert parse_settings(spelling).null
    assert not parse_settings("--null=false").null


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("--wrokers", "--workers"),
        ("--worker=3", "--workers"),
        ("--on-eror=skip", "--on-error"),
        ("--no-server", "--no-serve"),
        ("--std-in", "--stdin"),
        ("--print-completions", "--print-completion"),
    ],
)
def test_what_may_have_been_meant(wrong, right):
    name = wrong.partition("=")[0]
    with pytest.raises(UsageError, match=f"^unknown option {name}; did you mean {right}\\? See"):
        parse_settings(wrong)


def test_an_option_is_never_abbreviated():
    with pytest.raises(UsageError, match="unknown option --work; did you mean --workers"):
        parse_settings("--work", "2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "-1"], "--workers must be at least 0, not -1"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--batch-size", "1000000000"], "--batch-size must be at most 1000000"),
        (["--degree", "1000000000"], "--degree must be at most 10000"),
        (["--workers", "100000"], "--workers must be at most 4096"),
        (["--timeout", "inf"], r"--timeout must be at most 1e\+09"),
        (["--degree", "0"], "--degree must be at least 1"),
        (["--timeout", "0"], "--timeout must be more than 0"),
        (["--timeout", "nan"], "--timeout must be more than 0"),
        (["--heartbeat", "-1"], "--heartbeat must be more than 0"),
        (["--port", "65536"], "--port must be between 0 and 65535"),
        (["--on-error", "panic"], "--on-error must be stop, skip or null, not 'panic'"),
        (["--protocol=tcp"], "--protocol must be auto, websocket or webrtc, not 'tcp'"),
        (["--json", "--strings"], "--json and --strings are mutually exclusive"),
        (["--stdin", "1"], "from --stdin or from the command line, not from both"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(arguments, message):
    with pytest.raises(UsageError, match=message):
        parse_settings(*arguments)


def test_no_module():
    with pytest.raises(UsageError, match="missing MODULE"):
        parse([])


def test_the_help_page_names_every_option_that_does_something():
    page = parse(["-h"])
    assert isinstance(page, str)
    assert parse(["--help", "module.py", "1"]) == page
    words = page.split()
    for option in ON_THE_COMMAND_LINE:
        name = dashed(option.name)
        shown = f"--no-{name}" if option.default is True else f"--{name}"
        assert (shown in words) == (not option.metadata["missing"]), name
    for unseen in ("--public ", "to come"):
        assert unseen not in page
    assert "  -0, --null " in page
    assert "  -c CODE " in page
    assert max(map(len, page.splitlines())) <= 96
    assert "Exit status: 0 success, 1 an item failed, 2 usage error;" in page


def test_the_version():
    import pando

    assert parse(["--version"]) == parse(["-v"]) == f"pando {pando.__version__}\n"


# ---- config.json ----


def test_no_config_is_no_fault(tmp_path):
    assert read_config() == {}
    for home in ("/dev/null", tmp_path / "not there"):
        assert read_config(Path(home)) == {}


def test_a_user_whom_the_system_does_not_know_has_no_config(monkeypatch):
    def not_there(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", not_there)
    monkeypatch.delenv("HOME")
    assert read_config() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_a_home_that_is_closed_has_no_config(write_config, home):
    write_config({"workers": 3})
    home.chmod(0o700)
    assert read_config() == {"workers": 3}
    os.seteuid(54321)
    try:
        assert read_config() == {}
    finally:
        os.seteuid(0)


def test_config_gives_defaults_and_the_command_line_wins(write_config):
    write_config({"workers": 3, "batch-size": 5, "global_monitoring": True, "timeout": 2})
    settings = parse_settings("--workers", "1", "--global-monitoring=false")
    assert settings.workers == 1
    assert settings.batch_size == 5
    assert settings.timeout == 2.0
    assert isinstance(settings.timeout, float)
    assert settings.global_monitoring is False


@pytest.mark.parametrize(
    ("content", "serve", "listen"),
    [
        ({}, True, None),
        ({"serve": False}, False, None),
        ({"no-serve": True}, False, None),
        ({"no_serve": True}, False, None),
        ({"no-serve": False}, True, None),
        ({"serve": "lan"}, True, None),
        ({"serve": "local"}, True, "127.0.0.1"),
    ],
)
def test_config_says_who_may_connect(write_config, content, serve, listen):
    write_config(content)
    settings = parse_settings("1")
    assert (settings.serve, settings.listen) == (serve, listen)
    assert parse_settings("1", "--serve").serve
    assert not parse_settings("1", "--no-serve").serve
    assert parse_settings("1", "--listen=192.168.1.7").listen == "192.168.1.7"


@pytest.mark.parametrize("configured", ["local", "lan", False])
def test_the_environment_wins_over_config(write_config, monkeypatch, configured):
    write_config({"serve": configured})
    for text, serve, listen in (("0", False, None), ("lan", True, None), ("local", True, "127.0")):
        monkeypatch.setenv("PANDO_SERVE", text)
        settings = parse_settings("1")
        assert settings.serve is serve
        assert not serve or (settings.listen or "None").startswith(str(listen))
        assert parse_settings("1", "--serve").serve
    monkeypatch.setenv("PANDO_SERVE", "yes")
    with pytest.raises(UsageError, match="PANDO_SERVE must be 0, local or lan, not 'yes'"):
        parse_settings("1")


def test_every_key_of_config_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    table = describe_config()
    assert table in page, f"the table in docs/configuration.md should be\n{table}"
    assert table.count("\n") == 2 + len(implemented_options())


@pytest.mark.parametrize("row", describe_config().splitlines()[2:])
def test_every_documented_key_works(write_config, row):
    key, value, default, _ = (cell.strip(" `") for cell in row.strip("|").split("|"))
    examples = {"true or false": True, "a whole number": 7, "a number": 2.5, "text": "here"}
    example = examples.get(value, value.partition("`")[0].strip('"') or None)
    write_config({key: example})
    is_negated = key.startswith("no-")
    name = key.removeprefix("no-").replace("-", "_")
    # `stdin` is for when no items are named.
    settings = parse_settings() if key == "stdin" else parse_settings("1")
    assert getattr(settings, name) == (not example if is_negated else example)
    assert default == ("" if Settings.__dataclass_fields__[name].default is None else default)


def test_config_as_old_files_have_it(write_config):
    write_config({"iceServers": "stun:a,stun:b", "limit": 2, "sync-stdio": False, "host": None})
    settings = parse_settings()
    assert settings.ice_servers == "stun:a,stun:b"
    assert settings.batch_size == 2
    assert settings.host is None


def test_items_on_the_command_line_win_over_stdin_in_config(write_config):
    write_config({"stdin": True})
    assert parse_settings().stdin
    assert not parse_settings("1").stdin


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"wrokers": 2}, "'wrokers' is not an option; did you mean 'workers'?"),
        ({"no-workers": True}, "'no-workers' is not an option"),
        ({"no-serve": 1}, "'no-serve' should be true or false, not 1"),
        ({"serve": "everywhere"}, "'serve' should be true or false, not \"everywhere\""),
        ({"workers": "2"}, """'workers' should be a whole number, not "2\""""),
        ({"workers": 1.5}, "'workers' should be a whole number, not 1.5"),
        ({"workers": True}, "'workers' should be a whole number, not true"),
        ({"timeout": "1"}, "'timeout' should be a number"),
        ({"stdin": 1}, "'stdin' should be true or false, not 1"),
        ({"secret": 1}, "'secret' should be text, not 1"),
        ({"workers": -1}, "--workers must be at least 0, not -1"),
        ({"on-error": "panic"}, "--on-error must be stop, skip or null"),
        ([1], "should hold one JSON object"),
        ("{", "is not JSON"),
        ("\udcff", "cannot be read"),
    ],
)
def test_a_wrong_config_is_named_with_its_file(write_config, home, content, message):
    if content == "\udcff":
        write_config({})
        (home / ".pando" / "config.json").write_bytes(b'{"secret": "\xff"}')
    else:
        write_config(content)
    with pytest.raises(UsageError) as caught:
        read_config()
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(home / ".pando" / "config.json"))
    assert "\n" not in str(caught.value)


def test_the_help_page_is_shown_whatever_config_says(write_config):
    write_config("{")
    assert isinstance(parse(["-h"]), str)
