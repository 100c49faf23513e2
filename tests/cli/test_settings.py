"""The options of the command: their defaults, config.json, and what is refused."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from pando.cli.options import parse
from pando.cli.settings import Settings, dashed, read_config, value_type
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
    return parsed[0]


def parse_items(*arguments: str) -> list[str]:
    parsed = parse(["module.py", *arguments])
    assert not isinstance(parsed, str)
    assert parsed[1] == "module.py"
    return parsed[2]


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


@pytest.mark.parametrize("option", [f.name for f in fields(Settings)])
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
    value = "skip" if option == "on_error" else "7"
    for given in ([name, value], [f"{name}={value}"]):
        assert getattr(parse_settings(*given), option) == kind(value)
    with pytest.raises(UsageError, match=f"{name}.*expected one argument"):
        parse_settings(name)
    if kind is not str:
        with pytest.raises(UsageError, match=f"{name}: invalid {kind.__name__} value: 'x'"):
            parse_settings(name, "x")


def test_options_may_stand_anywhere():
    for arguments in (
        ["--workers", "2", "module.py", "1", "2"],
        ["module.py", "1", "--workers", "2", "2"],
        ["module.py", "1", "2", "--workers=2"],
    ):
        settings, module, items, given = parse(arguments)
        assert (settings.workers, module, items, given) == (2, "module.py", ["1", "2"], ["workers"])


def test_negative_numbers_are_items_and_others_go_behind_two_dashes():
    numbers = ["-5", "-1e5", "-.5", "-1.5e-3", "-0"]
    assert parse_items(*numbers) == numbers
    odd = ["--local=true", "-x", "--", "-h"]
    assert parse_items("--", *odd) == odd
    with pytest.raises(
        UsageError, match="there is no option -x, and items with a leading dash go behind `--`"
    ):
        parse_items("-x")


def test_an_option_is_never_abbreviated():
    with pytest.raises(UsageError, match="there is no option --work,"):
        parse_settings("--work", "2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "-1"], "--workers must be at least 0, not -1"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--degree", "0"], "--degree must be at least 1"),
        (["--timeout", "0"], "--timeout must be more than 0"),
        (["--timeout", "nan"], "--timeout must be more than 0"),
        (["--heartbeat", "-1"], "--heartbeat must be more than 0"),
        (["--port", "65536"], "--port must be between 0 and 65535"),
        (["--on-error", "panic"], "--on-error must be stop, skip or null, not 'panic'"),
        (["--json", "--strings"], "--json and --strings exclude each other"),
        (["--stdin", "1"], "from --stdin or from the command line, not from both"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(arguments, message):
    with pytest.raises(UsageError, match=message):
        parse_settings(*arguments)


def test_no_module():
    with pytest.raises(UsageError, match="which module"):
        parse([])


def test_the_help_page_names_every_option():
    page = parse(["-h"])
    assert isinstance(page, str)
    assert parse(["--help", "module.py", "1"]) == page
    for option in fields(Settings):
        name = dashed(option.name)
        assert f"--no-{name}" in page if option.default is True else f"--{name}" in page
    assert max(map(len, page.splitlines())) <= 96
    assert "Exit status: 0 all done, 1 an item failed, 2 wrong use, 130 interrupted." in page


def test_the_version():
    import pando

    assert parse(["--version"]) == parse(["-v"]) == f"pando {pando.__version__}\n"


# ---- config.json ----


def test_no_config_is_no_fault():
    assert read_config() == {}


def test_config_gives_defaults_and_the_command_line_wins(write_config):
    write_config({"workers": 3, "batch-size": 5, "global_monitoring": True, "timeout": 2})
    settings = parse_settings("--workers", "1", "--global-monitoring=false")
    assert settings.workers == 1
    assert settings.batch_size == 5
    assert settings.timeout == 2.0
    assert isinstance(settings.timeout, float)
    assert settings.global_monitoring is False


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
        ({"wrokers": 2}, "'wrokers' is not an option"),
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
