"""What holds for all tests: Hypothesis never fails one because the machine is busy."""

from __future__ import annotations

from copy import copy

import pytest
from hypothesis import HealthCheck, settings

from pando import values
from pando.net.relayed import own_links
from pando.net.trust.key_store import KeyStore
from pando.running import kept_links
from pando.volunteering import sent_away

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("mutants", settings.get_profile("busy"), derandomize=True, database=None)
settings.load_profile("busy")


@pytest.fixture(scope="session", autouse=True)
def folder_of_links(tmp_path_factory):
    """Links of runs in this process are kept in a folder of the tests."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_links, "KeyStore", lambda: KeyStore(home))
        patch.setattr(own_links, "FOLDER", home / own_links.FOLDER)
        patch.setattr(sent_away, "FOLDER", home / sent_away.FOLDER)
        yield


@pytest.fixture(autouse=True)
def types_of_one_test():
    """What a test registers is sent with the functions of that test only."""
    registered = vars(values.REGISTERED)
    before = {name: copy(value) for name, value in registered.items()}
    yield
    registered.update(before)


@pytest.fixture
def module(tmp_path):
    """Write a JavaScript file, or one of another name, and return its path."""

    def write(text, name="work.js"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write
