/** What a device proves itself with that was sent away: it stays away when its page is opened anew. */

const KEY = "pando sent away";

/** What was kept for a link, by what follows its `#`; empty where this device was not sent away. */
export function readSentAway(fragment: string): string {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as {
      fragment?: unknown;
      kept?: unknown;
    };
    return kept.fragment === fragment && typeof kept.kept === "string" ? kept.kept : "";
  } catch {
    return ""; // storage may be switched off
  }
}

/** Keep this for a link; nothing where it is empty. */
export function writeSentAway(fragment: string, kept: string): void {
  if (kept === readSentAway(fragment)) return;
  try {
    if (kept === "") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, JSON.stringify({ fragment, kept }));
  } catch {
    // then whoever opens the page anew is a new device
  }
}
