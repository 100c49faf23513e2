/** WebRTC connections as the node has them: one offer, one answer, one data channel; the page does the rest. */

import { ChannelClosedError, MalformedError } from "../errors";
import type { Bytes, RunInfo } from "../messages";
import { CLOSE_MILLISECONDS, DataChannel } from "../tree/data-channel";
import { MAX_DESCRIPTION, readDescription, writeDescription } from "../tree/description";
import { type FromPage, type IceServer, NOT_CONNECTED, type ToPage } from "../tree/peer-port";
import { BridgedWire, OwnWire, type UnopenedWire } from "../tree/wires";
import { concat, encodeText } from "../trust/bytes";
import { withTimeout } from "./timers";

/** How long the page may take to make an offer, or an answer. */
const DESCRIBE_MILLISECONDS = 5000;
/** How long it may take from the answer until the ends have reached each other; longer for who hears of it first. */
const REACH_MILLISECONDS = 5000;
const REACH_ANSWERED_MILLISECONDS = 7000;
/** How long it may take from then to an open data channel: both ends are there, but may be busy. */
const OPEN_MILLISECONDS = 10_000;
const MAX_SERVERS = 4;
const STUN = /^stun:[A-Za-z0-9.-]{1,253}(?::\d{1,5})?$/;
const TURN = /^turns?:[A-Za-z0-9.-]{1,253}(?::\d{1,5})?(?:\?transport=(?:udp|tcp))?$/;

/** The STUN and TURN servers that a root names; none of a kind where one of them is of no such kind. */
export function readServers({
  iceServers,
  turnServers,
}: Pick<RunInfo, "iceServers" | "turnServers">): IceServer[] {
  const stun = iceServers.map((urls) => ({ urls }));
  const turn = turnServers.map(({ url, ...login }) => ({ urls: url, ...login }));
  return [...allOf(stun, STUN), ...allOf(turn, TURN)];
}

function allOf(servers: readonly IceServer[], kind: RegExp): readonly IceServer[] {
  const fits = servers.length <= MAX_SERVERS && servers.every(({ urls }) => kind.test(urls));
  return fits ? servers : [];
}

/** A connection that a parent may answer, and its offer. */
export interface Offered {
  peer: Peer;
  offer: string;
}

export class Peer {
  private readonly described: Promise<string>;
  private readonly reached: Promise<true>;
  private readonly opened: Promise<DataChannel>;
  private setDescription: (sdp: string) => void = () => {};
  private setReached: () => void = () => {};
  private setChannel: (channel: DataChannel) => void = () => {};
  private reject: (error: Error) => void = () => {};
  private wire: UnopenedWire | null = null;
  private fingerprint: Bytes = new Uint8Array(0);
  private binding: Bytes = new Uint8Array(0);
  private closed = false;

  /** @param port - to the page, which has been asked for a connection. */
  constructor(private readonly port: MessagePort) {
    const failed = new Promise<never>((_, reject) => {
      this.reject = reject;
    });
    const description = new Promise<string>((resolve) => {
      this.setDescription = resolve;
    });
    const channel = new Promise<DataChannel>((resolve) => {
      this.setChannel = resolve;
    });
    const reached = new Promise<true>((resolve) => {
      this.setReached = () => resolve(true);
    });
    this.described = Promise.race([description, failed]);
    this.reached = Promise.race([reached, failed]);
    this.opened = Promise.race([channel, failed]);
    for (const each of [this.described, this.reached, this.opened]) each.catch(() => {}); // whoever waits hears of it
    port.onmessage = ({ data }: MessageEvent<FromPage>) => this.take(data);
  }

  /**
   * This end's description, which the other end answers.
   *
   * @throws ChannelClosedError the browser makes none.
   */
  async offer(): Promise<string> {
    return this.describe("offer");
  }

