import { describe, expect, test } from "vitest";

import type { DevicePhase, DeviceState } from "../src/node/device-state";
import type { RunDetails } from "../src/page/run";
import {
  describeLink,
  describe as describeState,
  formatBytes,
  formatDuration,
  formatRate,
  formatShare,
  formatTraceback,
  isComputing,
  type PageState,
} from "../src/page/words";

const RUN: RunDetails = {
  id: "run",
  function: "is_prime",
  requester: "Zoë",
  about: "",
  language: "python",
  network: false,
  problem: "",
  link: "http://here/",
  linkLasts: false,
  python: null,
};
const DEVICE: DeviceState = {
  phase: "computing",
  note: "",
  retry: 0,
  idle: false,
  offline: false,
  function: "is_prime",
  workers: 2,
  results: 10,
  failures: 0,
  busy: 720,
  reported: null,
  failure: "",
  kept: "",
  link: "websocket",
  linkProblem: "",
  children: 0,
  identity: "",
  run: "run",
  runResults: 10,
  runTotal: null,
};

function page(state: Partial<PageState>, device: Partial<DeviceState> | null = null): PageState {
  return {
    stage: "working",
    run: RUN,
    device: device && { ...DEVICE, ...device },
    figures: { results: 10, failures: 0, busy: 720, reported: null, runResults: 10 },
    downloaded: 1,
    incomplete: false,
    problem: "",
    ...state,
  };
}

describe("what it is connected by", () => {
  test.each([
    ["webrtc", "", "Connected directly, by WebRTC."],
    ["websocket", "", "Connected by WebSocket."],
    [
      "relayed",
      "the devices cannot reach each other by UDP",
      "Connected through a server, which passes on what it cannot read. There is no connection by WebRTC: the devices cannot reach each other by UDP.",
    ],
  ])("%s %s", (link, linkProblem, words) => {
    expect(describeLink(page({}, { link, linkProblem }))).toBe(words);
    const through = describeLink(page({}, { link, linkProblem, children: 2 }));
    expect(through).toBe(words && `${words} 2 devices connect through this one.`);
  });
  test("nothing is said of it where there is no connection", () => {
    expect(describeLink(page({}))).toBe("");
    expect(describeLink(page({}, { phase: "waiting" }))).toBe("");
    expect(describeLink(page({}, { offline: true }))).toBe("");
    expect(describeLink(page({ stage: "paused" }, {}))).toBe("");
  });
});
test.each([
  ["working", {}, true],
  ["working", { idle: true }, false],
  ["working", { offline: true }, false],
  ["working", { phase: "waiting" }, false],
  ["working", { phase: "finished" }, false],
  ["stopping", {}, false],
  ["paused", { phase: "paused" }, false],
] as const)(
  "a rate says something only where something is computed: %s %o",
  (stage, more, says) => {
    expect(isComputing(stage, { ...DEVICE, ...more })).toBe(says);
  },
);

test("marks below a line of a traceback are left out", () => {
  const lines = ['  File "module.py", line 2', "    x = ~y ^ z", "        ~~~^~~~", "Odd: ^ and ~"];
  expect(formatTraceback(`${lines.join("\n")}\n`)).toBe(`${lines.toSpliced(2, 1).join("\n")}\n`);
});

