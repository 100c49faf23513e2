/** Waiting for so long and no longer. */

export function sleep(milliseconds: number): Promise<null> {
  return new Promise((resolve) => setTimeout(() => resolve(null), milliseconds));
}

/** What a promise becomes, or null where that takes longer. */
export function withTimeout<T>(promise: Promise<T>, milliseconds: number): Promise<T | null> {
  promise.catch(() => {}); // it may still fail when nobody waits any more
  return Promise.race([promise, sleep(milliseconds)]);
}
