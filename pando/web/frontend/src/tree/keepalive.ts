/** A link: a channel with signs of life, and messages instead of bytes. */

import type { FromChild } from "../child-messages";
import { bundle, type Bytes, decode, encode, type Incoming, type Outgoing } from "../messages";
import { MalformedError } from "../errors";
import type { Channel } from "./channel";
import { Assembly, type Memory } from "./large-messages";
import { LargeSender } from "./large-sender";
import { RoundTrip } from "./round-trip";

/** Signs of life sent in the time after which a silent end counts as dead. */
const HEARTBEATS_PER_TIMEOUT = 3;
/** A browser does not tell that a long message is on its way, so more silence is borne. */
const PATIENCE = 3;
/** How long the next part of a large message may take, in milliseconds. */
const STALL_MILLISECONDS = 60_000;
/** How often it is looked whether all has been sent, in milliseconds. */
export const SENT_MILLISECONDS = 10;
/** Messages in one bundle, as `pando/messages` has it. */
const MAX_BUNDLED = 1024;
/** How long a message that is posted may wait for others to go along with, in milliseconds. */
export const GATHER_MILLISECONDS = 80;
/** Messages and bytes that are not gathered any further. */
const MANY = 64;
const MUCH = 64 * 1024;

/** What is transferred on some links. */
export class Traffic {
  bytesIn = 0;
  bytesOut = 0;
  /** Time in which bytes waited to be sent, or in which parts of a large message came. */
  seconds = 0;
}

type Heard = Incoming | FromChild;

/** What is said on a link, and what is heard. */
export interface Dialect<In extends Heard, Out> {
  decode(bytes: Uint8Array): In;
  encode(message: Out): Bytes;
}

const WITH_PARENT: Dialect<Incoming, Outgoing> = { decode, encode };

/** A link to a parent, or to a child where its dialect is given. */
export class KeepaliveChannel<In extends Heard = Incoming, Out = Outgoing> {
  /** Counts what is transferred; may be set to that of others. */
  traffic = new Traffic();
  private readonly unbundled: Heard[] = [];
  private readonly assembly: Assembly;
  private heard = performance.now();
  /** When a large message began, or its last part came. */
  private partAt = 0;
  private posted: Bytes[] = [];
  private postedBytes = 0;
  private posting: ReturnType<typeof setTimeout> | null = null;
  private sending: ReturnType<typeof setInterval> | null = null;
  private beating: ReturnType<typeof setInterval> | null = null;

  private readonly largeSender: LargeSender;
  /** Whether it has been closed because nothing was heard of the other end. */
  fellSilent = false;
  /** How long a number takes to the other end and back, once `beat` sends them. */
  readonly roundTrip = new RoundTrip();

  constructor(
    private readonly channel: Channel,
    private readonly dialect: Dialect<In, Out> = WITH_PARENT as unknown as Dialect<In, Out>,
    memory?: Memory,
  ) {
    this.assembly = new Assembly(memory);
    this.largeSender = new LargeSender(
      (bytes) => this.transmit(bytes),
      () => channel.backlog?.() ?? 0,
      () => this.close(), // whoever receives notices
      channel.maxBacklog,
    );
  }

  /** What carries it, in a word. */
  get kind(): string {
    return this.channel.kind ?? "websocket";
  }

  /**
   * Send signs of life from now on, and end the channel when the other end gives none.
   *
   * @param silence - seconds after which a silent other end is dead.
   */
  beat(silence: number): void {
    this.heard = performance.now();
    const milliseconds = silence * 1000;
    const { channel } = this;
    const patience = channel.lastActivity === undefined ? PATIENCE : 1;
    this.beating ??= setInterval(() => {
      const now = performance.now();
      const heard = Math.max(this.heard, channel.lastActivity?.() ?? 0);
      if (now - heard > patience * milliseconds) {
        this.fellSilent = true;
        this.close(`nothing was heard for ${patience * silence} s`);
      } else if (this.assembly.isOpen && now - this.partAt > STALL_MILLISECONDS) {
        this.close(`a message did not go on for ${STALL_MILLISECONDS / 1000} s`);
      } else this.quietly(() => this.transmit(encode({ tag: "heartbeat", ping: this.roundTrip.begin(now) })));
    }, milliseconds / HEARTBEATS_PER_TIMEOUT);
  }

