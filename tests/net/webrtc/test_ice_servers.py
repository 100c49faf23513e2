"""STUN and TURN servers: their URLs, who is told which password, and what config.json may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pando.cli.options import parse
from pando.cli.settings import Settings
from pando.errors import UsageError
from pando.messages import RunInfo, TurnServer
from pando.net.webrtc.ice_servers import (
    CREDENTIAL_SECONDS,
    IceServer,
    TurnSecret,
    parse_servers,
    parse_url,
    read_settings,
    with_stun,
)
from pando.running.serve_options import ServeOptions
from pando.volunteering.session import read_servers

SECRET = "north wind"
NOW = 1_000_000.0
NODE = bytes(range(8))
USER = {"urls": "turn:192.0.2.1", "username": "me", "credential": "for long"}


@pytest.fixture
def settings_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Write config.json, and read it with some arguments as the command does."""

    def read(config: dict[str, Any], *arguments: str) -> Settings:
        folder = tmp_path / ".pando"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        monkeypatch.setenv("HOME", str(tmp_path))
        parsed = parse(["module.py", *arguments, "1"])
        assert not isinstance(parsed, str)
        return parsed.settings

    return read


@pytest.mark.parametrize(
    ("url", "address", "transport"),
    [
        ("stun:192.0.2.1", ("192.0.2.1", 3478), "udp"),
        ("stun:stun.example.org:3479", ("stun.example.org", 3479), "udp"),
        ("turn:192.0.2.1", ("192.0.2.1", 3478), "udp"),
        ("turn:192.0.2.1:80?transport=tcp", ("192.0.2.1", 80), "tcp"),
        ("turns:turn.example.org", ("turn.example.org", 5349), "tcp"),
        ("turns:turn.example.org:443?transport=tcp", ("turn.example.org", 443), "tcp"),
    ],
)
def test_servers_are_read(url: str, address: tuple[str, int], transport: str) -> None:
    server = parse_url(url)
    assert (server.url, server.address, server.transport) == (url, address, transport)
    assert server.is_turn == url.startswith("turn")
    assert server.has_tls == url.startswith("turns")


def test_a_turn_server_is_a_stun_server_as_well() -> None:
    urls = ["turn:a", "turn:a?transport=tcp", "turns:b", "turn:c:80", "stun:c:80"]
    named = with_stun(map(parse_url, urls))
    assert [server.url for server in named] == [*urls, "stun:a:3478"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "192.0.2.1",
        "stun:",
        "stun:a:0",
        "stun:a:70000",
        "stun:a b",
        "stun:a?transport=udp",
        "turn:a?transport=sctp",
        "turns:a?transport=udp",
        "turn:me:password@a",
        "x:a",
    ],
)
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is not a STUN or TURN server"):
        ServeOptions(ice_servers=[url], turn_secret=SECRET)


def test_servers_are_bounded() -> None:
    with pytest.raises(UsageError, match="at most 4"):
        parse_servers([f"stun:a:{port}" for port in range(1, 6)])


def test_a_turn_server_needs_a_password() -> None:
    with pytest.raises(UsageError, match="needs a user and a password"):
        ServeOptions(ice_servers=["turn:192.0.2.1"])
    assert ServeOptions(ice_servers=["turn:192.0.2.1"], ice_users=[USER]).ice_settings().servers
    assert ServeOptions(ice_servers=["turn:192.0.2.1"], turn_secret=SECRET).ice_settings().servers


def test_passwords_for_a_limited_time_are_those_of_the_rest_scheme() -> None:
    signed = TurnSecret(SECRET).sign(parse_url("turn:a"), "root", NOW)
    assert signed.username == f"{int(NOW) + CREDENTIAL_SECONDS}:root" == "1086400:root"
    # printf 1086400:root | openssl dgst -sha1 -hmac 'north wind' -binary | base64
    assert signed.credential == "F66ZE/W5I4Z07YA5kifhwo6cZxw="


