"""What trust costs a native node: ``python handshakes.py``. Medians of several rounds.

The pages' own figures: ``npx vitest bench --run`` in ``pando/web/frontend``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from pando.net.trust.certificate import Certificate
from pando.net.trust.initiator import CertifiedNode, Initiator, LinkedRoot
from pando.net.trust.join_link import LinkSecret
from pando.net.trust.keys import NodeKey, RootKeys, derive_link_psk, derive_ticket_psk
from pando.net.trust.responder import Responder
from pando.net.trust.transport import Transport

ROUNDS = 7
ROUND_SECONDS = 0.2
SIZES = (100, 16 * 1024, 1024 * 1024, 16 * 1024 * 1024)

ROOT = RootKeys.generate()
SECRET = LinkSecret.generate()
PSK = derive_link_psk(SECRET, ROOT.public.fingerprint)
KEY, PARENT_KEY = NodeKey.generate(), NodeKey.generate()
EXPIRY = int(time.time()) + 3600
CERTIFICATE = Certificate.issue(ROOT, b"a child.", KEY.public, EXPIRY)
PARENT = Certificate.issue(ROOT, b"a parent", PARENT_KEY.public, EXPIRY)
TICKET_PSK = derive_ticket_psk(b"a ticket")


def join_root() -> tuple[Transport, Transport]:
    initiator = Initiator(LinkedRoot(ROOT.public.fingerprint), KEY, psk=PSK)
    responder = Responder.for_root(ROOT, PSK)
    request = responder.receive(initiator.receive_hello(responder.hello))
    issued = Certificate.issue(ROOT, b"a child.", request.key, EXPIRY)
    reply, transport = responder.accept(certificate=issued)
    return initiator.receive_reply(reply).transport, transport


def join_parent() -> tuple[Transport, Transport]:
    parent = CertifiedNode(PARENT.identifier, ROOT.public.signing)
    initiator = Initiator(parent, KEY, psk=TICKET_PSK, certificate=CERTIFICATE)
    responder = Responder.for_node(
        PARENT_KEY, PARENT, ROOT.public.signing, lambda identifier: TICKET_PSK
    )
    responder.receive(initiator.receive_hello(responder.hello))
    reply, transport = responder.accept()
    return initiator.receive_reply(reply).transport, transport


def measure(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    action()
    times = []
    for _ in range(ROUNDS):
        count, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < ROUND_SECONDS:
            action()
            count += 1
        times.append(elapsed / count)
    return statistics.median(times)


def main() -> None:
    for name, join in (("the root", join_root), ("a parent", join_parent)):
        print(f"handshake with {name}, both ends: {measure(join) * 1e3:.2f} ms")
    here, there = join_root()
    for size in SIZES:
        message = bytes(size)
        seconds = measure(lambda: there.decrypt(here.encrypt(message)))  # noqa: B023
        rate = size / seconds / 1e6
        print(f"{size:>9} B, encrypted and decrypted: {seconds * 1e6:9.1f} us, {rate:6.0f} MB/s")


if __name__ == "__main__":
    main()
