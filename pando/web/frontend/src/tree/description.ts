/**
 * Session descriptions, read into what a data channel needs, and written anew: no other line passes from the
 * browser to a node, or back. The twin of `pando/net/webrtc/description.py`.
 */

import { MalformedError } from "../errors";
import type { Bytes } from "../messages";

export const MAX_DESCRIPTION = 8192;
export const MAX_CANDIDATES = 16;
const MAX_SCTP_MESSAGE = 262_144;

const CANDIDATE =
  /^candidate:([A-Za-z0-9+/]{1,32}) 1 udp (\d{1,10}) (\S{1,64}) (\d{1,5}) typ (host|srflx|relay)\b/i;
const MDNS = /^[A-Za-z0-9-]{1,48}\.local$/;
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
/** IPv6 of this machine and of nobody, of groups and of one link, and IPv4 in other words. */
const NO_IPV6_TARGET = /^(?:::1?$|ff[0-9a-f]{2}:|fe[89ab][0-9a-f]:|::ffff:)/;
const USERNAME = /^[A-Za-z0-9+/]{4,256}$/;
const PASSWORD = /^[A-Za-z0-9+/]{22,256}$/;
const FINGERPRINT = /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/i;

export interface Description {
  username: string;
  password: string;
  /** The SHA-256 of the DTLS certificate. */
  fingerprint: Bytes;
  /** `actpass` in an offer, the part in the DTLS handshake in an answer. */
  setup: string;
  /** Each as SDP has it. */
  candidates: string[];
}

/** @throws MalformedError it is none of a connection for data. */
export function readDescription(sdp: string, kind: "offer" | "answer"): Description {
  const lines = sdp.split(/\r?\n/).map((line) => line.trim());
  const sections = lines.filter((line) => line.startsWith("m="));
  if (sections.length !== 1 || !sections[0]!.startsWith("m=application "))
    throw new MalformedError("the session description is not one of a data channel");
  const attributes = lines.filter((line) => line.startsWith("a=")).map((line) => line.slice(2));
  const find = (name: string): string =>
    attributes.find((attribute) => attribute.startsWith(name))?.slice(name.length) ?? "";
  const [username, password, setup] = [find("ice-ufrag:"), find("ice-pwd:"), find("setup:")];
  const digits = find("fingerprint:sha-256 ");
  const fits = kind === "offer" ? setup === "actpass" : setup === "active" || setup === "passive";
  if (!(USERNAME.test(username) && PASSWORD.test(password) && FINGERPRINT.test(digits) && fits))
    throw new MalformedError("the session description is incomplete");
  const fingerprint = Uint8Array.from(digits.split(":"), (digit) => Number.parseInt(digit, 16));
  const candidates = attributes.flatMap(readCandidate).slice(0, MAX_CANDIDATES);
  return { username, password, fingerprint, setup, candidates };
}

/** A candidate as it is written, in a list; none where it is of no use, such as one for TCP. */
function readCandidate(attribute: string): string[] {
  const match = CANDIDATE.exec(attribute);
  if (match === null) return [];
  const [, foundation, priority, host, port, kind] = match;
  if (!(Number(port) > 0 && Number(port) < 2 ** 16 && Number(priority) < 2 ** 32 && isTarget(host!))) return [];
  // The address behind a mapped one is nobody's business; browsers want the words (RFC 8839).
  const related = kind === "host" ? "" : " raddr 0.0.0.0 rport 9";
  return [`candidate:${foundation} 1 udp ${priority} ${host} ${port} typ ${kind}${related}`];
}

/** Whether checks may be sent there; a stranger must not choose, say, this machine. */
function isTarget(host: string): boolean {
  if (MDNS.test(host)) return true;
  if (IPV4.test(host)) {
    const first = Number(host.split(".")[0]);
    return first !== 127 && !(first >= 224 && first < 240) && host !== "0.0.0.0";
  }
  if (!/^[0-9A-Fa-f.:]+$/.test(host) || !URL.canParse(`http://[${host}]/`)) return false;
  return !NO_IPV6_TARGET.test(new URL(`http://[${host}]/`).hostname.slice(1, -1));
}

export function writeDescription({ username, password, fingerprint, setup, candidates }: Description): string {
  const digits = Array.from(fingerprint, (byte) => byte.toString(16).padStart(2, "0").toUpperCase());
  const lines = [
    "v=0",
    "o=- 1 1 IN IP4 0.0.0.0",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    "a=sctp-port:5000",
    `a=max-message-size:${MAX_SCTP_MESSAGE}`,
    ...candidates.map((candidate) => `a=${candidate}`),
    ...(candidates.length > 0 ? ["a=end-of-candidates"] : []),
    `a=ice-ufrag:${username}`,
    `a=ice-pwd:${password}`,
    `a=fingerprint:sha-256 ${digits.join(":")}`,
    `a=setup:${setup}`,
  ];
  return lines.map((line) => `${line}\r\n`).join("");
}
