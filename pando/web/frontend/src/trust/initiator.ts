/** The end of a handshake that connects; the twin of `pando/net/trust/initiator.py`. */

import { areEqual, type Bytes, concat } from "./bytes";
import { type Certificate, CERTIFICATE_BYTES, checkTime, readCertificate } from "./certificate";
import { JoinRefusedError, TrustError } from "./errors";
import {
  ACCEPTED, type Clock, HAS_CERTIFICATE, LEAVE_OPEN, makePrologue, MAX_REASON_BYTES, NODE, now, OPEN_ROOT, readHello,
  REFUSAL_DOMAIN, REFUSED, refusedBytes, ROOT, VERSION, WITH_CERTIFICATE, WITH_SECRET,
} from "./handshake";
import { fingerprintOf, isSigned, NO_SECRET, type NodeKey, SIGNATURE_BYTES } from "./keys";
import { HandshakeState, KEY_BYTES, KK, NK } from "./noise";
import { Transport } from "./transport";

/** Who an initiator connects to. */
export type Expected =
  /** The root whose keys have this fingerprint; null takes any root, and proves nothing. */
  | { is: "root"; fingerprint: Uint8Array | null }
  /** The node that a root has certified under this identifier. */
  | { is: "node"; identifier: Uint8Array; rootSigningKey: Uint8Array };

export interface InitiatorOptions {
  /** From the link's secret or the ticket; null where none is needed. */
  psk: Uint8Array | null;
  /** This node's; null where it joins for the first time. */
  certificate?: Certificate | null;
  /** What the responder is told, encrypted, with the request. */
  payload?: Uint8Array;
  /** Ask that the messages after the handshake are not encrypted. */
  leaveOpen?: boolean;
  /** What protects the channel, as both ends must see it; empty where nothing does. */
  binding?: Uint8Array;
  clock?: Clock;
  /** A private key for this handshake; for tests only. */
  ephemeral?: Uint8Array;
}

/** What an initiator has when the handshake is through. */
export interface Session {
  transport: Transport;
  /** What the responder has sent with its reply. */
  payload: Bytes;
  /** What the root has certified, where it has. */
  certificate: Certificate | null;
  /** What the root signs with; empty where the responder is a node. */
  rootSigningKey: Bytes;
}

/** The end that connects: `receiveHello`, send what it returns, `receiveReply`. */
export class Initiator {
  private noise: HandshakeState | null = null;
  private signingKey: Bytes = new Uint8Array(0);
  private transcript: Bytes = new Uint8Array(0);

  constructor(
    private readonly expected: Expected,
    private readonly key: NodeKey,
    private readonly options: InitiatorOptions,
  ) {}

  /** The request, in answer to the responder's hello. @throws TrustError it is not who was meant. */
  receiveHello(hello: Uint8Array): Bytes {
    if (this.noise !== null) throw new TrustError("a hello comes once");
    const { psk, certificate = null, payload = new Uint8Array(0), leaveOpen, binding, ephemeral } = this.options;
    const exchange = this.check(readHello(hello));
    const mode = (psk === null ? 0 : WITH_SECRET) | (certificate === null ? 0 : WITH_CERTIFICATE);
    const head = concat(new Uint8Array([VERSION, mode]), certificate?.encoded ?? new Uint8Array(0));
    this.noise = new HandshakeState(certificate === null ? NK : KK, {
      isInitiator: true,
      prologue: makePrologue(hello, head, binding),
      psk: psk ?? NO_SECRET,
      static: certificate === null ? undefined : this.key.secret,
      remoteStatic: exchange,
      ephemeral,
    });
    const flags = new Uint8Array([leaveOpen ? LEAVE_OPEN : 0]);
    const ownKey = certificate === null ? this.key.public : new Uint8Array(0);
    const request = concat(head, this.noise.write(concat(flags, ownKey, payload)));
    this.transcript = concat(hello, request);
    return request;
  }

  /** The responder's key for the exchange, where it is who was meant. */
  private check({ kind, body }: { kind: number; body: Uint8Array }): Bytes {
    const { expected } = this;
    if (expected.is === "node") {
      if (kind !== NODE) throw new TrustError("this is a root, not the node that was meant");
      const certificate = readCertificate(body, expected.rootSigningKey);
      checkTime(certificate, (this.options.clock ?? now)());
      if (!areEqual(certificate.identifier, expected.identifier)) {
        throw new TrustError("this is another node than the one that was meant");
      }
      return certificate.key;
    }
    if (kind !== ROOT && kind !== OPEN_ROOT) throw new TrustError("this is a node of a run, not its root");
    const [exchange, signing] = [body.slice(0, KEY_BYTES), body.slice(KEY_BYTES)];
    if (expected.fingerprint !== null) {
      if (!areEqual(fingerprintOf(exchange, signing), expected.fingerprint)) {
        throw new TrustError("this is another run than the one whose link this is");
      }
      if (kind === OPEN_ROOT) throw new TrustError("this run lets everybody join, and does not prove its link");
    }
    this.signingKey = concat(signing);
    return concat(exchange);
  }

  /**
   * What the responder's reply has settled.
   *
   * @throws JoinRefusedError it has refused.
   * @throws TrustError the reply is not the one of who was meant.
   */
  receiveReply(reply: Uint8Array): Session {
    const { noise } = this;
    if (noise === null) throw new TrustError("the hello comes first");
    if (reply[0] === REFUSED) throw this.readRefusal(reply.slice(1));
    if (reply[0] !== ACCEPTED) throw new TrustError("the other end does not speak as a node does");
    const payload = noise.read(reply.slice(1));
    const flags = payload[0] ?? 0;
    const certified = (flags & HAS_CERTIFICATE) !== 0;
    const certificate = certified ? this.readCertificate(payload.slice(1, 1 + CERTIFICATE_BYTES)) : null;
    const isOpen = (flags & LEAVE_OPEN) !== 0;
    if (isOpen && !this.options.leaveOpen) throw new TrustError("the other end does not encrypt");
    return {
      transport: new Transport(isOpen ? null : noise.split()),
      payload: payload.slice(certified ? 1 + CERTIFICATE_BYTES : 1),
      certificate,
      rootSigningKey: this.signingKey,
    };
  }

  private readCertificate(data: Uint8Array): Certificate {
    if (this.expected.is !== "root") throw new TrustError("only a root certifies");
    const certificate = readCertificate(data, this.signingKey);
    if (!areEqual(certificate.key, this.key.public)) throw new TrustError("the root has certified another key");
    return certificate;
  }

  private readRefusal(refusal: Uint8Array): JoinRefusedError {
    const [signature, text] = [refusal.slice(0, SIGNATURE_BYTES), refusal.slice(SIGNATURE_BYTES)];
    const isProven =
      this.expected.is === "root" &&
      this.expected.fingerprint !== null &&
      isSigned(this.signingKey, REFUSAL_DOMAIN, refusedBytes(this.transcript, text), signature);
    return new JoinRefusedError(new TextDecoder().decode(text.slice(0, MAX_REASON_BYTES)), isProven);
  }
}
