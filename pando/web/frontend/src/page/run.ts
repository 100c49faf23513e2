/** What the root tells this page of its run, to people whom it has invited. */

import type { Language } from "../compute/protocol";

/** A file to fetch: its size on the way here, and unpacked. */
export interface Asset {
  url: string;
  bytes: number;
  unpackedBytes: number;
  /** The SHA-256 of a package that comes from the root and not from who serves this page. */
  digest?: string;
}

export interface RunDetails {
  id: string;
  function: string;
  /** Who asks for help; empty where nobody says. */
  requester: string;
  /** What the run is for; empty where nobody says. */
  about: string;
  language: Language;
  /** Whether the person who runs this lets the function use the internet. */
  network: boolean;
  /** Why browsers cannot take part, if they cannot. */
  problem: string;
  /** This run's link, without what follows its `#`. */
  link: string;
  /** Whether other runs may follow at the same link. */
  linkLasts: boolean;
  /** The parts of Python; null for JavaScript. */
  python: { program: Asset; wasm: Asset; standardLibrary: Asset; packages: Asset[] } | null;
}

export type RunAnswer =
  | { type: "run"; run: RunDetails }
  /** The link is not, or no longer, good. */
  | { type: "denied"; incomplete: boolean }
  /** Whoever answers has not proved to be the root of this link. */
  | { type: "untrusted"; reason: string }
  /** There is no run now, or it is still looking for what its function needs. */
  | { type: "notReady"; packages: boolean; reason?: string };

/** What tells this page of its run. */
export interface RunSource {
  /** What the root says of this run, or of another one where it is over; null where nobody answers. */
  askForRun(id: string): Promise<RunAnswer | null>;
  /** A package of the run by its digest, where it is not fetched as a file of the page. */
  fetchWheel: ((digest: string) => Promise<ArrayBuffer>) | null;
}

/** How long the root may take to answer, in milliseconds. */
const PATIENCE_MILLISECONDS = 8000;
const AGAIN_MILLISECONDS = 2000;

/** A root that has served this page itself. */
export class ServingRoot implements RunSource {
  readonly fetchWheel = null;

  /** @param proof - what is shown of the link. */
  constructor(private readonly proof: Promise<string>) {}

  async askForRun(id: string): Promise<RunAnswer | null> {
    const proof = await this.proof;
    try {
      const response = await fetch(`./run?id=${encodeURIComponent(id)}`, {
        headers: proof ? { "Pando-Proof": proof } : {},
        cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE_MILLISECONDS),
      });
      return response.ok ? ((await response.json()) as RunAnswer) : null;
    } catch {
      return null;
    }
  }
}

/** What a source says, asked again until there is a run or no hope. */
export async function fetchRun(
  source: RunSource,
  id: string,
  onNotReady: (answer: RunAnswer & { type: "notReady" }) => void = () => {},
): Promise<RunAnswer | null> {
  for (;;) {
    const answer = await source.askForRun(id);
    if (answer?.type !== "notReady") return answer;
    onNotReady(answer);
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MILLISECONDS));
  }
}
