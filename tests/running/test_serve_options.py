"""Options of serving: precedence of argument, environment and config.json; invalid values."""

from __future__ import annotations

import json

import pytest

import pando
from pando import ServeOptions, UsageError
from pando.running.serve_options import LOCAL, choose_serve_options


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PANDO_SERVE", raising=False)
    return tmp_path


def write_config(home, **content):
    folder = home / ".pando"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(content))


def test_by_default_this_machine_alone_can_connect():
    assert choose_serve_options(None) is LOCAL
    assert LOCAL.is_local
    assert not ServeOptions().is_local


@pytest.mark.parametrize(
    ("argument", "expected"),
    [(True, ServeOptions()), ("lan", ServeOptions()), ("local", LOCAL), (False, None)],
)
def test_the_argument_comes_first(argument, expected, home, monkeypatch):
    write_config(home, serve="lan")
    monkeypatch.setenv("PANDO_SERVE", "0")
    assert choose_serve_options(argument) == expected
    own = ServeOptions(port=8000)
    assert choose_serve_options(own) is own


@pytest.mark.parametrize(
    ("variable", "expected"), [("0", None), ("local", LOCAL), ("lan", ServeOptions())]
)
def test_the_environment_comes_before_the_configuration(variable, expected, home, monkeypatch):
    write_config(home, serve="lan" if variable != "lan" else False)
    monkeypatch.setenv("PANDO_SERVE", variable)
    assert choose_serve_options(None) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"serve": "lan"}, ServeOptions()),
        ({"serve": True}, ServeOptions()),
        ({"serve": False}, None),
        ({"no-serve": True}, None),
        ({"no_serve": True}, None),
        ({"no-serve": False}, LOCAL),
        ({"workers": 2}, LOCAL),
    ],
)
def test_the_configuration_comes_last(content, expected, home):
    write_config(home, **content)
    assert choose_serve_options(None) == expected


@pytest.mark.parametrize("home_is", ["missing", "a file", "unreadable", "unset"])
def test_without_a_home_there_is_no_configuration(home_is, home, monkeypatch):
    place = home / "home"
    if home_is == "a file":
        place.touch()
    if home_is == "unreadable":
        place.mkdir(mode=0)
    monkeypatch.setenv("HOME", str(place))
    if home_is == "unset":
        monkeypatch.delenv("HOME")
        monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError()))
    assert choose_serve_options(None) is LOCAL


WRONG = {
    "a word": lambda: pando.map(len, [], serve="no"),
    "a port": lambda: pando.map(len, [], serve=5000),
    "one": lambda: pando.run(len, serve=1),
    "amap": lambda: pando.amap(len, [], serve="yes"),
    "open_run": lambda: pando.open_run(len, serve="no"),
    "a port that is none": lambda: ServeOptions(port=99999),
    "a port as text": lambda: ServeOptions(port="80"),
    "a port as a truth": lambda: ServeOptions(port=True),
    "no degree": lambda: ServeOptions(degree=0),
    "no timeout": lambda: ServeOptions(heartbeat_timeout=0),
    "NaN": lambda: ServeOptions(reporting_interval=float("nan")),
    "an address": lambda: ServeOptions(listen=80),
    "a truth as text": lambda: ServeOptions(open="no"),
    "report links as text": lambda: ServeOptions(global_monitoring="no"),
    "a folder that is none": lambda: ServeOptions(wheels="/not/there"),
    "a URL that is none": lambda: ServeOptions(public_url="example.org"),
    "a key alone": lambda: ServeOptions(keyfile="key.pem"),
    "a seed": lambda: ServeOptions(seed="7"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_refused_at_the_call(wrong):
    with pytest.raises(UsageError) as caught:
        WRONG[wrong]()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [{"serve": "yes"}, {"serve": 1}, {"no-serve": "yes"}])
def test_what_the_user_has_written_is_refused_with_its_place(content, home, monkeypatch):
    write_config(home, **content)
    with pytest.raises(UsageError, match=r'config\.json: "(no-)?serve" should be true'):
        choose_serve_options(None)
    monkeypatch.setenv("PANDO_SERVE", "1")
    with pytest.raises(UsageError, match="PANDO_SERVE must be 0, local or lan, not '1'"):
        choose_serve_options(None)
