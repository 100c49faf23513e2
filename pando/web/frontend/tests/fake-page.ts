/** The page's part in WebRTC connections, for tests of the node: the other end is in memory, too. */

import vectors from "../../../../tests/vectors/data-channel.json";
import { DataChannel, type Wire } from "../src/tree/data-channel";
import { readDescription } from "../src/tree/description";
import type { FromPage, ToPage } from "../src/tree/peer-port";
import { concat, encodeText } from "../src/trust/bytes";

const find = (kind: string): string =>
  vectors.descriptions.find((each) => each.kind === kind && each.written !== null)!.sdp;
/** What the browser offers, and what the other end answers. */
export const OFFER = find("offer");
export const ANSWER = find("answer");

const BINDING = concat(
  encodeText("webrtc"),
  readDescription(OFFER, "offer").fingerprint,
  readDescription(ANSWER, "answer").fingerprint,
);

/** One connection: its data channel is open as soon as the answer has come, unless `silent`. */
export class FakeConnection {
  /** What the node has said. */
  readonly said: string[] = [];
  channel: DataChannel | null = null;
  private readonly wire: Wire;

  /** @param onOpen - is given the other end. */
  constructor(
    private readonly port: MessagePort,
    { offer, silent }: { offer: string; silent: boolean },
    private readonly onOpen: (channel: DataChannel) => void,
  ) {
    this.wire = {
      bufferedAmount: 0,
      send: (frame) => this.say({ type: "frame", frame: frame.slice().buffer }),
      close: () => this.say({ type: "closed" }),
      onFrame: () => {},
      onFlushed: () => {},
      onEnd: () => {},
    };
    port.onmessage = ({ data }: MessageEvent<ToPage>) => this.take(data, silent);
    this.say({ type: "bridged" });
    if (offer !== "") this.say({ type: "offer", sdp: offer });
  }

  say(message: FromPage): void {
    this.port.postMessage(message);
  }

  get isClosed(): boolean {
    return this.said.at(-1) === "close";
  }

  private flushed = 0;

  private take(message: ToPage, silent: boolean): void {
    if (message.type !== "send") this.said.push(message.type);
    if (message.type === "answer" && !silent) {
      this.channel = new DataChannel(this.wire, BINDING);
      this.say({ type: "open" });
      this.onOpen(this.channel);
    } else if (message.type === "send") {
      this.flushed += message.frame.byteLength;
      this.wire.onFrame(message.frame);
      this.say({ type: "flushed", bytes: this.flushed });
    } else if (message.type === "closeChannel") {
      this.wire.onEnd("the other end is gone");
      this.say({ type: "closed" });
    } else if (message.type === "close") {
      this.wire.onEnd("the other end is gone");
    }
  }
}
