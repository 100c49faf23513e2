/** The live stream: it connects again by itself. */

import type { Command, Said } from "./protocol";

const FIRST_PAUSE_SECONDS = 1;
const LONGEST_PAUSE_SECONDS = 10;
/** After the end of a run it is only looked whether another has begun. */
const AFTER_END_SECONDS = 5;
const REFUSED = 4401;
const TOO_MANY = 4429;
const NO_RUN = 4404;
const OVER = 1000;

/** Why there is no more to see for now. */
export type EndState =
  /** The root cannot be reached; it is tried again. */
  | "gone"
  /** The run is over; it is looked whether another begins. */
  | "over"
  | "refused"
  | "crowded"
  | "noRun"
  /** Whoever answers has not proved to be the root of this link. */
  | "untrusted";

export type StreamState = "connecting" | "live" | Exclude<EndState, "noRun">;

/** What a stream hears of its connection. */
export interface Listener {
  onSaid(said: Said): void;
  /** @param reason - more of it in words, from the other end; empty where there is none. */
  onEnd(state: EndState, reason: string): void;
}

/** How a page reaches the root. */
export interface Source {
  /** Connect, and return what ends the connection; then nothing more is heard of it. */
  open(token: string, listener: Listener): () => void;

  /** Ask for something, where this way of reaching it allows that. */
  send?(command: Command): void;
}

/** A root that has served this page itself. */
export class DirectSource implements Source {
  private socket: WebSocket | null = null;

  constructor(private readonly url: string) {}

  send(command: Command): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(command));
  }

  open(token: string, { onSaid, onEnd }: Listener): () => void {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => socket.send(token);
    socket.onmessage = ({ data }: MessageEvent<string>) => onSaid(JSON.parse(data) as Said);
    socket.onclose = ({ code }) => onEnd(stateOf(code), "");
    return () => {
      socket.onmessage = socket.onclose = null;
      socket.close();
    };
  }
}

function stateOf(code: number): EndState {
  switch (code) {
    case REFUSED:
      return "refused";
    case OVER:
      return "over";
    case TOO_MANY:
      return "crowded";
    case NO_RUN:
      return "noRun";
    default:
      return "gone";
  }
}

export class Stream {
  private pause = FIRST_PAUSE_SECONDS;
  private close: (() => void) | null = null;
  private waiting: ReturnType<typeof setTimeout> | null = null;

  constructor(
    private readonly source: Source,
    private token: string,
    private readonly onSaid: (said: Said) => void,
    private readonly onState: (state: StreamState, reason: string) => void,
  ) {}

  /** Connect now, perhaps with another token. */
  open(token = this.token): void {
    this.token = token;
    if (this.waiting !== null) clearTimeout(this.waiting);
    this.close?.();
    this.close = this.source.open(token, {
      onSaid: (said) => {
        this.pause = FIRST_PAUSE_SECONDS;
        this.onSaid(said);
        this.onState("live", "");
      },
      onEnd: (state, reason) => this.ended(state, reason),
    });
  }

  /** Ask for something, where this viewer is connected. */
  send(command: Command): void {
    this.source.send?.(command);
  }

  private ended(state: EndState, reason: string): void {
    this.onState(state === "noRun" ? "connecting" : state, reason);
    if (state === "refused") return;
    if (state === "over") {
      this.again(AFTER_END_SECONDS);
      return;
    }
    this.again(this.pause);
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_SECONDS);
  }

  private again(seconds: number): void {
    this.waiting = setTimeout(() => this.open(), 1000 * seconds);
  }
}
