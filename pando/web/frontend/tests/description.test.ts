/** Session descriptions are read and written as Python does. */

import { describe, expect, test } from "vitest";

import vectors from "../../../../tests/vectors/data-channel.json";
import { MalformedError } from "../src/errors";
import { readServers } from "../src/node/peer";
import { chooseProtocol } from "../src/node/protocol";
import { MAX_DESCRIPTION, readDescription, writeDescription } from "../src/tree/description";
import { hexOf } from "./bytes";

describe("descriptions", () => {
  test.each(vectors.descriptions)("$kind $written", ({ kind, sdp, written, fingerprint }) => {
    const read = () => readDescription(sdp, kind as "offer");
    if (written === null) {
      expect(read).toThrow(MalformedError);
      return;
    }
    expect(writeDescription(read())).toBe(written);
    expect(hexOf(read().fingerprint)).toBe(fingerprint);
    expect(written.length).toBeLessThanOrEqual(MAX_DESCRIPTION);
  });
  test("no other line of it gets to the browser", () => {
    const { sdp } = vectors.descriptions.find(({ kind, written }) => kind === "answer" && written)!;
    const odd = `${sdp}a=ssrc:1 cname:x\r\na=candidate:1 1 udp 1 evil.example 80 typ host\r\n`;
    expect(writeDescription(readDescription(odd, "answer"))).toBe(
      writeDescription(readDescription(sdp, "answer")),
    );
  });
});

describe("STUN servers of a run", () => {
  test.each([
    [[], []],
    [
      ["stun:192.0.2.1:3478", "stun:stun.example"],
      ["stun:192.0.2.1:3478", "stun:stun.example"],
    ],
    [["stun:192.0.2.1", "turn:192.0.2.1"], []],
    [["http://192.0.2.1/"], []],
    [["stun:a?x"], []],
    [new Array<string>(5).fill("stun:a"), []],
  ])("%j", (urls, servers) => {
    const read = readServers({ iceServers: urls, turnServers: [] });
    expect(read).toEqual(servers.map((each) => ({ urls: each })));
  });
  test.each([
    ["turn:192.0.2.1", true],
    ["turns:turn.example:443?transport=tcp", true],
    ["stun:192.0.2.1", false],
    ["turn:192.0.2.1?transport=tls", false],
    ["javascript:alert(1)", false],
  ])("TURN server %s", (url, isTaken) => {
    const login = { username: "1700000000:name", credential: "word" };
    const turnServers = [{ url, ...login }];
    const server = { urls: url, ...login };
    expect(readServers({ iceServers: ["stun:a"], turnServers })).toEqual(
      isTaken ? [{ urls: "stun:a" }, server] : [{ urls: "stun:a" }],
    );
  });
});

test.each([
  ["", "", true, "websocket"],
  ["webrtc", "", true, "websocket"],
  ["webrtc", "auto", false, "websocket"],
  ["websocket", "webrtc", true, "websocket"],
  ["", "auto", true, "auto"],
  ["auto", "webrtc", true, "auto"],
  ["", "webrtc", true, "webrtc"],
  ["webrtc", "auto", true, "webrtc"],
])("wanted %j, run %j, available %j", (wanted, run, isAvailable, protocol) => {
  expect(chooseProtocol(wanted, run, isAvailable)).toBe(protocol);
});