describe("the state in words", () => {
  test.each<[Partial<PageState>, Partial<DeviceState> | null, string, string]>([
    [{ stage: "invited" }, null, "quiet", "Zoë asks for your help"],
    [{}, null, "wait", "Connecting to Zoë's computer …"],
    [{ downloaded: 0.5 }, { phase: "preparing" }, "wait", "Downloading …"],
    [{}, { phase: "preparing" }, "wait", "Starting …"],
    [{}, { phase: "joining" }, "wait", "Joining …"],
    [{}, {}, "good", "Helping Zoë"],
    [{}, { idle: true }, "wait", "Waiting for work"],
    [{}, { offline: true }, "wait", "No connection"],
    [{}, { phase: "waiting", retry: 8 }, "wait", "No connection to Zoë's computer"],
    [{}, { phase: "finished" }, "good", "Zoë's run is finished. Thank you!"],
    [{ stage: "finished" }, { phase: "finished" }, "good", "Zoë's run is finished. Thank you!"],
    [{ stage: "paused" }, { phase: "stopped" }, "wait", "Paused"],
    [{ stage: "paused" }, { phase: "paused" }, "wait", "Paused"],
    [{ stage: "working" }, { phase: "paused" }, "wait", "Starting …"],
    [{ stage: "denied" }, null, "bad", "This link has expired"],
    [{ stage: "denied", incomplete: true }, null, "bad", "This link is incomplete"],
    [{ stage: "refused" }, null, "bad", "This device cannot take part"],
    [{ stage: "failed" }, null, "bad", "This page has stopped"],
  ])("%o, %o", (state, device, tone, headline) => {
    const words = describeState(page(state, device));
    expect([words.tone, words.headline]).toEqual([tone, headline]);
    expect(words.title).toBe(`${headline} · Pando`);
  });

  test("nobody is named where nobody has said who asks", () => {
    const run = { ...RUN, requester: "" };
    const headlines = (["computing", "waiting", "finished"] satisfies DevicePhase[]).map(
      (phase) => describeState(page({ run }, { phase })).headline,
    );
    expect(headlines).toEqual([
      "Helping",
      "No connection to the other computer",
      "The run is finished. Thank you!",
    ]);
    expect(describeState(page({ stage: "invited", run })).headline).toContain("Somebody asks");
    const lasting = page({ run: { ...run, linkLasts: true } }, { phase: "finished" });
    expect(describeState(lasting).next).toContain("when somebody starts another run");
  });

  test("when it tries again is not part of what is said aloud", () => {
    const words = describeState(page({}, { phase: "waiting", retry: 8 }));
    expect(words.next).toBe("Trying again in 8 s.");
    expect(words.headline).not.toContain("8");
  });

  test("at the end it says what this device computed, and its share where that is known", () => {
    const said = (runTotal: number | null, linkLasts = false): string =>
      describeState(page({ run: { ...RUN, linkLasts } }, { phase: "finished", runTotal })).detail;
    expect(said(40)).toContain("computed 10 values, 25 % of all, with 12 minutes of processor");
    expect(said(0)).toContain("computed 10 values, with 12 minutes");
    expect(said(null)).not.toContain("of all");
    expect(said(5), "a figure that cannot be true is not shown").not.toContain("of all");
  });

  test("it says that it waits for other runs only where the link lasts", () => {
    const state = (linkLasts: boolean) =>
      page({ run: { ...RUN, linkLasts } }, { phase: "finished" });
    expect(describeState(state(true)).next).toContain("when Zoë starts another run");
    expect(describeState(state(false)).next).not.toContain("another run");
    expect(describeState({ ...state(true), stage: "finished" }).next).not.toContain("another run");
  });
});

describe("figures in words", () => {
  test.each([
    [8235.4, "8,235 a second"],
    [0, "0 a second"],
    [1.24, "1.2 a second"],
    [0.1, "6 a minute"],
    [0.001, "3.6 an hour"],
  ])("%s", (rate, words) => {
    expect(formatRate(rate)).toBe(words);
  });

  test("shares, times and sizes", () => {
    expect([1, 31, 995, 1000].map((own) => formatShare(own, 1000))).toEqual([
      "less than 1 %",
      "3 %",
      "99 %",
      "100 %",
    ]);
    expect([0, 1, 59, 60, 720, 5400, 415_440].map(formatDuration)).toEqual([
      "1 second",
      "1 second",
      "59 seconds",
      "1 minute",
      "12 minutes",
      "1.5 hours",
      "115 hours",
    ]);
    expect([900, 50_000, 8_660_000, 12_300_000].map(formatBytes)).toEqual([
      "1 kB",
      "50 kB",
      "8.7 MB",
      "12 MB",
    ]);
  });
});
