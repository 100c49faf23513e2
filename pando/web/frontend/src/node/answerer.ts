/** Answers offers, and serves what connects then. The twin of `pando/net/webrtc/answerer.py`. */

import { ChannelClosedError, MalformedError, TooManyAskError } from "../errors";
import type { Signal } from "../messages";
import type { Channel } from "../tree/channel";
import { TrustError } from "../trust/errors";
import type { Peer } from "./peer";
import { type EndTurn, Turns } from "./turns";

export interface AnswererHost {
  /** A connection that answers this offer. @throws MalformedError it is none. */
  openPeer(offer: string): Peer;
  /** Serve a connection, from its first message to its last. */
  serve(channel: Channel): Promise<void>;
}

/** Each offer is a stranger's until the handshake over its channel. */
export class Answerer {
  private readonly peers = new Set<Peer>();
  private readonly turns = new Turns(() => performance.now() / 1000);
  private hasEnded = false;

  constructor(private readonly host: AnswererHost) {}

  /**
   * The answer to an offer; it is empty where there is none, and says when to ask again where too many ask.
   *
   * @param patience - how many seconds it may wait for its turn.
   */
  async answer(offer: string, patience?: number): Promise<Signal> {
    let peer: Peer | null = null;
    let endTurn: EndTurn = () => {};
    try {
      endTurn = await this.turns.wait(patience);
      if (this.hasEnded) throw new ChannelClosedError("this node takes nobody any more");
      peer = this.host.openPeer(offer);
      this.peers.add(peer);
      const description = await peer.answer(offer);
      void this.connect(peer, endTurn);
      return { tag: "signal", description };
    } catch (error) {
      endTurn(false);
      this.close(peer);
      const again = error instanceof TooManyAskError ? error.pause : 0;
      if (again === 0 && !isOfOthers(error)) throw error;
      return { tag: "signal", description: "", again };
    }
  }

  private async connect(peer: Peer, endTurn: EndTurn): Promise<void> {
    try {
      const channel = await peer.openAnswered();
      endTurn(true);
      await this.host.serve(channel);
    } catch (error) {
      if (!isOfOthers(error)) throw error;
    } finally {
      endTurn(false);
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
    this.hasEnded = true;
    for (const peer of [...this.peers]) this.close(peer);
  }
}

/** Whether an error is what the other end, or the way there, has done. */
const isOfOthers = (error: unknown): boolean =>
  error instanceof ChannelClosedError ||
  error instanceof MalformedError ||
  error instanceof TrustError;
