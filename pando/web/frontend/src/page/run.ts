/** What the root tells this page of its run. */

import type { Language } from "../compute/protocol";

export interface RunInfo {
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

export function readRun(): RunInfo {
  return JSON.parse(document.getElementById("run")!.textContent!) as RunInfo;
}
