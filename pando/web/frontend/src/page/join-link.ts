/** What stands behind the `#` of the link: the token, and what the page is to do. */

import { PROTOCOLS } from "../node/protocol";

/** Nothing else is a token: this page shows it in a command that people copy into their shells. */
const TOKEN = /^[\w.~%-]+$/;

export interface JoinLink {
  token: string;
  /** Start without being asked. */
  start: boolean;
  device: string | null;
  /** How to connect: `auto`, `websocket` or `webrtc`; empty where the link does not say. */
  protocol: string;
}

/** Such as `#TOKEN`, `#TOKEN;start;device=My%20phone` or, as in old links, `#device=My phone;`. */
export function parseJoinLink(fragment: string): JoinLink {
  const invitation: JoinLink = { token: "", start: false, device: null, protocol: "" };
  for (const part of fragment.replace(/^#/, "").split(/[;&]/)) {
    const [key, value] = splitOnce(part);
    if (key === "start" && value !== "false") invitation.start = true;
    else if (key === "device" && value) invitation.device = decode(value);
    else if (key === "protocol" && PROTOCOLS.includes(value ?? ""))
      invitation.protocol = value ?? "";
    else if (TOKEN.test(key) && value === null && !invitation.token) invitation.token = key;
  }
  return invitation;
}

function splitOnce(part: string): [string, string | null] {
  const at = part.indexOf("=");
  return at < 0 ? [part, null] : [part.slice(0, at), part.slice(at + 1)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
