/** The page's part in its node's WebRTC connections: a worker can have none. */

import { LOW_BYTES } from "../tree/data-channel";
import { type FromPage, type IceServer, NOT_CONNECTED, type ToPage } from "../tree/peer-port";

/** How long addresses of this device may be looked for, in milliseconds; longer where a server is asked. */
const HOST_MILLISECONDS = 500;
const STUN_MILLISECONDS = 1000;
const TURN_MILLISECONDS = 2000;
const LABEL = "pando";

/** Whether this browser has WebRTC at all. */
export const hasWebRtc = (): boolean => typeof RTCPeerConnection === "function";

/** All connections of a page's node. */
export class Peers {
  private readonly all = new Set<PagePeer>();

  /**
   * Begin a connection, which makes an offer, or answers one.
   *
   * @param port - to the node.
   * @param servers - STUN and TURN servers.
   * @param offer - of another device; empty where this one makes an offer.
   */
  add(port: MessagePort, servers: readonly IceServer[], offer = ""): void {
    try {
      const peer: PagePeer = new PagePeer(port, servers, () => this.all.delete(peer));
      this.all.add(peer);
      peer.begin(offer);
    } catch (error) {
      // Such as a browser whose settings forbid it.
      port.postMessage({ type: "failed", reason: String(error) } satisfies FromPage);
      port.close();
    }
  }

  /** Have the browser load what the first connection needs. */
  prepare(): void {
    try {
      new RTCPeerConnection().close();
    } catch {
      // Such as a browser whose settings forbid it.
    }
  }

  /** End all at once: the other ends notice. */
  closeAll(): void {
    for (const peer of this.all) peer.close();
  }
}

function patienceFor(servers: readonly IceServer[]): number {
  if (servers.length === 0) return HOST_MILLISECONDS;
  const isTurn = ({ urls }: IceServer): boolean => urls.startsWith("turn");
  return servers.some(isTurn) ? TURN_MILLISECONDS : STUN_MILLISECONDS;
}

class PagePeer {
  private readonly connection: RTCPeerConnection;
  private bridge: Bridge | null = null;
  private closed = false;

  constructor(
    private readonly port: MessagePort,
    private readonly servers: readonly IceServer[],
    private readonly onClosed: () => void,
  ) {
    this.connection = new RTCPeerConnection({ iceServers: [...servers] });
    port.onmessage = ({ data }: MessageEvent<ToPage>) => this.take(data);
    this.connection.onconnectionstatechange = () => {
      if (this.connection.connectionState === "failed") this.fail(NOT_CONNECTED);
    };
    this.connection.oniceconnectionstatechange = () => {
      const state = this.connection.iceConnectionState;
      if (state === "connected" || state === "completed") this.say({ type: "reached" });
    };
  }

  /** @param offer - what is answered; empty where an offer is made. */
  begin(offer: string): void {
    // Both ends know it beforehand, so that neither sends before the other listens.
    const channel = this.connection.createDataChannel(LABEL, { negotiated: true, id: 0 });
    try {
      this.port.postMessage({ type: "channel", channel } satisfies FromPage, [channel]);
    } catch {
      this.bridge = new Bridge(channel, (message, transfer) => this.say(message, transfer));
    }
    this.describe(offer).catch((error: unknown) => this.fail(String(error)));
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.connection.close();
    this.port.close();
    this.onClosed();
  }

  private async describe(offer: string): Promise<void> {
    const { connection } = this;
    const gathered = new Promise<void>((resolve) => {
      connection.onicegatheringstatechange = () => {
        if (connection.iceGatheringState === "complete") resolve();
      };
    });
    if (offer) await connection.setRemoteDescription({ type: "offer", sdp: offer });
    await connection.setLocalDescription();
    const patience = patienceFor(this.servers);
    await Promise.race([gathered, new Promise((resolve) => setTimeout(resolve, patience))]);
    const type = offer ? "answer" : "offer";
    this.say({ type, sdp: connection.localDescription?.sdp ?? "" });
  }

  private take(message: ToPage): void {
    switch (message.type) {
      case "answer":
        this.connection
          .setRemoteDescription({ type: "answer", sdp: message.sdp })
          .catch((error: unknown) => this.fail(String(error)));
        break;
      case "send":
        this.bridge?.send(message.frame);
        break;
      case "closeChannel":
        this.bridge?.close();
        break;
      case "close":
        this.close();
    }
  }

  private fail(reason: string): void {
    this.say({ type: "failed", reason });
    this.close();
  }

  private say(message: FromPage, transfer: Transferable[] = []): void {
    if (!this.closed) this.port.postMessage(message, transfer);
  }
}

/** Passes frames on, where the browser cannot transfer the data channel. */
class Bridge {
  private written = 0;

  constructor(
    private readonly channel: RTCDataChannel,
    private readonly say: (message: FromPage, transfer?: Transferable[]) => void,
  ) {
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = LOW_BYTES;
    channel.onopen = () => say({ type: "open" });
    channel.onclose = () => say({ type: "closed" });
    channel.onbufferedamountlow = () => this.sayFlushed();
    channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (data instanceof ArrayBuffer) say({ type: "frame", frame: data }, [data]);
      else say({ type: "frame", frame: null });
    };
    say({ type: "bridged" });
  }

  send(frame: ArrayBuffer): void {
    if (this.channel.readyState !== "open") return;
    this.channel.send(frame);
    this.written += frame.byteLength;
    if (this.channel.bufferedAmount <= LOW_BYTES) this.sayFlushed();
  }

  close(): void {
    this.channel.close();
  }

  private sayFlushed(): void {
    this.say({ type: "flushed", bytes: this.written - this.channel.bufferedAmount });
  }
}
