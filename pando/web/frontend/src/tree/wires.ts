/** The two kinds of wires: a data channel of this thread, and one of the page. */

import type { Bytes } from "../messages";
import { LOW_BYTES, type Wire } from "./data-channel";
import type { FromPage, ToPage } from "./peer-port";

const ENDED = "the other end has closed the data channel";

/** A wire that may not be open yet. */
export interface UnopenedWire extends Wire {
  onOpen: () => void;
}

/** A data channel that has been transferred to this thread. */
export class OwnWire implements UnopenedWire {
  onOpen = (): void => {};
  onFrame: (frame: unknown) => void = () => {};
  onFlushed = (): void => {};
  onEnd: (reason: string) => void = () => {};

  constructor(private readonly channel: RTCDataChannel) {
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = LOW_BYTES;
    channel.onopen = () => this.onOpen();
    channel.onmessage = ({ data }: MessageEvent<unknown>) => this.onFrame(data);
    channel.onbufferedamountlow = () => this.onFlushed();
    channel.onclose = () => this.onEnd(ENDED);
  }

  get bufferedAmount(): number {
    return this.channel.bufferedAmount;
  }

  send(frame: Bytes): void {
    if (this.channel.readyState === "open") this.channel.send(frame);
  }

  close(): void {
    this.channel.close();
  }
}

/** A data channel of the page, whose frames come and go by messages. */
export class BridgedWire implements UnopenedWire {
  onOpen = (): void => {};
  onFrame: (frame: unknown) => void = () => {};
  onFlushed = (): void => {};
  onEnd: (reason: string) => void = () => {};
  private written = 0;
  private flushed = 0;

  constructor(private readonly say: (message: ToPage, transfer?: Transferable[]) => void) {}

  get bufferedAmount(): number {
    return this.written - this.flushed;
  }

  send(frame: Bytes): void {
    this.written += frame.length;
    this.say({ type: "send", frame: frame.buffer }, [frame.buffer]);
  }

  close(): void {
    this.say({ type: "closeChannel" });
  }

  /** Take what the page says of its data channel. */
  take(message: FromPage): void {
    if (message.type === "open") this.onOpen();
    else if (message.type === "frame") this.onFrame(message.frame);
    else if (message.type === "closed") this.onEnd(ENDED);
    else if (message.type === "flushed") {
      this.flushed = message.bytes;
      this.onFlushed();
    }
  }
}
