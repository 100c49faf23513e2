/** What this tab was doing, for the time after a reload; `sessionStorage` is the tab's alone. */

import type { Kept } from "./totals";

const KEY = "pando tab";
/** How often in a row a tab goes on by itself: a function may be what makes the browser reload it. */
export const MAX_RESUMED = 3;
/** After this long, in milliseconds, what went wrong before is forgotten. */
export const STEADY_MILLISECONDS = 5 * 60_000;

export interface TabState {
  /** What follows the `#` of the link: another link is another run. */
  fragment: string;
  computing: boolean;
  /** How often in a row it has gone on by itself. */
  resumed: number;
  workers: number;
  network: boolean;
  totals: Kept;
}

export function readTab(fragment: string, storage = safeStorage()): TabState | null {
  try {
    const state = JSON.parse(storage?.getItem(KEY) ?? "null") as TabState | null;
    return state?.fragment === fragment ? state : null;
  } catch {
    return null;
  }
}

export function writeTab(state: TabState, storage = safeStorage()): void {
  try {
    storage?.setItem(KEY, JSON.stringify(state));
  } catch {
    // then a reload begins anew
  }
}

/** Whether a tab that was reloaded goes on by itself. */
export function mayResume(state: TabState | null): boolean {
  return Boolean(state?.computing) && (state?.resumed ?? 0) < MAX_RESUMED;
}

function safeStorage(): Storage | null {
  try {
    return sessionStorage;
  } catch {
    return null; // storage may be switched off
  }
}
