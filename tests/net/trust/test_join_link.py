"""The join link: read as it is written, and refused in one sentence where it is not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando.errors import UsageError
from pando.net.trust.join_link import JoinLink, LinkSecret, from_base64, to_base64

FINGERPRINT, SECRET = b"m-how-long-is-ti", LinkSecret(b"all-know-that-by")
CREDENTIALS = "bS1ob3ctbG9uZy1pcy10aQYWxsLWtub3ctdGhhdC1ieQ"
CHOSEN = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=12, max_size=200).filter(
    lambda text: 12 <= len(unicodedata.normalize("NFC", text)) <= 200
)


@pytest.mark.parametrize(
    ("text", "address", "tls"),
    [
        ("http://192.168.1.7:5000/#", "192.168.1.7:5000", False),
        ("https://pando.example/#", "pando.example:443", True),
        ("http://pando.example/some/path#", "pando.example:80", False),
        ("https://[2001:db8::1]:6000/#", "[2001:db8::1]:6000", True),
        ("192.168.1.7#", "192.168.1.7:5000", False),
        ("localhost:6000/#", "localhost:6000", False),
        ("  http://host:1/#", "host:1", False),
    ],
)
def test_where_the_root_is(text, address, tls):
    link = JoinLink.parse(text + CREDENTIALS)
    assert (link.address, link.tls) == (address, tls)
    assert (link.fingerprint, link.secret) == (FINGERPRINT, SECRET)


@pytest.mark.parametrize(
    ("fragment", "options"),
    [
        (f"{CREDENTIALS}", {}),
        (f"{CREDENTIALS};start;device=my%20phone", {"start": "", "device": "my phone"}),
        (f"device=my phone&{CREDENTIALS};", {"device": "my phone"}),
        (f"start;{CREDENTIALS};something", {"start": ""}),
    ],
)
def test_the_options_of_a_link(fragment, options):
    link = JoinLink.parse(f"http://host:5000/#{fragment}")
    assert link.options == options
    assert link.secret == SECRET
    assert JoinLink.parse(str(link)) == link


def test_the_certificate_of_a_link():
    link = JoinLink.parse(f"https://host:5000/#{CREDENTIALS};certificate=-_abc;device=a//b")
    assert link.certificate == "-_abc"
    assert JoinLink.parse(str(link)) == link
    assert JoinLink.parse(f"host#{CREDENTIALS};device=a//b").address == "host:5000"
    assert JoinLink.parse(f"https://host/#{CREDENTIALS}").certificate == ""


def test_a_link_has_an_end():
    with pytest.raises(UsageError, match="at most 4,096 characters, not 5,0"):
        JoinLink.parse(f"http://host/#{CREDENTIALS};device={'a' * 5000}")


@pytest.mark.parametrize("fragment", ["", "#", "#start", "#device=a"])
def test_a_link_without_credentials(fragment):
    link = JoinLink.parse(f"http://host:5000/{fragment}")
    assert link.fingerprint is None
    assert link.secret is None
    assert JoinLink.parse(str(link)) == link


@pytest.mark.parametrize(
    "text",
    ["", "http://", "ftp://host/", "http://host:port/", "//", "[::1", "a host", "http://a host/"],
)
def test_what_is_no_link(text):
    with pytest.raises(UsageError, match="is not a link such as"):
        JoinLink.parse(text)


def test_a_link_of_an_older_pando():
    with pytest.raises(UsageError, match="an older version of Pando has made this link"):
        JoinLink.parse("http://host:5000/#q2hGl0s_P-vXx19k;start")


@pytest.mark.parametrize(
    "credentials",
    [
        CREDENTIALS[:-1],
        CREDENTIALS + "A",
        CREDENTIALS[:22],
        CREDENTIALS[:22] + ".",
        CREDENTIALS[:22] + ".too%20short",
        CREDENTIALS[:22] + ".%ff" + "a" * 12,
        CREDENTIALS[:22] + "." + "a" * 201,
        CREDENTIALS[:22] + ".two%0Alines%20of%20text",
        CREDENTIALS[:-1] + "R",  # bits that base64 does not use
        CREDENTIALS[:-1] + "*",
        CREDENTIALS.replace("b", "é", 1),
        "a-token",
    ],
)
def test_a_link_that_is_not_complete(credentials):
    with pytest.raises(UsageError, match="not complete, or has been changed: copy it as a whole"):
        JoinLink.parse(f"http://host:5000/#{credentials}")


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), st.booleans())
def test_each_link_is_read_as_it_was_written(fingerprint, secret, tls):
    link = JoinLink("host:5000", tls, fingerprint, LinkSecret(secret))
    assert len(str(link).partition("#")[2]) == 44
    assert JoinLink.parse(str(link)) == link


@given(st.binary(min_size=16, max_size=16), CHOSEN, st.dictionaries(st.just("device"), st.text()))
def test_each_chosen_secret_is_read_as_it_was_written(fingerprint, text, options):
    options = {name: value for name, value in options.items() if value and value.isprintable()}
    link = JoinLink("host:5000", False, fingerprint, LinkSecret.choose(text), options)
    assert JoinLink.parse(str(link)) == link
    assert str(link).isascii()


@given(st.text())
def test_no_text_is_a_surprise(text):
    for link in (text, f"http://host/#{text}"):
        try:
            JoinLink.parse(link)
        except UsageError:
            continue


@pytest.mark.parametrize("text", ["eleven char", "a" * 201, "", "a" * 11 + "\n", "\ud800" * 12])
def test_secrets_that_nobody_may_choose(text):
    with pytest.raises(UsageError, match="a token must"):
        LinkSecret.choose(text)


def test_a_chosen_secret_is_the_same_however_it_was_typed():
    composed, decomposed = "zwölf Zeichen", "zwo\u0308lf Zeichen"
    assert LinkSecret.choose(composed) == LinkSecret.choose(decomposed)


def test_generated_secrets_differ():
    assert LinkSecret.generate() != LinkSecret.generate()
    assert from_base64(to_base64(b"\xfb\xff")) == b"\xfb\xff"
    for text in ("A", "AB", "+w==", "A-_="):
        with pytest.raises(ValueError):
            from_base64(text)


def test_a_link_for_watching_is_told_apart() -> None:
    link = f"https://pando.example.org/r/{'A' * 22}/monitoring#{'A' * 22}.correct-horse"
    with pytest.raises(UsageError, match="this link is for watching a run"):
        JoinLink.parse(link)
