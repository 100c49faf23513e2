/** The page's part in WebRTC connections, in a browser that cannot transfer data channels. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Peers } from "../src/page/peers";
import { LOW_BYTES } from "../src/tree/data-channel";
import type { FromPage, IceServer, ToPage } from "../src/tree/peer-port";
import { settle } from "./root";

/** A data channel, which holds back what it is sent until it is flushed. */
class FakeDataChannel {
  binaryType = "blob";
  bufferedAmountLowThreshold = 0;
  readyState = "connecting";
  bufferedAmount = 0;
  onopen = (): void => {};
  onclose = (): void => {};
  onbufferedamountlow = (): void => {};
  onmessage: (event: { data: unknown }) => void = () => {};

  open(): void {
    this.readyState = "open";
    this.onopen();
  }

  send(frame: ArrayBuffer): void {
    this.bufferedAmount += frame.byteLength;
  }

  close(): void {
    this.readyState = "closed";
    this.onclose();
  }
}

class FakeConnection {
  static readonly all: FakeConnection[] = [];
  readonly channel = new FakeDataChannel();
  connectionState = "new";
  iceConnectionState = "new";
  iceGatheringState = "new";
  localDescription: { sdp: string } | null = null;
  remote: { type: string; sdp: string } | null = null;
  closed = false;
  onconnectionstatechange = (): void => {};
  oniceconnectionstatechange = (): void => {};
  onicegatheringstatechange = (): void => {};

  constructor(readonly options: RTCConfiguration) {
    FakeConnection.all.push(this);
  }

  createDataChannel(label: string, options: RTCDataChannelInit): FakeDataChannel {
    expect([label, options]).toEqual(["pando", { negotiated: true, id: 0 }]);
    return this.channel;
  }

  setLocalDescription(): Promise<void> {
    this.localDescription = { sdp: this.remote?.type === "offer" ? "an answer" : "an offer" };
    return Promise.resolve();
  }

  setRemoteDescription(remote: { type: string; sdp: string }): Promise<void> {
    this.remote = remote;
    return remote.sdp === "none" ? Promise.reject(new Error("it is none")) : Promise.resolve();
  }

  gathered(): void {
    this.iceGatheringState = "complete";
    this.onicegatheringstatechange();
  }

  close(): void {
    this.closed = true;
  }
}

let peers: Peers;
let heard: FromPage[];
let port: MessagePort;

