/** A link: a channel with signs of life, and messages instead of bytes. */

import { bundle, type Bytes, decode, encode, type Incoming, type Outgoing } from "../messages";
import { MalformedError } from "../raw";
import type { Channel } from "./channel";

/** Signs of life sent in the time after which a silent end counts as dead. */
const BEATS = 3;
/** A browser does not tell that a long message is on its way, so more silence is borne. */
const PATIENCE = 3;
/** Messages in one bundle, as `pando/messages.py` has it. */
const MAX_BUNDLED = 1024;
/** How long a message that is posted may wait for others to go along with, in milliseconds. */
export const GATHER_MILLISECONDS = 80;
/** Messages and bytes that are not gathered any further. */
const MANY = 64;
const MUCH = 64 * 1024;

export class Link {
  private readonly unbundled: Incoming[] = [];
  private heard = performance.now();
  private sent = performance.now();
  private posted: Bytes[] = [];
  private postedBytes = 0;
  private posting: ReturnType<typeof setTimeout> | null = null;
  private beating: ReturnType<typeof setInterval> | null = null;

  constructor(private readonly channel: Channel) {}

  /**
   * Send signs of life from now on, and end the channel when the other end gives none.
   *
   * @param silence - seconds after which a silent other end is dead.
   */
  beat(silence: number): void {
    this.heard = performance.now();
    const milliseconds = silence * 1000;
    this.beating ??= setInterval(() => {
      const now = performance.now();
      if (now - this.heard > PATIENCE * milliseconds) this.close(`nothing was heard for ${PATIENCE * silence} s`);
      else if (now - this.sent >= milliseconds / BEATS) this.quietly(() => this.send({ tag: "heartbeat" }));
    }, milliseconds / BEATS);
  }

  /** Send a message now, behind those that were posted. */
  send(message: Outgoing): void {
    this.gather(message);
    this.flush();
  }

  /** Send a message within `GATHER_MILLISECONDS`, together with others. */
  post(message: Outgoing): void {
    this.gather(message);
    if (this.posted.length >= MANY || this.postedBytes >= MUCH) this.flush();
    else this.posting ??= setTimeout(() => this.quietly(() => this.flush()), GATHER_MILLISECONDS);
  }

  private gather(message: Outgoing): void {
    const encoded = encode(message);
    if (this.postedBytes + encoded.length > MUCH) this.flush();
    this.posted.push(encoded);
    this.postedBytes += encoded.length;
  }

  private flush(): void {
    if (this.posting !== null) clearTimeout(this.posting);
    const { posted } = this;
    [this.posted, this.postedBytes, this.posting] = [[], 0, null];
    if (posted.length === 0) return;
    this.sent = performance.now();
    this.channel.send(posted.length === 1 ? posted[0]! : bundle(posted));
  }

  private quietly(send: () => void): void {
    try {
      send();
    } catch {
      this.close(); // whoever receives notices
    }
  }

  /** The next message that is no sign of life. */
  async receive(): Promise<Incoming> {
    for (;;) {
      const message = this.unbundled.shift() ?? decode(await this.channel.receive());
      this.heard = performance.now();
      if (message.tag === "bundle") {
        if (message.messages.length > MAX_BUNDLED) throw new MalformedError("a bundle of very many messages");
        for (const each of message.messages) {
          const inner = decode(each);
          if (inner.tag === "bundle") throw new MalformedError("a bundle inside a bundle");
          this.unbundled.push(inner);
        }
      } else if (message.tag !== "heartbeat") {
        return message;
      }
    }
  }

  close(reason?: string): void {
    if (this.beating !== null) clearInterval(this.beating);
    if (this.posting !== null) clearTimeout(this.posting);
    this.channel.close(reason);
  }
}