  /**
   * The answer to another device's offer, which the page has been asked to give.
   *
   * @param offer - as that device has made it.
   * @throws ChannelClosedError the browser makes none.
   * @throws MalformedError the offer is none.
   */
  async answer(offer: string): Promise<string> {
    const read = readDescription(offer, "offer");
    const answer = await this.describe("answer");
    this.bind(read.fingerprint, this.fingerprint);
    return answer;
  }

  /** The channel of a connection that answers, once it carries data. @throws ChannelClosedError it never does. */
  openAnswered(): Promise<DataChannel> {
    return this.whenOpen(REACH_ANSWERED_MILLISECONDS);
  }

  private async describe(kind: "offer" | "answer"): Promise<string> {
    const sdp = await withTimeout(this.described, DESCRIBE_MILLISECONDS);
    if (sdp === null) throw new ChannelClosedError(`the browser makes no ${kind}`);
    const read = readDescription(sdp, kind);
    this.fingerprint = read.fingerprint;
    const written = writeDescription(read);
    if (written.length > MAX_DESCRIPTION)
      throw new MalformedError(`the browser's ${kind} is too long`);
    return written;
  }

  /** DTLS proves to each end that the other one has the certificate in its description. */
  private bind(offering: Uint8Array, answering: Uint8Array): void {
    this.binding = concat(encodeText("webrtc"), offering, answering);
  }

  /** @param milliseconds - for reaching the other end. */
  private async whenOpen(milliseconds: number): Promise<DataChannel> {
    const reached = Promise.race([this.reached, this.opened.then(() => true)]);
    if ((await withTimeout(reached, milliseconds)) === null)
      throw new ChannelClosedError(NOT_CONNECTED);
    const channel = await withTimeout(this.opened, OPEN_MILLISECONDS);
    if (channel === null) throw new ChannelClosedError(NOT_CONNECTED);
    return channel;
  }

  /**
   * The channel, by the other end's answer, once it carries data.
   *
   * @throws ChannelClosedError the ends cannot reach each other.
   * @throws MalformedError the answer is none.
   */
  async open(answer: string): Promise<DataChannel> {
    const read = readDescription(answer, "answer");
    this.bind(this.fingerprint, read.fingerprint);
    this.say({ type: "answer", sdp: writeDescription(read) });
    return this.whenOpen(REACH_MILLISECONDS);
  }

  /** End the connection, with what its channel has not sent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.reject(new ChannelClosedError("the connection is closed"));
    this.wire?.onEnd("the connection is closed");
    this.port.postMessage({ type: "close" } satisfies ToPage);
    this.port.close();
  }

  private say(message: ToPage, transfer: Transferable[] = []): void {
    if (!this.closed) this.port.postMessage(message, transfer);
  }

  private take(message: FromPage): void {
    switch (message.type) {
      case "channel":
        this.use(new OwnWire(message.channel));
        break;
      case "bridged":
        this.use(new BridgedWire((said, transfer) => this.say(said, transfer)));
        break;
      case "offer":
      case "answer":
        this.setDescription(message.sdp);
        break;
      case "reached":
        this.setReached();
        break;
      case "failed":
        this.reject(new ChannelClosedError(message.reason));
        this.wire?.onEnd(message.reason);
        this.close();
        break;
      default:
        if (this.wire instanceof BridgedWire) this.wire.take(message);
    }
  }

  private use(wire: UnopenedWire): void {
    this.wire = wire;
    wire.onOpen = () => {
      const channel = new DataChannel(wire, this.binding);
      this.closeWith(wire);
      this.setChannel(channel);
    };
  }

  /** The connection ends with its data channel, once what was sent on it is through. */
  private closeWith(wire: UnopenedWire): void {
    const { onEnd } = wire;
    const closeChannel = wire.close.bind(wire);
    wire.onEnd = (reason) => {
      onEnd(reason);
      this.close();
    };
    wire.close = () => {
      closeChannel();
      setTimeout(() => this.close(), CLOSE_MILLISECONDS);
    };
  }
}
