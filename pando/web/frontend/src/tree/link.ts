/** A link: a channel with signs of life, and messages instead of bytes. */

import { decode, encode, type Incoming, type Outgoing } from "../messages";
import { MalformedError } from "../raw";
import type { Channel } from "./channel";

/** Signs of life sent in the time after which a silent end counts as dead. */
const BEATS = 3;
/** A browser does not tell that a long message is on its way, so more silence is borne. */
const PATIENCE = 3;
/** Messages in one bundle, as `pando/messages.py` has it. */
const MAX_BUNDLED = 1024;

export class Link {
  private readonly unbundled: Incoming[] = [];
  private heard = performance.now();
  private sent = performance.now();
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
      else if (now - this.sent >= milliseconds / BEATS) this.sendQuietly({ tag: "heartbeat" });
    }, milliseconds / BEATS);
  }

  send(message: Outgoing): void {
    this.sent = performance.now();
    this.channel.send(encode(message));
  }

  private sendQuietly(message: Outgoing): void {
    try {
      this.send(message);
    } catch {
      this.close();
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
    this.channel.close(reason);
  }
}
