/** What the root tells this page of its run. */

import type { Language } from "../compute/protocol";

export interface RunInfo {
  id: string;
  function: string;
  asker: string;
  language: Language;
  /** Whether the person who runs this lets the function use the internet. */
  network: boolean;
  /** Why browsers cannot take part, if they cannot. */
  problem: string;
  /** This run's link, without its token. */
  link: string;
  /** Where the parts of Python are found; empty for JavaScript. */
  python: { program: string; wasm: string; standardLibrary: string; packages: string[] } | null;
}

/** How long the root may take to say what it runs, in milliseconds. */
const PATIENCE_MILLISECONDS = 5000;
const AGAIN_MILLISECONDS = 2000;

/** The run that a page was made for, if it was for one. */
export function readRun(page: Document): RunInfo | null {
  const text = page.getElementById("run")?.textContent;
  return text ? (JSON.parse(text) as RunInfo) : null;
}

/** This run, or another one where it is over; null where nobody answers. */
export async function fetchRun(id: string): Promise<RunInfo | null> {
  for (;;) {
    try {
      const response = await fetch(`./?run=${encodeURIComponent(id)}`, { signal: AbortSignal.timeout(PATIENCE_MILLISECONDS) });
      const run = readRun(new DOMParser().parseFromString(await response.text(), "text/html"));
      if (run !== null || !response.ok) return run;
    } catch {
      return null;
    }
    // The run is still looking for what its function needs.
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MILLISECONDS));
  }
}
