"""Exceptions of volunteers are rebuilt from built-in classes and plain values only."""

from __future__ import annotations

import builtins

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando import values
from pando.running.causes import rebuild_exception

NAMES = sorted(vars(builtins))


@pytest.mark.parametrize("name", ["exit", "print", "open", "SystemExit", "BaseException", "eval"])
def test_nothing_but_exceptions_is_called(name, monkeypatch):
    monkeypatch.setattr(builtins, "print", lambda *args: pytest.fail("called"))
    assert rebuild_exception(name, values.encode(["x"])) is None


@given(st.sampled_from([*NAMES, "", "__main__.X"]), st.binary(max_size=40))
def test_any_bytes_give_an_exception_or_none(name, arguments):
    made = rebuild_exception(name, arguments)
    assert made is None or (isinstance(made, Exception) and type(made).__module__ == "builtins")


def test_arguments_that_do_not_fit_give_none():
    assert rebuild_exception("UnicodeDecodeError", values.encode(["x"])) is None
    assert rebuild_exception("ValueError", values.encode({"a": 1})) is None
    assert rebuild_exception("ValueError", b"") is None
    assert repr(rebuild_exception("ValueError", values.encode([1, "a"]))) == "ValueError(1, 'a')"
