/** What trust costs a tab; `benchmarks/handshakes.py` has a native node's figures. */

import { bench, describe } from "vitest";

import { issueCertificate } from "../src/trust/certificate";
import { Initiator } from "../src/trust/initiator";
import { NodeKey, RootKeys } from "../src/trust/keys";
import { CipherState } from "../src/trust/noise";
import { Responder } from "../src/trust/responder";

const seed = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const root = new RootKeys(seed(1), seed(2));
const key = new NodeKey(seed(3));
const psk = seed(4);

bench("handshake with the root, both ends", () => {
  const responder = new Responder({ is: "root", keys: root, psk });
  const initiator = new Initiator({ is: "root", fingerprint: root.fingerprint }, key, { psk });
  const request = responder.receive(initiator.receiveHello(responder.hello));
  const certificate = issueCertificate(root, new Uint8Array(8), request.key, 2 ** 40);
  initiator.receiveReply(responder.accept({ certificate }).reply);
});

describe.each([100, 16 * 1024, 1024 * 1024])("%i bytes", (size) => {
  const message = new Uint8Array(size);
  const [here, there] = [new CipherState(seed(5)), new CipherState(seed(5))];
  bench("encrypted and decrypted", () => {
    there.decrypt(here.encrypt(message));
  });
});
