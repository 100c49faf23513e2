/** The end of a handshake that was connected to; the twin of `pando/net/trust/responder.py`. */

import { encodeText, type Bytes, concat } from "./bytes";
import { type Certificate, CERTIFICATE_BYTES, checkTime, readCertificate } from "./certificate";
import { HandshakeFailedError, TrustError } from "./errors";
import {
  ACCEPTED, CHALLENGE_BYTES, type Clock, describeVersion, HAS_CERTIFICATE, LEAVE_OPEN, makeHello, makePrologue,
  MAX_REASON_BYTES, NODE, now, OPEN_ROOT, REFUSAL_DOMAIN, REFUSED, refusedBytes, ROOT, VERSION, WITH_CERTIFICATE,
  WITH_SECRET,
} from "./handshake";
import { NO_SECRET, type NodeKey, type RootKeys, SIGNATURE_BYTES } from "./keys";
import { HandshakeState, KEY_BYTES, KK, NK, randomBytes } from "./noise";
import { Transport } from "./transport";

interface Common {
  /** What protects the channel, as both ends must see it; empty where nothing does. */
  binding?: Uint8Array;
  /** The rest is for tests. */
  clock?: Clock;
  challenge?: Uint8Array;
  ephemeral?: Uint8Array;
}

/** A node that has a parent. */
export interface NodeEnd extends Common {
  is: "node";
  key: NodeKey;
  certificate: Certificate;
  rootSigningKey: Uint8Array;
  /** The pre-shared key of the ticket for a node; null where no place is kept for it. */
  findPsk(identifier: Uint8Array): Uint8Array | null;
}

/** A root; tabs are none, so this is for tests. */
export interface RootEnd extends Common {
  is: "root";
  keys: RootKeys;
  /** Of the link's secret; null where everybody may join. */
  psk: Uint8Array | null;
  withoutSecret?: boolean;
}

/** What a responder knows of who has connected, once its request has been read. */
export interface Request {
  payload: Bytes;
  key: Bytes;
  /** What it has proved to be; null where it joins for the first time. */
  certificate: Certificate | null;
  hasSecret: boolean;
  asksOpen: boolean;
}

/** The end that was connected to: send `hello`, `receive`, then `accept` or `refuse`. */
export class Responder {
  readonly hello: Bytes;
  private transcript: Bytes;
  private noise: HandshakeState | null = null;

  constructor(private readonly end: NodeEnd | RootEnd) {
    const kind = end.is === "node" ? NODE : end.psk === null ? OPEN_ROOT : ROOT;
    const body =
      end.is === "node" ? end.certificate.encoded : concat(end.keys.publicExchange, end.keys.publicSigning);
    const challenge = end.challenge ?? randomBytes(CHALLENGE_BYTES);
    this.hello = makeHello(kind, challenge, body);
    this.transcript = this.hello;
  }

  /** @throws HandshakeFailedError the initiator has not proved what it must. */
  receive(request: Uint8Array): Request {
    this.transcript = concat(this.hello, request);
    try {
      return this.readRequest(request);
    } catch (error) {
      if (!(error instanceof TrustError)) throw error;
      throw new HandshakeFailedError(error.message, this.refuse(error.message));
    }
  }

  private readRequest(request: Uint8Array): Request {
    if (request.length < 2) throw new TrustError("the request is none");
    if (request[0] !== VERSION) throw new TrustError(describeVersion(request[0]! >= 0x80 ? 1 : request[0]!));
    const mode = request[1]!;
    if ((mode & ~(WITH_SECRET | WITH_CERTIFICATE)) !== 0) throw new TrustError("the request is none");
    const headBytes = 2 + (mode & WITH_CERTIFICATE ? CERTIFICATE_BYTES : 0);
    const head = request.slice(0, headBytes);
    const certificate = mode & WITH_CERTIFICATE ? this.readCertificate(head.slice(2)) : null;
    const hasSecret = (mode & WITH_SECRET) !== 0;
    const psk = this.findPsk(certificate, hasSecret);
    if (psk === null) throw new TrustError(this.whyNot(hasSecret));
    const noise = new HandshakeState(certificate === null ? NK : KK, {
      isInitiator: false,
      prologue: makePrologue(this.hello, head, this.end.binding),
      psk,
      static: this.end.is === "node" ? this.end.key.secret : this.end.keys.exchange,
      remoteStatic: certificate?.key,
      ephemeral: this.end.ephemeral,
    });
    const payload = this.readPayload(noise, request.slice(headBytes), hasSecret);
    const restAt = 1 + (certificate === null ? KEY_BYTES : 0);
    if (payload.length < restAt) throw new TrustError("the request is none");
    this.noise = noise;
    return {
      payload: payload.slice(restAt),
      key: certificate?.key ?? payload.slice(1, restAt),
      certificate,
      hasSecret,
      asksOpen: (payload[0]! & LEAVE_OPEN) !== 0,
    };
  }

  private readPayload(noise: HandshakeState, message: Uint8Array, hasSecret: boolean): Bytes {
    try {
      return noise.read(message);
    } catch (error) {
      throw error instanceof TrustError ? new TrustError(this.whyNot(hasSecret)) : error;
    }
  }

  private findPsk(certificate: Certificate | null, hasSecret: boolean): Uint8Array | null {
    const { end } = this;
    if (end.is === "node") return certificate !== null && hasSecret ? end.findPsk(certificate.identifier) : null;
    if (hasSecret) return end.psk;
    return end.withoutSecret || end.psk === null ? NO_SECRET : null;
  }

  private readCertificate(data: Uint8Array): Certificate {
    const { end } = this;
    if (end.is === "root") return readCertificate(data, end.keys.publicSigning); // it renews old ones
    // Whether a place is kept costs less to find out than whether the root has signed.
    if (end.findPsk(data.slice(1, 9)) === null) throw new TrustError(this.whyNot(true));
    const certificate = readCertificate(data, end.rootSigningKey);
    checkTime(certificate, (end.clock ?? now)());
    return certificate;
  }

  private whyNot(hasSecret: boolean): string {
    if (this.end.is === "node") return "this ticket is not, or no longer, good for a place here";
    if (!hasSecret) return "the link is not complete: what follows its # sign is needed to join";
    return "this link has ended: it is not, or no longer, good for this run";
  }

  /** The reply, and what protects the messages from now on. */
  accept(
    options: { payload?: Uint8Array; certificate?: Certificate; leaveOpen?: boolean } = {},
  ): { reply: Bytes; transport: Transport } {
    const { payload = new Uint8Array(0), certificate, leaveOpen = false } = options;
    if (this.noise === null) throw new TrustError("the request comes first");
    const flags = (leaveOpen ? LEAVE_OPEN : 0) | (certificate ? HAS_CERTIFICATE : 0);
    const told = concat(new Uint8Array([flags]), certificate?.encoded ?? new Uint8Array(0), payload);
    const reply = concat(new Uint8Array([ACCEPTED]), this.noise.write(told));
    return { reply, transport: new Transport(leaveOpen ? null : this.noise.split()) };
  }

  /** The reply that refuses; a root signs it, for this request alone. */
  refuse(reason: string): Bytes {
    const text = encodeText(reason).slice(0, MAX_REASON_BYTES);
    const signature =
      this.end.is === "root"
        ? this.end.keys.sign(REFUSAL_DOMAIN, refusedBytes(this.transcript, text))
        : new Uint8Array(SIGNATURE_BYTES);
    return concat(new Uint8Array([REFUSED]), signature, text);
  }
}