def test_volunteers_are_told_no_password_that_is_good_for_long() -> None:
    own = read_settings([USER, "turn:192.0.2.2", "stun:192.0.2.3"], SECRET)
    used = own.for_root(NOW)
    assert [each.username for each in used] == ["me", f"{int(NOW) + CREDENTIAL_SECONDS}:root", ""]
    told = own.for_node(NODE, NOW)
    assert [each.url for each in told] == ["turn:192.0.2.2"]
    assert told[0].username == f"{int(NOW) + CREDENTIAL_SECONDS}:{NODE.hex()}"
    assert own.stun_urls == ["stun:192.0.2.3"]
    assert read_settings([USER]).for_node(NODE, NOW) == []


def test_no_password_is_shown() -> None:
    options = ServeOptions(ice_servers=[USER], turn_secret=SECRET)
    shown = f"{options!r} {options.ice_settings()!r} {options.ice_settings().servers[0]!r}"
    assert "for long" not in shown
    assert SECRET not in shown


def test_what_a_root_names_that_is_no_server_is_not_asked() -> None:
    told = RunInfo(2, bytes(8), "a run", "square", b"", ice_servers=["turn:a", "stun b"])
    assert read_servers(told) == ()
    told = RunInfo(2, bytes(8), "a run", "square", b"", turn_servers=[TurnServer("a", "b", "c")])
    assert read_servers(told) == ()


def test_a_node_uses_what_the_root_names() -> None:
    turn = TurnServer("turn:a", "someone", "password")
    told = RunInfo(2, bytes(8), "a run", "f", b"", ice_servers=["stun:b"], turn_servers=[turn])
    assert read_servers(told) == (
        IceServer("stun:b"),
        IceServer("turn:a", "someone", "password"),
    )


# ---- the command and config.json ----


def test_config_may_hold_objects_as_browsers_take_them(settings_of: Any) -> None:
    servers = [{"urls": ["stun:192.0.2.1", "turn:192.0.2.1"], "username": "a", "credential": "b"}]
    for key in ("iceServers", "ice-servers", "ice_servers"):
        options = settings_of({key: servers}).serve_options([], "")
        assert options.ice_settings().for_root(NOW) == (
            IceServer("stun:192.0.2.1"),
            IceServer("turn:192.0.2.1", "a", "b"),
        )


def test_the_command_line_wins_and_passwords_are_found_by_the_url(settings_of: Any) -> None:
    config = {"iceServers": [USER, {"urls": "stun:192.0.2.9"}]}
    named = settings_of(config, "--ice-servers=turn:192.0.2.1").serve_options([], "")
    assert named.ice_settings().for_root(NOW) == (IceServer("turn:192.0.2.1", "me", "for long"),)
    none = settings_of(config, "--ice-servers=").serve_options([], "")
    assert none.ice_settings().servers == ()
    assert none.ice_servers == ()
    assert settings_of({}).serve_options([], "").ice_servers is None


def test_the_secret_of_a_turn_server_stands_in_config_alone(settings_of: Any) -> None:
    options = settings_of({"turn-secret": SECRET}, "--ice-servers=turn:a").serve_options([], "")
    assert options.ice_settings().for_node(NODE, NOW)
    with pytest.raises(UsageError, match="--turn-secret"):
        settings_of({}, "--turn-secret=north")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([1], "text, or a list of objects"),
        ([{}], "should have urls"),
        ([{"urls": 1}], "a URL or a list of URLs"),
        ([{"urls": "turn:a", "password": "x"}], "not 'password'"),
        ([{"urls": "turn:a", "username": "x"}], "both a username and a credential"),
        ([{"urls": "turn:a", "username": "x" * 501, "credential": "y"}], "at most 500"),
        ([{"urls": "http:a"}], "is not a STUN or TURN server"),
    ],
)
def test_other_objects_are_refused_in_one_sentence(settings_of: Any, value: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        settings_of({"iceServers": value})
    assert "config.json" in str(caught.value)
    assert "\n" not in str(caught.value)
