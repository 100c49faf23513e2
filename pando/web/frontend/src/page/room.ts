/** Where a page finds its run: at the address that serves it, or in a room of a public server. */

const ROOM = /^\/r\/[\w-]{22}\/?$/;

/** Whether this page was served by a public server, which relays. */
export function isRelayed(path: string): boolean {
  return ROOM.test(path);
}

/**
 * The address of a WebSocket of the run.
 *
 * @param page - the address of the page.
 * @param purpose - what it is for.
 */
export function socketUrl(page: string, purpose: "node" | "page"): string {
  const place = page.replace(/[?#].*$/, "").replace(/^http/, "ws");
  const folder = isRelayed(new URL(page).pathname) ? place.replace(/\/?$/, "/") : place;
  return new URL(purpose, folder).href;
}
