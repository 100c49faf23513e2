"""What holds for all tests: Hypothesis never fails one because the machine is busy."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture
def module(tmp_path):
    """Write a JavaScript file, or one of another name, and return its path."""

    def write(text, name="work.js"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write
