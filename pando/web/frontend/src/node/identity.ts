/** What this tab proves itself with: its key, and what the root has certified of it. */

import { ChannelClosedError } from "../errors";
import type { Bytes } from "../messages";
import type { Channel } from "../tree/channel";
import { areEqual, fromBase64, toBase64 } from "../trust/bytes";
import type { Certificate } from "../trust/certificate";
import { HandshakeFailedError, TrustError } from "../trust/errors";
import type { Session as TrustSession } from "../trust/initiator";
import { type JoinLink, parseFragment } from "../trust/join-link";
import type { NodeKey } from "../trust/keys";
import type { Transport } from "../trust/transport";
import { withTimeout } from "./timers";

/** How long the end that was connected to may take to show who it is. */
const HELLO_MILLISECONDS = 20_000;

/** A node that has connected to this one, and has proved who it is. */
export interface Arrival {
  node: Uint8Array;
  /** What it says of itself. */
  payload: Uint8Array;
  /** Let it in; gives the channel to use from now on. */
  accept(): Channel;
}

const NOT_BOUND = new Uint8Array(0);

export class NodeIdentity {
  private readonly link: JoinLink;
  private key: NodeKey | null = null;
  private certificate: Certificate | null = null;
  private rootSigningKey: Bytes = new Uint8Array(0);
  private psk: Uint8Array | null = null;

  private readonly leaveOpen: boolean;
  private readonly kept: string;

  /**
   * @param credentials - what follows the `#` of the link, without words for the page.
   * @param options - whether messages are encrypted whatever protects the connection, and what
   *   `keep` has returned before.
   */
  constructor(credentials: string, { encrypts = false, kept = "" } = {}) {
    this.kept = kept;
    this.link = parseFragment(credentials);
    this.leaveOpen = !encrypts;
  }

  /** Why the link cannot be used, in words for people; empty where it can. */
  get problem(): string {
    return this.link.problem;
  }

  /** Whether the link tells whose run it is. Without, no answer of a root proves anything. */
  get knowsRoot(): boolean {
    return this.link.invitation !== null;
  }

  /**
   * Shake hands with the root.
   *
   * @param hello - what it is told.
   * @returns the channel to use from now on.
   * @throws TrustError it is not the root whose link this is, or it refuses.
   */
  async joinRoot(channel: Channel, hello: Bytes): Promise<Channel> {
    const session = await this.meetRoot(channel, hello);
    if (session.certificate === null) throw new TrustError("the root has certified nothing");
    this.certificate = session.certificate;
    this.rootSigningKey = session.rootSigningKey;
    return protect(channel, session.transport);
  }

  /** The same for the page, which asks and does not join. */
  async askRoot(channel: Channel): Promise<Channel> {
    return protect(channel, (await this.meetRoot(channel, new Uint8Array(0))).transport);
  }

  /** What this tab proves itself with, as a text to be kept; empty where nothing is certified. */
  keep(): string {
    const { key, certificate, rootSigningKey } = this;
    if (key === null || certificate === null) return "";
    return [key.secret, rootSigningKey, certificate.encoded].map(toBase64).join(":");
  }

  /**
   * Let in a node that has connected to this one, below the root.
   *
   * @param findTicket - gives the ticket of the place that is kept for a node; null where none is.
   * @returns who it is, what it says of itself, and the channel to use once it is accepted.
   * @throws TrustError it has not proved what it must.
   */
  async meetChild(
    channel: Channel,
    findTicket: (node: Uint8Array) => string | null,
  ): Promise<Arrival> {
    const trust = await import("../trust");
    const { key, certificate, rootSigningKey } = this;
    if (key === null || certificate === null) throw new TrustError("the root comes first");
    const { binding = NOT_BOUND } = channel;
    const findPsk = (node: Uint8Array): Uint8Array | null => {
      const ticket = findTicket(node);
      return ticket === null ? null : trust.deriveTicketPsk(new TextEncoder().encode(ticket));
    };
    const end = { is: "node", key, certificate, rootSigningKey, findPsk, binding } as const;
    const responder = new trust.Responder(end);
    channel.send(responder.hello);
    try {
      const request = responder.receive(await receive(channel));
      if (request.certificate === null) throw new TrustError("a node without a certificate");
      return {
        node: request.certificate.identifier,
        payload: request.payload,
        accept() {
          const leaveOpen = request.asksOpen && binding.length > 0;
          const { reply, transport } = responder.accept({ leaveOpen });
          channel.send(reply);
          return protect(channel, transport);
        },
      };
    } catch (error) {
      if (error instanceof HandshakeFailedError) channel.send(error.answer);
      throw error;
    }
  }

