"""TLS of connections to a root: which certificates are believed, and what went wrong, in words."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import ssl

import trio

from ..channel import ChannelClosedError
from ..errors import UsageError

CERTIFICATE = "certificate="
"""The option of a link that names the fingerprint of its root's certificate."""
FINGERPRINT_BYTES = 16
"""Bytes of a certificate's SHA-256 that a link names: nobody finds another certificate to them."""


def client_context(cafile: str | os.PathLike[str] | None, fingerprint: str) -> ssl.SSLContext:
    """How a client checks a server's certificate.

    Args:
        cafile: certificates of authorities to believe besides the system's.
        fingerprint: that of the one certificate to believe; empty where authorities decide.

    Raises:
        UsageError: the file holds no certificates.
    """
    context = ssl.create_default_context()
    if cafile is not None:
        try:
            context.load_verify_locations(cafile)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"{os.fspath(cafile)} holds no certificates: {reason}") from None
    if fingerprint:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # `has_certificate` does it
    return context


def server_context(
    certfile: str | os.PathLike[str], keyfile: str | os.PathLike[str] | None
) -> ssl.SSLContext:
    """What a server encrypts with.

    Args:
        certfile: its certificate, and those of the authorities between it and a known one.
        keyfile: its private key, if not in the same file.

    Raises:
        UsageError: there is no certificate, or not its key.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certfile, keyfile)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{os.fspath(certfile)}: not a certificate with its key: {error}"
        ) from None
    return context


def has_certificate(stream: trio.SSLStream[trio.SocketStream], fingerprint: str) -> bool:
    """Whether the certificate of the other end has this fingerprint."""
    certificate = stream.getpeercert(binary_form=True) or b""
    return hmac.compare_digest(fingerprint_of(certificate), fingerprint)


def fingerprint_of(certificate: bytes) -> str:
    """The fingerprint of a certificate, given in DER, as links name it."""
    digest = hashlib.sha256(certificate).digest()[:FINGERPRINT_BYTES]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def own_fingerprint(certfile: str | os.PathLike[str]) -> str:
    """The fingerprint of the first certificate in a file, where it is signed by itself.

    Returns:
        An empty text where an authority has signed it: then the authority is asked, so that the
        certificate can be renewed while links stay good.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    with open(certfile, "rb") as file:
        certificate = x509.load_pem_x509_certificate(file.read())
    if certificate.issuer != certificate.subject:
        return ""
    return fingerprint_of(certificate.public_bytes(Encoding.DER))


def describe_failure(address: str, error: BaseException) -> ChannelClosedError:
    """Why a TLS connection to an address could not be opened, in words."""
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return ChannelClosedError(f"{address} speaks http, not https: use the link with http://")
    if isinstance(error, ssl.SSLCertVerificationError):
        return ChannelClosedError(
            f"{address} has a certificate that is not trusted here: {error.verify_message}; pass "
            "the certificate of its authority with --cafile"
        )
    return ChannelClosedError(f"{address} cannot be reached by TLS: {error}")
