/**
 * A link to the root of a run, for the page alone: what the run is, and the packages that its
 * function needs. A public server, which has served this page, relays it and can read nothing.
 */

import { ChannelClosedError } from "../errors";
import { NodeIdentity } from "../node/identity";
import { withTimeout } from "../node/timers";
import { oneLine } from "../text";
import type { Channel } from "../tree/channel";
import { inParts } from "../tree/parts";
import { connect } from "../tree/websocket";
import { JoinRefusedError } from "../trust/errors";
import { socketUrl } from "./room";
import type { Asset, RunAnswer, RunDetails, RunSource } from "./run";

const ANSWER_MILLISECONDS = 20_000;
/** How long a package may take, in milliseconds. */
const PACKAGE_MILLISECONDS = 600_000;

/** What is known of a run, where the Python of the server is left out. */
type ToldRun = Omit<RunDetails, "python"> & { python: { packages: Asset[] } | null };
type Told = Exclude<RunAnswer, { type: "run" }> | { type: "run"; run: ToldRun };

export class RunLink implements RunSource {
  /** @param token - what follows the `#` of the link, without words for the page. */
  constructor(private readonly token: string) {}

  async askForRun(id: string): Promise<RunAnswer | null> {
    const identity = new NodeIdentity(this.token, { encrypts: true });
    if (!identity.knowsRoot) return { type: "denied", incomplete: this.token === "" };
    const socket = await this.connect().catch(() => null);
    if (socket === null) return null;
    try {
      const data = await ask(socket, identity, { ask: "run", id }, ANSWER_MILLISECONDS);
      const told = JSON.parse(new TextDecoder().decode(data)) as Told;
      if (told.type !== "run") return told;
      const { run } = told;
      return { type: "run", run: { ...run, python: run.python && (await addPyodide(run.python)) } };
    } catch (error) {
      return explain(error);
    }
  }

  readonly fetchWheel = async (digest: string): Promise<ArrayBuffer> => {
    const identity = new NodeIdentity(this.token, { encrypts: true });
    const question = { ask: "wheel", digest };
    const data = await ask(await this.connect(), identity, question, PACKAGE_MILLISECONDS);
    const { sha256 } = await import("@noble/hashes/sha2.js");
    const { bytesToHex } = await import("@noble/hashes/utils.js");
    if (bytesToHex(sha256(data)) !== digest)
      throw new Error("the run has sent another package than the one it has named");
    return new Uint8Array(data).buffer;
  };

  private async connect(): Promise<Channel> {
    return inParts(await connect(socketUrl(location.href, "page")));
  }
}

async function ask(
  channel: Channel,
  identity: NodeIdentity,
  question: object,
  milliseconds: number,
): Promise<Uint8Array> {
  try {
    const proved = await identity.askRoot(channel);
    proved.send(new TextEncoder().encode(JSON.stringify(question)));
    const answer = await withTimeout(proved.receive(), milliseconds);
    if (answer === null) throw new ChannelClosedError("the run does not answer");
    return answer;
  } finally {
    channel.close();
  }
}

/** Why there is no answer: the server tells where there is no run, or the root is away. */
function explain(error: unknown): RunAnswer {
  const reason = oneLine(error instanceof Error ? error.message : String(error));
  if (error instanceof JoinRefusedError && error.isProven)
    return { type: "denied", incomplete: false };
  if (error instanceof ChannelClosedError) return { type: "notReady", packages: false, reason };
  return { type: "untrusted", reason };
}

/** The packages of a run, added to the Python that the server has. */
async function addPyodide({
  packages,
}: {
  packages: Asset[];
}): Promise<NonNullable<RunDetails["python"]>> {
  const response = await fetch("./python.json");
  const pyodide = (await response.json()) as NonNullable<RunDetails["python"]>;
  return { ...pyodide, packages: [...pyodide.packages, ...packages] };
}
