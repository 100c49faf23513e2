"""Former public names still work, and say what they are called now."""

from __future__ import annotations

import dataclasses
import json
import warnings

import pytest

import pando
from pando import deprecation
from pando.cli.options import parse

SERVE_OPTIONS = {"asker": "Ada", "silence": 3.5}
"""A value for each former attribute of `ServeOptions`."""
RUN_OPTIONS = {"batch_limit": 0}
"""A value for each former argument of a run; one that is refused, so that no run begins."""


def test_each_former_name_is_tested_here():
    assert {**SERVE_OPTIONS, **RUN_OPTIONS}.keys() == deprecation.ARGUMENTS.keys()
    assert deprecation.OPTIONS == {"asker": "requester"}
    assert deprecation.REMOVED_IN == "0.3"


@pytest.mark.parametrize("old", SERVE_OPTIONS)
def test_former_options_of_serving(old):
    new, value = deprecation.ARGUMENTS[old], SERVE_OPTIONS[old]
    with pytest.warns(DeprecationWarning, match=f"{old}= is deprecated.*0.3; use {new}=") as caught:
        options = pando.ServeOptions(**{old: value})
    assert len(caught) == 1
    assert caught[0].filename == __file__, "the caller is named"
    assert getattr(options, new) == value
    with pytest.warns(DeprecationWarning, match=f"use .{new}") as caught:
        assert getattr(options, old) == value
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=f"use {new}="):
        assert getattr(dataclasses.replace(options, **{old: value}), new) == value


@pytest.mark.parametrize("old", RUN_OPTIONS)
@pytest.mark.parametrize("call", ["map", "amap", "run", "open_run"])
def test_former_options_of_runs(call, old):
    arguments = [len, []] if call in ("map", "amap") else [len]
    new = deprecation.ARGUMENTS[old]
    with (
        pytest.warns(DeprecationWarning, match=f"use {new}=") as caught,
        pytest.raises(pando.UsageError, match=f"{new} must be"),
    ):
        getattr(pando, call)(*arguments, **{old: RUN_OPTIONS[old]})
    assert [warning.filename for warning in caught] == [__file__]


def test_present_names_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        options = pando.ServeOptions(heartbeat_timeout=2.0)
        assert dataclasses.replace(options, port=0).heartbeat_timeout == 2.0
        assert not hasattr(options, "batch_limit")
        assert not hasattr(options, "nothing")
    with pytest.raises(TypeError, match="nothing"):
        pando.ServeOptions(nothing=1)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("old", deprecation.OPTIONS)
def test_former_options_of_the_command(old, home, capfd):
    new = deprecation.OPTIONS[old]
    for form in ([f"--{old}=Ada"], [f"--{old}", "Ada"]):
        parsed = parse(["module.py", *form])
        assert getattr(parsed.settings, new) == "Ada"
        warning = f"pando: --{old} is deprecated and will be removed in Pando 0.3; use --{new}\n"
        assert capfd.readouterr().err == warning
    assert parse(["module.py", f"--{new}=Ada"]).settings == parsed.settings
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("old", deprecation.OPTIONS)
def test_former_keys_of_config(old, home, capfd):
    (home / ".pando").mkdir()
    (home / ".pando" / "config.json").write_text(json.dumps({old: "Ada"}))
    assert getattr(parse(["module.py"]).settings, deprecation.OPTIONS[old]) == "Ada"
    warning = capfd.readouterr().err
    assert warning.count("\n") == 1
    assert f"config.json: {old!r} is deprecated" in warning


def test_the_help_page_shows_present_names_only():
    page = parse(["-h"])
    for old, new in deprecation.OPTIONS.items():
        assert f"--{new} " in page
        assert f"--{old}" not in page
