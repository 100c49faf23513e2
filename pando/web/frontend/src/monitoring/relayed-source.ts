/**
 * The live stream of a run that a public server relays. The server has served this page, and can
 * read nothing of what is relayed: the token is the secret of the handshake with the root. The twin
 * of `pando/running/monitoring_link.py`.
 */

import { ChannelClosedError } from "../errors";
import { NodeIdentity } from "../node/identity";
import type { Channel } from "../tree/channel";
import { inParts } from "../tree/parts";
import { connect } from "../tree/websocket";
import { JoinRefusedError } from "../trust/errors";
import type { Said } from "./protocol";
import type { EndState, Listener, Source } from "./stream";

/** Time between two messages that say that this page is there. */
export const BEAT_MILLISECONDS = 10_000;
const ENDS: Record<string, EndState> = { over: "over", "no run": "noRun", crowded: "crowded" };
const PAGE = /^\/r\/[\w-]{22}\/monitoring\/?$/;
const RUN_IS_OVER = "the run is over";

type Message = Said | { type: "end"; reason: string };

/** Whether this page was served by a public server, which relays. */
export function isRelayed(path: string): boolean {
  return PAGE.test(path);
}

export class RelayedSource implements Source {
  private readonly url: string;
  /** What proves and is proved with a token: deriving its key takes a moment, so it is kept. */
  private known: { token: string; identity: NodeIdentity } | null = null;

  /** @param page - the address of this page. */
  constructor(page: string) {
    this.url = page.replace(/[?#].*$/, "").replace(/^http/, "ws");
  }

  open(token: string, listener: Listener): () => void {
    const connection = new Connection(listener);
    void connection.run(this.url, this.identify(token));
    return () => connection.close();
  }

  private identify(token: string): NodeIdentity {
    if (this.known?.token !== token)
      this.known = { token, identity: new NodeIdentity(token, { encrypts: true }) };
    return this.known.identity;
  }
}

class Connection {
  private channel: Channel | null = null;
  private isClosed = false;
  private beaten = 0;
  private timer: ReturnType<typeof setInterval> | null = null;

  constructor(private readonly listener: Listener) {}

  async run(url: string, identity: NodeIdentity): Promise<void> {
    try {
      if (!identity.knowsRoot) throw new JoinRefusedError("", true);
      this.channel = inParts(await connect(url));
      if (this.isClosed) return;
      const [state, reason] = await this.watch(await identity.askRoot(this.channel));
      this.end(state, reason);
    } catch (error) {
      this.end(...explain(error));
    } finally {
      this.close();
    }
  }

  close(): void {
    this.isClosed = true;
    if (this.timer !== null) clearInterval(this.timer);
    this.channel?.close();
  }

  private end(state: EndState, reason: string): void {
    if (!this.isClosed) this.listener.onEnd(state, reason);
  }

  private async watch(proved: Channel): Promise<[EndState, string]> {
    this.timer = setInterval(() => this.beat(proved), BEAT_MILLISECONDS);
    for (;;) {
      const message = JSON.parse(new TextDecoder().decode(await proved.receive())) as Message;
      if (this.isClosed) return ["gone", ""];
      if (message.type === "end") return [ENDS[message.reason] ?? "gone", ""];
      this.listener.onSaid(message);
      // The timers of a hidden page hardly run.
      if (performance.now() - this.beaten > BEAT_MILLISECONDS) this.beat(proved);
    }
  }

  private beat(proved: Channel): void {
    this.beaten = performance.now();
    try {
      proved.send(new Uint8Array([0]));
    } catch (error) {
      if (!(error instanceof ChannelClosedError)) throw error; // else `watch` hears of the end
    }
  }
}

/** Why nothing more is heard: the server tells where there is no run, or the root is away. */
function explain(error: unknown): [EndState, string] {
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof JoinRefusedError && error.isProven) return ["refused", ""];
  if (error instanceof ChannelClosedError)
    return [reason === RUN_IS_OVER ? "over" : "gone", reason];
  return ["untrusted", reason];
}
