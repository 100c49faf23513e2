/**
 * What follows the `#` of a join link: the fingerprint of the root's keys, the secret, and words
 * for the page. The twin of `pando/net/trust/join_link.py`, which tells how it is written.
 */

import { encodeText, type Bytes, fromBase64, toBase64 } from "./bytes";

export const FINGERPRINT_BYTES = 16;
const MIN_CHOSEN = 12;
const MAX_CHOSEN = 200;
const CREDENTIALS = /^([\w-]{22})(?:([\w-]{22})|\.([\w.~%-]+))$/;
const OLD_TOKEN = /^[\w-]{16}$/;

export interface LinkSecret {
  value: Bytes;
  /** Whether a person has chosen it. */
  isChosen: boolean;
}

export interface JoinLink {
  /** Null where the root lets everybody join, or this user's other programs on one machine. */
  invitation: { fingerprint: Bytes; secret: LinkSecret } | null;
  /** Start without being asked. */
  start: boolean;
  device: string | null;
  /** Why this link cannot be used, in words for people; empty where it can. */
  problem: string;
}

const OLD = "An older version of Pando has made this link, and it does not prove whose run it is.";
const INCOMPLETE =
  "The link is not complete, or has been changed: copy it as a whole, with all that follows its # sign.";

/** Such as `#CREDENTIALS`, `#CREDENTIALS;start;device=My%20phone` or, as in old links, `#device=My phone;`. */
export function parseFragment(fragment: string): JoinLink {
  const link: JoinLink = { invitation: null, start: false, device: null, problem: "" };
  let credentials = "";
  for (const part of fragment.replace(/^#/, "").split(/[;&]/)) {
    const at = part.indexOf("=");
    const [key, value] = at < 0 ? [part, null] : [part.slice(0, at), part.slice(at + 1)];
    if (key === "start") link.start ||= value !== "false";
    else if (key === "device" && value) link.device = decode(value) ?? value;
    else if (value === null) credentials ||= key;
  }
  if (credentials === "") return link;
  link.invitation = parseCredentials(credentials);
  if (link.invitation === null) link.problem = OLD_TOKEN.test(credentials) ? OLD : INCOMPLETE;
  return link;
}

function parseCredentials(text: string): JoinLink["invitation"] {
  const match = CREDENTIALS.exec(text);
  const fingerprint = match && fromBase64(match[1]!);
  if (match === null || fingerprint === null) return null;
  if (match[2] !== undefined) {
    const value = fromBase64(match[2]);
    return value && { fingerprint, secret: { value, isChosen: false } };
  }
  const secret = chooseSecret(decode(match[3]!) ?? "");
  return secret && { fingerprint, secret };
}

/** The secret that a person has chosen; null where it cannot be one. */
export function chooseSecret(text: string): LinkSecret | null {
  const normal = text.normalize("NFC");
  const length = [...normal].length;
  if (length < MIN_CHOSEN || length > MAX_CHOSEN || /\p{Cc}|\p{Cs}/u.test(normal)) return null;
  return { value: encodeText(normal), isChosen: true };
}

/** The credentials as they stand in the link: letters, digits and `-_.~%`, which no shell minds. */
export function formatCredentials({ fingerprint, secret }: NonNullable<JoinLink["invitation"]>): string {
  if (!secret.isChosen) return toBase64(fingerprint) + toBase64(secret.value);
  const text = encodeURIComponent(new TextDecoder().decode(secret.value));
  const quoted = text.replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return `${toBase64(fingerprint)}.${quoted}`;
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