  private restore(trust: typeof import("../trust")): void {
    if (this.kept === "") return;
    try {
      const [secret, signingKey, encoded] = this.kept.split(":").map(fromBase64);
      if (!secret || !signingKey || !encoded) return; // what was kept is none
      this.certificate = trust.readCertificate(encoded, signingKey);
      this.rootSigningKey = signingKey;
      this.key = new trust.NodeKey(secret);
    } catch {
      this.certificate = null; // what was kept is none, and this tab a new device
    }
  }

  private async meetRoot(channel: Channel, payload: Bytes): Promise<TrustSession> {
    const trust = await import("../trust");
    const { invitation } = this.link;
    if (invitation !== null)
      this.psk ??= await trust.deriveLinkPsk(invitation.secret, invitation.fingerprint);
    if (this.key === null) this.restore(trust);
    this.key ??= trust.NodeKey.generate();
    const shown = await receive(channel);
    const signingKey = trust.readHello(shown).body.slice(trust.KEY_BYTES);
    const isKnown = areEqual(signingKey, this.rootSigningKey);
    const initiator = new trust.Initiator(
      { is: "root", fingerprint: invitation?.fingerprint ?? null },
      this.key,
      {
        psk: this.psk,
        certificate: isKnown ? this.certificate : null,
        payload,
        ...this.protection(channel),
      },
    );
    return finish(channel, initiator, shown);
  }

  /** DTLS encrypts a data channel, and the handshake proves its certificates. */
  private protection({ binding = NOT_BOUND }: Channel): {
    binding: Uint8Array;
    leaveOpen: boolean;
  } {
    return { binding, leaveOpen: this.leaveOpen || binding.length > 0 };
  }

  /** The same with a parent below the root, which the root has named and given a ticket for. */
  async joinParent(
    channel: Channel,
    parent: Uint8Array,
    ticket: string,
    hello: Bytes,
  ): Promise<Channel> {
    const trust = await import("../trust");
    if (this.key === null) throw new TrustError("the root comes first");
    const shown = await receive(channel);
    const expected = {
      is: "node",
      identifier: parent,
      rootSigningKey: this.rootSigningKey,
    } as const;
    const initiator = new trust.Initiator(expected, this.key, {
      psk: trust.deriveTicketPsk(new TextEncoder().encode(ticket)),
      certificate: this.certificate,
      payload: hello,
      ...this.protection(channel),
    });
    return protect(channel, (await finish(channel, initiator, shown)).transport);
  }
}

interface Initiates {
  receiveHello(hello: Uint8Array): Bytes;
  receiveReply(reply: Uint8Array): TrustSession;
}

async function finish(
  channel: Channel,
  initiator: Initiates,
  shown: Uint8Array,
): Promise<TrustSession> {
  channel.send(initiator.receiveHello(shown));
  return initiator.receiveReply(await receive(channel));
}

async function receive(channel: Channel): Promise<Uint8Array> {
  const message = await withTimeout(channel.receive(), HELLO_MILLISECONDS);
  if (message === null) throw new ChannelClosedError("the other end does not show who it is");
  return message;
}

/** The channel after the handshake: as it is where TLS, or nothing, protects it. */
function protect(channel: Channel, transport: Transport): Channel {
  if (!transport.isEncrypted) return channel;
  const { kind, maxBacklog, lastActivity, drain } = channel;
  return {
    ...(kind === undefined ? {} : { kind }),
    ...(maxBacklog === undefined ? {} : { maxBacklog }),
    ...(lastActivity === undefined ? {} : { lastActivity: lastActivity.bind(channel) }),
    ...(drain === undefined ? {} : { drain: drain.bind(channel) }),
    send: (bytes) => channel.send(transport.encrypt(bytes)),
    async receive() {
      try {
        return transport.decrypt(new Uint8Array(await channel.receive()));
      } catch (error) {
        if (!(error instanceof TrustError)) throw error;
        channel.close(error.message);
        throw new ChannelClosedError(error.message);
      }
    },
    backlog: () => channel.backlog?.() ?? 0,
    close: (reason) => channel.close(reason),
  };
}
