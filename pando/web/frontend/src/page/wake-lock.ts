/** Keeping the screen awake, where the browser allows it. */

let lock: WakeLockSentinel | null = null;
let wanted = false;
let requesting = false;

/** Whether this browser can keep the screen awake on this page. */
export function hasWakeLock(): boolean {
  return "wakeLock" in navigator;
}

export async function requestWakeLock(): Promise<void> {
  wanted = true;
  if (!hasWakeLock() || lock !== null || requesting || document.hidden) return;
  requesting = true;
  try {
    const granted = await navigator.wakeLock.request("screen");
    granted.onrelease = () => {
      if (lock === granted) lock = null;
    };
    lock = granted;
    if (!wanted) await releaseWakeLock();
  } catch {
    lock = null; // a low battery, for one, forbids it
  } finally {
    requesting = false;
  }
}

export async function releaseWakeLock(): Promise<void> {
  wanted = false;
  const held = lock;
  lock = null;
  await held?.release();
}

// The browser lets the screen sleep when the page is hidden, and has to be asked again.
document.addEventListener("visibilitychange", () => {
  if (wanted && !document.hidden) void requestWakeLock();
});
