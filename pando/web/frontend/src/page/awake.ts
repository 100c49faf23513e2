/** Keeping the screen awake, where the browser allows it. */

let lock: WakeLockSentinel | null = null;
let wanted = false;
let asking = false;

/** Whether this browser can keep the screen awake on this page. */
export function canStayAwake(): boolean {
  return "wakeLock" in navigator;
}

export async function stayAwake(): Promise<void> {
  wanted = true;
  if (!canStayAwake() || lock !== null || asking || document.hidden) return;
  asking = true;
  try {
    lock = await navigator.wakeLock.request("screen");
    lock.onrelease = () => {
      lock = null;
    };
    if (!wanted) await maySleep();
  } catch {
    lock = null; // a low battery, for one, forbids it
  } finally {
    asking = false;
  }
}

export async function maySleep(): Promise<void> {
  wanted = false;
  await lock?.release();
}

// The browser lets the screen sleep when the page is hidden, and has to be asked again.
document.addEventListener("visibilitychange", () => {
  if (wanted && !document.hidden) void stayAwake();
});
