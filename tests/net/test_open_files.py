"""File descriptors: connections leave enough for the run itself."""

from __future__ import annotations

import resource

import pytest

from pando.limits import RESERVED_FILES
from pando.net.open_files import allow_files


class Limit:
    """The operating system's limit of this process, as it would be."""

    def __init__(self, soft: int, hard: int, *, may_raise: bool = True) -> None:
        self.values = (soft, hard)
        self._may_raise = may_raise

    def get(self, kind: int) -> tuple[int, int]:
        assert kind == resource.RLIMIT_NOFILE
        return self.values

    def set(self, kind: int, values: tuple[int, int]) -> None:
        if not self._may_raise:
            raise PermissionError
        self.values = values


@pytest.mark.parametrize(
    ("soft", "hard", "may_raise", "connections"),
    [
        (100_000, 100_000, True, 8192),
        (1024, 100_000, True, 8192),
        (1024, resource.RLIM_INFINITY, True, 8192),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, True, 8192),
        (1024, 4096, True, 4096 - RESERVED_FILES),
        (1024, 100_000, False, 1024 - RESERVED_FILES),
        (1024, 1024, True, 1024 - RESERVED_FILES),
        (128, 128, True, 64),
        (16, 16, True, 8),
    ],
)
def test_how_many_connections_fit(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, may_raise: bool, connections: int
) -> None:
    limit = Limit(soft, hard, may_raise=may_raise)
    monkeypatch.setattr(resource, "getrlimit", limit.get)
    monkeypatch.setattr(resource, "setrlimit", limit.set)
    assert allow_files(8192) == connections
    assert limit.values[0] >= soft or soft == resource.RLIM_INFINITY
    assert limit.values[1] == hard
