/** How a device comes in by the root: the connection, the handshake, the run, and a place in the tree. */

import { ChannelClosedError, JoinRejectedError, MalformedError } from "../errors";
import type { Bytes, Incoming, RunInfo } from "../messages";
import { oneLine } from "../text";
import type { Channel } from "../tree/channel";
import { KeepaliveChannel } from "../tree/keepalive";
import { inParts } from "../tree/parts";
import { JoinRefusedError, TrustError } from "../trust/errors";
import { joinFunction } from "./function-parts";
import type { NodeIdentity } from "./identity";
import type { Offered } from "./peer";
import { WEBRTC } from "./protocol";
import { withTimeout } from "./timers";
import { TurnRenewal } from "./turn-renewal";
import type { Ways } from "./ways";

/** How long the root may take to answer: it may have to ask its children for a place. */
const ANSWER_MILLISECONDS = 120_000;

/** A place in the tree. */
export interface Place {
  link: KeepaliveChannel;
  parent: Uint8Array;
  /** Whether the parent is the root. */
  isRoot: boolean;
  /** A connection whose offer nobody has answered, for a second link to the root. */
  offered: Offered | null;
}

/** End a place that is not taken. */
export function leavePlace({ link, offered }: Place): void {
  link.close();
  offered?.peer.close();
}

/** The run has ended meanwhile. */
export interface Ended {
  results: number;
}

export interface DoorHost {
  connect(url: string): Promise<Channel>;
  isStopping(): boolean;
  /** What this tab says of itself in a handshake. */
  hello(visit: Visit): Bytes;
}

/** What a device comes to the root for: a place, to report, or to hear what is told to who joins. */
export type Visit = "join" | "report" | "look";

export class RootDoor {
  constructor(
    private readonly options: { url: string; relayed: boolean },
    private readonly host: DoorHost,
    private readonly identity: NodeIdentity,
    private readonly ways: Ways,
  ) {}

  /**
   * Connect to the root, and let it prove that it is the one whose link this is.
   *
   * @param onLink - takes the link, once it is there and once it is protected, so that whoever stops this device
   *   can close it.
   */
  async open(
    onLink: (link: KeepaliveChannel) => void = () => {},
    visit: Visit = "join",
  ): Promise<KeepaliveChannel> {
    if (this.identity.problem) throw new JoinRejectedError(this.identity.problem);
    const channel = await this.connect();
    onLink(new KeepaliveChannel(channel));
    try {
      const link = new KeepaliveChannel(
        await this.identity.joinRoot(channel, this.host.hello(visit)),
      );
      onLink(link);
      return link;
    } catch (error) {
      throw this.whatFollows(error);
    }
  }

  /** Connect to the root once more, for reports alone. */
  async openReportLink(): Promise<KeepaliveChannel> {
    const channel = await this.connect();
    try {
      return new KeepaliveChannel(await this.identity.joinRoot(channel, this.host.hello("report")));
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  /** Have new passwords for TURN servers in time; null where the root names no such servers that are of use here. */
  keepRenewed(assigned: RunInfo): TurnRenewal | null {
    const { ways } = this;
    if (assigned.turnServers.length === 0 || !ways.mayUseWebRtc(assigned)) return null;
    const renewal = new TurnRenewal(assigned.run, {
      look: (onLink) => this.open(onLink, "look"),
      renewed: (told) => ways.useServers(told),
    });
    void renewal.start();
    return renewal;
  }

  private async connect(): Promise<Channel> {
    const socket = await this.host.connect(this.options.url);
    return this.options.relayed ? inParts(socket) : socket;
  }

  /** What becomes of an error of the handshake: whether it is of use to try again. */
  private whatFollows(error: unknown): unknown {
    if (!(error instanceof TrustError)) return error;
    // Who is not the root of the link proves nothing by a refusal; the root may come back.
    const isFinal =
      !this.identity.knowsRoot || (error instanceof JoinRefusedError && error.isProven);
    return isFinal
      ? new JoinRejectedError(sentence(error.message))
      : new ChannelClosedError(error.message);
  }

  /** What the root says next, as long as that is of interest. */
  async receive(root: KeepaliveChannel): Promise<Incoming> {
    const answer = await withTimeout(root.receive(), ANSWER_MILLISECONDS);
    if (answer === null) throw new ChannelClosedError("the root does not answer");
    if (this.host.isStopping()) throw new ChannelClosedError("stopped");
    return answer;
  }

  /** What the run is that the root has told of, with its whole function. */
  async whole(assigned: RunInfo, root: KeepaliveChannel): Promise<RunInfo> {
    return { ...assigned, function: await joinFunction(assigned, () => this.receive(root)) };
  }

  /** Take the place that the root gives, there or below. */
  async findPlace(root: KeepaliveChannel, assigned: RunInfo): Promise<Place | Ended> {
    const { ways } = this;
    ways.useServers(assigned);
    // Who reaches the root itself will reach the others by WebSocket, too, unless it fails.
    let offers = ways.prefersWebRtc(assigned);
    let problem: string | null = null;
    for (;;) {
      const offered = offers ? await ways.offer() : null;
      let isUsed = false; // then it ends with its link, or has another use
      try {
        const offer = offered?.offer ?? "";
        if (problem === null) root.send({ tag: "ready", offer });
        else root.send({ tag: "unreachable", reason: problem, offer });
        const answer = await this.receive(root);
        if (answer.tag === "welcome") {
          isUsed = true;
          return { link: root, parent: answer.parent, isRoot: true, offered };
        }
        if (answer.tag === "ended") return { results: answer.results };
        if (answer.tag !== "delegated") throw new MalformedError("unexpected reply from the root");
        const found = await ways.findParent(answer, offered, assigned);
        if (typeof found !== "string") {
          root.send({ tag: "joined" });
          root.close();
          isUsed = found.link.kind === WEBRTC;
          return { ...found, isRoot: false, offered: null };
        }
        problem = found;
        offers = ways.mayUseWebRtc(assigned);
      } finally {
        if (!isUsed) offered?.peer.close();
      }
    }
  }
}

/** What a device that is told this says: a run, or why there is none for it. */
export function readAssigned(answer: Incoming): RunInfo {
  if (answer.tag === "denied") throw new JoinRejectedError(sentence(oneLine(answer.reason)));
  if (answer.tag !== "assigned") throw new MalformedError("unexpected reply from the root");
  return answer;
}

export function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