  /** Send a message now, after those that were posted. */
  send(message: Out): void {
    this.gather(message);
    this.flush();
  }

  /** Send a message within `GATHER_MILLISECONDS`, together with others. */
  post(message: Out): void {
    this.gather(message);
    if (this.posted.length >= MANY || this.postedBytes >= MUCH) this.flush();
    else this.posting ??= setTimeout(() => this.quietly(() => this.flush()), GATHER_MILLISECONDS);
  }

  private gather(message: Out): void {
    const encoded = this.dialect.encode(message);
    if (this.postedBytes + encoded.length > MUCH) this.flush();
    this.posted.push(encoded);
    this.postedBytes += encoded.length;
  }

  private flush(): void {
    if (this.posting !== null) clearTimeout(this.posting);
    const { posted } = this;
    [this.posted, this.postedBytes, this.posting] = [[], 0, null];
    if (posted.length === 0) return;
    this.largeSender.send(posted.length === 1 ? posted[0]! : bundle(posted));
  }

  private transmit(bytes: Bytes): void {
    this.traffic.bytesOut += bytes.length;
    this.channel.send(bytes);
    this.timeSending();
  }

  /** Count the time until all bytes are on their way. */
  private timeSending(): void {
    const isSent = (): boolean => (this.channel.backlog?.() ?? 0) === 0;
    if (this.sending !== null || isSent()) return;
    let since = performance.now();
    this.sending = setInterval(() => {
      const now = performance.now();
      this.traffic.seconds += (now - since) / 1000;
      since = now;
      if (isSent()) this.stopTiming();
    }, SENT_MILLISECONDS);
  }

  private stopTiming(): void {
    if (this.sending !== null) clearInterval(this.sending);
    this.sending = null;
  }

  /** Wait until what has been sent is with the browser. */
  async drain(): Promise<void> {
    await this.largeSender.drain();
    await this.channel.drain?.();
  }

  private quietly(send: () => void): void {
    try {
      send();
    } catch {
      this.close(); // whoever receives notices
    }
  }

  /** The next message that is no sign of life. */
  async receive(): Promise<In> {
    for (;;) {
      const message = this.unbundled.shift() ?? (await this.receiveWhole());
      if (message.tag === "bundle") {
        if (message.messages.length > MAX_BUNDLED) throw new MalformedError("a bundle of very many messages");
        for (const each of message.messages) {
          const inner = this.dialect.decode(each);
          if (inner.tag === "bundle") throw new MalformedError("a bundle inside a bundle");
          this.unbundled.push(inner);
        }
      } else if (message.tag === "heartbeat") {
        this.roundTrip.end(message.pong, this.heard);
        const { ping } = message;
        if (ping !== 0) this.quietly(() => this.transmit(encode({ tag: "heartbeat", pong: ping })));
      } else {
        return message as In;
      }
    }
  }

  /** The next message that is not part of another one. */
  private async receiveWhole(): Promise<Heard> {
    let data: Uint8Array | null = null;
    for (;;) {
      if (data === null) {
        data = await this.channel.receive();
        this.traffic.bytesIn += data.length;
      }
      this.heard = performance.now();
      const message: Heard = this.dialect.decode(data);
      data = null;
      if (message.tag === "part") this.traffic.seconds += (this.heard - this.partAt) / 1000;
      if (message.tag === "large" || message.tag === "part") this.partAt = this.heard;
      if (message.tag === "part") data = this.assembly.add(message.data);
      else if (message.tag === "large") this.assembly.begin(message.size, () => this.grant());
      else if (message.tag === "grant") this.largeSender.grant();
      else return message;
    }
  }

  /** The other end may send its large message. */
  private grant(): void {
    this.partAt = performance.now();
    this.quietly(() => this.transmit(encode({ tag: "grant" })));
  }

  close(reason?: string): void {
    this.assembly.drop();
    if (this.beating !== null) clearInterval(this.beating);
    if (this.posting !== null) clearTimeout(this.posting);
    this.stopTiming();
    this.largeSender.close();
    this.channel.close(reason);
  }
}
