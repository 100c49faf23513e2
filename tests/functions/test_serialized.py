"""A function with its two forms."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from pando import messages
from pando.errors import FunctionError
from pando.functions import fingerprint
from pando.functions.package import language_of
from pando.functions.serialized import MAX_PREPARED_BYTES, serialize

numbers = list(range(10))


def test_both_forms_of_a_function():
    made = serialize(lambda x: x + numbers[0], ["numpy>=1"])
    assert language_of(made.exact()) == "exact"
    assert language_of(made.portable()) == "python"
    assert made.portable() is made.portable()


def test_the_exact_form_depends_on_nothing_but_the_function():
    function = lambda x: x + numbers[0]
    assert serialize(function).exact() == serialize(function).exact()


def test_a_function_that_has_no_form_is_refused_by_the_variable():
    lock = threading.Lock()
    with pytest.raises(FunctionError, match="the variable 'lock' of <lambda>, a value of type"):
        serialize(lambda x: lock)


def test_what_has_changed_since_is_not_made_portable():
    data = bytearray(MAX_PREPARED_BYTES)
    made = serialize(lambda x: data)
    made.prepare_portable()  # it is too large for that
    data[0] = 1
    with pytest.raises(FunctionError, match="has changed since the run began"):
        made.portable()


def test_what_is_small_is_made_portable_at_once():
    data = bytearray(10)
    made = serialize(lambda x: data)
    made.prepare_portable()
    data[0] = 1
    assert language_of(made.portable()) == "python"


def test_a_fingerprint_fits_into_a_message():
    own = fingerprint.own_fingerprint()
    assert sys.implementation.name in own
    assert len(own) < messages.MAX_FINGERPRINT
    code = "from pando.functions.fingerprint import own_fingerprint; print(own_fingerprint())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == own


def test_versions_of_installed_packages():
    found = fingerprint.versions_of(["numpy.linalg", "json", "pando.values", "_no_such"])
    import numpy

    assert found == {"numpy": numpy.__version__, "_no_such": "none"}
