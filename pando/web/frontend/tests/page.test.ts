import { describe, expect, test } from "vitest";

import { guessName, isPhone, suitableWorkers } from "../src/page/device-name";
import { parseJoinLink } from "../src/page/join-link";

describe("invitations", () => {
  test.each([
    ["", "", false, null],
    ["#", "", false, null],
    ["#TOKEN", "TOKEN", false, null],
    ["#TOK-en_1", "TOK-en_1", false, null],
    ["#start", "", true, null],
    ["#start=false", "", false, null],
    ["#start=true", "", true, null],
    ["#TOKEN;start;device=My%20phone", "TOKEN", true, "My phone"],
    ["#start;TOKEN", "TOKEN", true, null],
    ["#TOKEN&start&device=a", "TOKEN", true, "a"],
    ["#device=My phone;", "", false, "My phone"],
    ["#protocol=websocket;device=NAME;", "", false, "NAME"],
    ["#device=", "", false, null],
    ["#device=a=b", "", false, "a=b"],
    ["#device=%zz", "", false, "%zz"],
    ["#device=%3Cb%3E", "", false, "<b>"],
    ["#ONE;TWO", "ONE", false, null],
    ["#;;;", "", false, null],
    ["#x'$(id)'", "", false, null], // shown in a command that people copy
  ])("%s", (fragment, token, start, device) => {
    expect(parseJoinLink(fragment)).toMatchObject({ token, start, device });
  });
  test.each([
    ["#TOKEN", ""],
    ["#TOKEN;protocol=webrtc", "webrtc"],
    ["#protocol=websocket;device=NAME;", "websocket"],
    ["#TOKEN;protocol=auto", "auto"],
    ["#TOKEN;protocol=pigeon", ""],
    ["#TOKEN;protocol", ""],
  ])("the protocol of %s", (fragment, protocol) => {
    expect(parseJoinLink(fragment).protocol).toBe(protocol);
  });
});

const PHONE =
  "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36";
const DESKTOP =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36";
const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1 Version/17.0 Mobile/15E148 Safari/604.1";

describe("devices", () => {
  test.each([
    [PHONE, "Chrome on Android phone"],
    [DESKTOP, "Chrome on Linux PC"],
    [IPHONE, "Safari on iPhone"],
    [`${DESKTOP} Edg/130.0`, "Edge on Linux PC"],
    [
      "Mozilla/5.0 (Windows NT 10.0; rv:130.0) Gecko/20100101 Firefox/130.0",
      "Firefox on Windows PC",
    ],
    ["", "Browser on a device"],
  ])("%s", (agent, name) => {
    expect(guessName(agent)).toBe(name);
  });
  test("phones keep half of their cores for themselves", () => {
    expect([isPhone(PHONE), isPhone(IPHONE), isPhone(DESKTOP)]).toEqual([true, true, false]);
    const mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.0 Safari/605.1.15";
    expect([isPhone(mac, 0), isPhone(mac, 5)]).toEqual([false, true]); // a tablet calls itself so
    expect([8, 2, 1].map((cores) => suitableWorkers(cores, PHONE))).toEqual([4, 1, 1]);
    expect([8, 1].map((cores) => suitableWorkers(cores, DESKTOP))).toEqual([8, 1]);
  });
});
