"""Session descriptions of strangers: read into few fields, bounded, written anew."""

from __future__ import annotations

import pytest

from pando.messages import MAX_DESCRIPTION, MalformedMessageError
from pando.net.webrtc.description import MAX_CANDIDATES, Candidate, Description

CHROMIUM = """\
v=0
o=- 8416431237123 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=candidate:2163208203 1 udp 2113937151 8d8ab5b4-4d2a-4c0b-a5b7-b0a2b8a5bb8f.local 59521 typ host \
generation 0 network-cost 999
a=candidate:84216342 1 tcp 1518280447 192.168.1.7 9 typ host tcptype active generation 0
a=candidate:842163049 1 udp 1677729535 203.0.113.11 40123 typ srflx raddr 192.168.1.7 rport 59521
a=ice-ufrag:x6Qm
a=ice-pwd:Zk2V1Nn0aS1cR0bYy8h4l5kU
a=ice-options:trickle
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
""".format(fingerprint=":".join(["AB"] * 32))


def test_a_browsers_offer_is_read() -> None:
    offer = Description.parse(CHROMIUM, is_offer=True)
    assert (offer.username, offer.password) == ("x6Qm", "Zk2V1Nn0aS1cR0bYy8h4l5kU")
    assert offer.fingerprint == b"\xab" * 32
    named, seen = offer.candidates
    assert named.is_mdns
    assert seen == Candidate("842163049", 1677729535, "203.0.113.11", 40123, "srflx")


def test_what_is_written_is_read_again_and_nothing_else_is_passed_on() -> None:
    offer = Description.parse(CHROMIUM, is_offer=True)
    written = offer.sdp()
    assert Description.parse(written, is_offer=True) == offer
    assert "192.168.1.7" not in written
    assert "extmap" not in written
    assert "end-of-candidates" in written


def test_without_candidates_the_checks_of_the_other_end_are_waited_for() -> None:
    offer = Description.parse(CHROMIUM, is_offer=True).with_candidates(())
    assert "end-of-candidates" not in offer.sdp()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a=fingerprint:sha-256", "a=fingerprint:sha-1"),
        ("a=ice-pwd:Zk2V1Nn0aS1cR0bYy8h4l5kU", "a=ice-pwd:short"),
        ("a=ice-ufrag:x6Qm", "a=ice-ufrag:x\u00e96Qm"),
        ("a=setup:actpass", "a=setup:active"),
        ("m=application", "m=audio"),
        ("m=application", "m=application 9 X y\nm=application"),
        ("s=-", "s=" + "-" * MAX_DESCRIPTION),
    ],
)
def test_what_is_no_offer_of_a_data_channel_is_refused(old: str, new: str) -> None:
    with pytest.raises(MalformedMessageError):
        Description.parse(CHROMIUM.replace(old, new), is_offer=True)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "224.0.0.251", "0.0.0.0", "fe80::1", "example.org", "x;y.local"]
)
def test_a_stranger_does_not_choose_where_checks_are_sent(host: str) -> None:
    offer = Description.parse(CHROMIUM.replace("203.0.113.11", host), is_offer=True)
    assert [candidate.is_mdns for candidate in offer.candidates] == [True]


@pytest.mark.parametrize("port", [0, 65_536, 99_999])
def test_a_candidate_without_a_port_is_ignored(port: int) -> None:
    offer = Description.parse(CHROMIUM.replace("40123", str(port)), is_offer=True)
    assert len(offer.candidates) == 1


def test_candidates_are_bounded() -> None:
    line = "a=candidate:1 1 udp 1 203.0.113.11 {} typ host"
    many = "\n".join(line.format(port) for port in range(1, 3 * MAX_CANDIDATES))
    offer = Description.parse(CHROMIUM.replace("a=mid:0", f"a=mid:0\n{many}"), is_offer=True)
    assert len(offer.candidates) == MAX_CANDIDATES
    assert len(offer.sdp()) < MAX_DESCRIPTION