beforeEach(() => {
  vi.stubGlobal("RTCPeerConnection", FakeConnection);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  peers = new Peers();
});
afterEach(() => {
  peers.closeAll();
  port.close();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** Have a connection begin. */
async function begin(servers: IceServer[] = [], offer = ""): Promise<FakeConnection> {
  const { port1, port2 } = new MessageChannel();
  [port, heard] = [port1, []];
  port1.onmessage = ({ data }: MessageEvent<FromPage>) => heard.push(data);
  peers.add(port2, servers, offer);
  await settle();
  return FakeConnection.all.at(-1)!;
}
async function say(message: ToPage): Promise<void> {
  port.postMessage(message);
  await settle();
}
const kinds = (): string[] => heard.splice(0).map(({ type }) => type);

describe("a connection of the page", () => {
  test("the offer is sent when all addresses are known", async () => {
    const connection = await begin([{ urls: "stun:192.0.2.1" }]);
    expect(connection.options).toEqual({ iceServers: [{ urls: "stun:192.0.2.1" }] });
    expect(kinds()).toEqual(["bridged"]);
    connection.gathered();
    await settle();
    expect(heard).toEqual([{ type: "offer", sdp: "an offer" }]);
  });
  test("an offer of another device is answered", async () => {
    const connection = await begin([], "their offer");
    expect(connection.remote).toEqual({ type: "offer", sdp: "their offer" });
    connection.gathered();
    await settle();
    expect(heard.at(-1)).toEqual({ type: "answer", sdp: "an answer" });
    connection.channel.open();
    await settle();
    expect(kinds()).toEqual(["bridged", "answer", "open"]);
  });
  test("an offer that is none ends it", async () => {
    const connection = await begin([], "none");
    expect(kinds()).toEqual(["bridged", "failed"]);
    expect(connection.closed).toBe(true);
  });
  test.each([
    [[], 500],
    [[{ urls: "stun:192.0.2.1" }], 1000],
    [[{ urls: "turn:192.0.2.1", username: "a", credential: "b" }], 2000],
  ])("with servers %j no longer than %i ms", async (servers, milliseconds) => {
    await begin(servers);
    await vi.advanceTimersByTimeAsync(milliseconds - 10);
    await settle();
    expect(kinds()).toEqual(["bridged"]);
    await vi.advanceTimersByTimeAsync(20);
    await settle();
    expect(kinds()).toEqual(["offer"]);
  });
  test("frames are passed on, and what has been sent is told", async () => {
    const { channel } = await begin();
    channel.open();
    await say({ type: "send", frame: new ArrayBuffer(10) });
    expect(channel.binaryType).toBe("arraybuffer");
    expect(heard.splice(0)).toEqual([
      { type: "bridged" },
      { type: "open" },
      { type: "flushed", bytes: 0 },
    ]);
    await say({ type: "send", frame: new ArrayBuffer(LOW_BYTES) });
    expect(heard).toEqual([]);
    channel.bufferedAmount = 10;
    channel.onbufferedamountlow();
    channel.onmessage({ data: Uint8Array.of(1, 2).buffer });
    channel.onmessage({ data: "text" });
    await settle();
    expect(heard).toEqual([
      { type: "flushed", bytes: LOW_BYTES },
      { type: "frame", frame: Uint8Array.of(1, 2).buffer },
      { type: "frame", frame: null },
    ]);
  });
  test("before it is open, and after its end, nothing is sent", async () => {
    const { channel } = await begin();
    await say({ type: "send", frame: new ArrayBuffer(10) });
    channel.open();
    await say({ type: "closeChannel" });
    await say({ type: "send", frame: new ArrayBuffer(10) });
    expect(channel.bufferedAmount).toBe(0);
    expect(kinds()).toEqual(["bridged", "open", "closed"]);
  });
  test("an answer that the browser refuses", async () => {
    const connection = await begin();
    await say({ type: "answer", sdp: "none" });
    expect(heard.at(-1)).toEqual({ type: "failed", reason: "Error: it is none" });
    expect(connection.closed).toBe(true);
  });
  test("that the ends have reached each other is told before the data channel is open", async () => {
    const connection = await begin();
    await say({ type: "answer", sdp: "an answer" });
    connection.iceConnectionState = "checking";
    connection.oniceconnectionstatechange();
    connection.iceConnectionState = "connected";
    connection.oniceconnectionstatechange();
    await settle();
    expect(kinds()).toEqual(["bridged", "reached"]);
  });
  test("ends that cannot reach each other", async () => {
    const connection = await begin();
    await say({ type: "answer", sdp: "an answer" });
    expect(connection.remote).toEqual({ type: "answer", sdp: "an answer" });
    connection.connectionState = "failed";
    connection.onconnectionstatechange();
    await settle();
    expect(heard.at(-1)).toEqual({
      type: "failed",
      reason: "the devices cannot reach each other by UDP",
    });
    expect(connection.closed).toBe(true);
  });
  test("it ends with the node's word, and with the page", async () => {
    const connection = await begin();
    await say({ type: "close" });
    expect(connection.closed).toBe(true);
    const other = await begin();
    expect(other.closed).toBe(false);
    peers.closeAll();
    expect(other.closed).toBe(true);
  });
  test("a browser whose settings forbid it", async () => {
    class Forbidden {
      constructor() {
        throw new Error("forbidden");
      }
    }
    vi.stubGlobal("RTCPeerConnection", Forbidden);
    await begin();
    expect(heard).toEqual([{ type: "failed", reason: "Error: forbidden" }]);
  });
});
