"""Session descriptions: what two ends of a WebRTC connection tell each other, as SDP (RFC 8866).

A description comes from a stranger. It is read into the few fields that a connection with one data
channel needs, and written anew from them, so that no other line of it reaches aiortc or a browser.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from ...messages import MAX_DESCRIPTION, MalformedMessageError

MAX_CANDIDATES = 16
"""Candidates that are read of a description; the others are ignored."""
MAX_SCTP_MESSAGE = 262_144
"""Bytes of the longest message on a data channel that is announced."""
MDNS_SUFFIX = ".local"
HOST, MAPPED, RELAY = "host", "srflx", "relay"
KINDS = frozenset({HOST, MAPPED, RELAY})
"""Kinds of addresses: a device's own, as a STUN server sees it, and at a TURN server."""

_CANDIDATE = re.compile(
    r"candidate:([A-Za-z0-9+/]{1,32}) 1 [Uu][Dd][Pp] (\d{1,10}) (\S{1,64}) (\d{1,5})"
    r" typ (host|srflx|relay)\b"
)
_USERNAME = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}")
_MDNS = re.compile(r"[A-Za-z0-9-]{1,48}\.local")
_SETUPS = ("actpass", "active", "passive")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address at which an end may be reached by UDP.

    Attributes:
        foundation: equal for candidates that are found in the same way.
        priority: higher ones are tried first.
        host: an IP address, or an mDNS name in ``.local``.
        port: the UDP port.
        kind: one of `KINDS`.
    """

    foundation: str
    priority: int
    host: str
    port: int
    kind: str

    @property
    def is_mdns(self) -> bool:
        """Whether its host is a name that must be resolved in the local network."""
        return self.host.endswith(MDNS_SUFFIX)

    def sdp(self) -> str:
        """Return it as the value of an attribute of SDP."""
        # The address behind a mapped one is nobody's business; browsers want the words (RFC 8839).
        related = "" if self.kind == HOST else " raddr 0.0.0.0 rport 9"
        return (
            f"candidate:{self.foundation} 1 udp {self.priority} {self.host} "
            f"{self.port} typ {self.kind}{related}"
        )


@dataclass(frozen=True, slots=True)
class Description:
    """One end of a connection.

    Attributes:
        username, password: of its connectivity checks.
        fingerprint: the SHA-256 of its DTLS certificate.
        setup: its part in the DTLS handshake; ``actpass`` in an offer.
        candidates: where it may be reached.
    """

    username: str
    password: str
    fingerprint: bytes
    setup: str
    candidates: tuple[Candidate, ...]

    @staticmethod
    def parse(sdp: str, *, is_offer: bool) -> Description:
        """Read a description.

        Raises:
            MalformedMessageError: it is too long, or is none of a connection for data.
        """
        if len(sdp) > MAX_DESCRIPTION:
            raise MalformedMessageError("the session description is too long")
        lines = [line.strip() for line in sdp.splitlines()]
        sections = [line for line in lines if line.startswith("m=")]
        if len(sections) != 1 or not sections[0].startswith("m=application "):
            raise MalformedMessageError("the session description is not one of a data channel")
        attributes = [line[2:] for line in lines if line.startswith("a=")]
        prints = _FINGERPRINT.fullmatch(_find(attributes, "fingerprint:sha-256 "))
        username, password = _find(attributes, "ice-ufrag:"), _find(attributes, "ice-pwd:")
        setup = _find(attributes, "setup:")
        if (
            prints is None
            or not _USERNAME.fullmatch(username)
            or not _PASSWORD.fullmatch(password)
            or setup not in _SETUPS
            or is_offer != (setup == "actpass")
        ):
            raise MalformedMessageError("the session description is incomplete")
        read = (_read_candidate(attribute) for attribute in attributes)
        candidates = tuple(candidate for candidate in read if candidate is not None)
        fingerprint = bytes.fromhex(prints[0].replace(":", ""))
        return Description(username, password, fingerprint, setup, candidates[:MAX_CANDIDATES])

    def with_candidates(self, candidates: tuple[Candidate, ...]) -> Description:
        """Return the same end with other addresses."""
        return replace(self, candidates=candidates)

    def sdp(self, *, is_complete: bool = True) -> str:
        """Return it as SDP.

        Without candidates their end is not said: the checks of the other end are waited for.

        Args:
            is_complete: whether no more candidates follow.
        """
        ends = is_complete and self.candidates
        fingerprint = self.fingerprint.hex(":").upper()
        lines = [
            "v=0",
            "o=- 1 1 IN IP4 0.0.0.0",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            "a=mid:0",
            "a=sctp-port:5000",
            f"a=max-message-size:{MAX_SCTP_MESSAGE}",
            *(f"a={candidate.sdp()}" for candidate in self.candidates),
            *(["a=end-of-candidates"] if ends else []),
            f"a=ice-ufrag:{self.username}",
            f"a=ice-pwd:{self.password}",
            f"a=fingerprint:sha-256 {fingerprint}",
            f"a=setup:{self.setup}",
        ]
        return "".join(f"{line}\r\n" for line in lines)


def _find(attributes: list[str], name: str) -> str:
    """Return the value of the first attribute with this name; empty where there is none."""
    found = (attribute for attribute in attributes if attribute.startswith(name))
    return next(found, name)[len(name) :]


def _read_candidate(attribute: str) -> Candidate | None:
    """Read a candidate; None where it is of no use, such as one for TCP."""
    match = _CANDIDATE.match(attribute)
    if match is None:
        return None
    foundation, priority, host, port, kind = match.groups()
    if not (0 < int(port) < 2**16 and int(priority) < 2**32 and is_target(host)):
        return None
    return Candidate(foundation, int(priority), host, int(port), kind)


def is_target(host: str) -> bool:
    """Return whether checks may be sent there; a stranger must not choose, say, this machine."""
    if _MDNS.fullmatch(host):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback or address.is_multicast or address.is_unspecified:
        return False
    return address.version == 4 or not (address.is_link_local or address.ipv4_mapped)
