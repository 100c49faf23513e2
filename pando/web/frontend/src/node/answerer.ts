/** Answers offers, and serves what connects then. The twin of `pando/net/webrtc/answerer.py`. */

import { ChannelClosedError, MalformedError } from "../errors";
import type { Channel } from "../tree/channel";
import { TrustError } from "../trust/errors";
import type { Peer } from "./peer";

/** Offers that are answered at once, until a data channel is open; no others are. */
export const MAX_UNCONNECTED = 16;

export interface AnswererHost {
  /** A connection that answers this offer. @throws MalformedError it is none. */
  openPeer(offer: string): Peer;
  /** Serve a connection, from its first message to its last. */
  serve(channel: Channel): Promise<void>;
}

/** Each offer is a stranger's until the handshake over its channel. */
export class Answerer {
  private readonly peers = new Set<Peer>();
  private unconnected = 0;

  constructor(private readonly host: AnswererHost) {}

  /** The answer to an offer; empty where there is none. */
  async answer(offer: string): Promise<string> {
    if (this.unconnected >= MAX_UNCONNECTED) return "";
    this.unconnected += 1;
    let peer: Peer | null = null;
    try {
      peer = this.host.openPeer(offer);
      this.peers.add(peer);
      const answer = await peer.answer(offer);
      void this.connect(peer);
      return answer;
    } catch (error) {
      this.unconnected -= 1;
      this.close(peer);
      if (!isOfOthers(error)) throw error;
      return "";
    }
  }

  private async connect(peer: Peer): Promise<void> {
    try {
      const channel = await peer.openAnswered().finally(() => {
        this.unconnected -= 1;
      });
      await this.host.serve(channel);
    } catch (error) {
      if (!isOfOthers(error)) throw error;
    } finally {
      this.close(peer);
    }
  }

  private close(peer: Peer | null): void {
    if (peer === null) return;
    this.peers.delete(peer);
    peer.close();
  }

  /** End all connections. */
  end(): void {
    for (const peer of [...this.peers]) this.close(peer);
  }
}

/** Whether an error is what the other end, or the way there, has done. */
const isOfOthers = (error: unknown): boolean =>
  error instanceof ChannelClosedError ||
  error instanceof MalformedError ||
  error instanceof TrustError;
