import { describe, expect, test } from "vitest";
import { Model } from "../src/monitoring/model";
import type { Changes, Root, State, Volunteer } from "../src/monitoring/protocol";
import { stack, toCsv } from "../src/monitoring/stacking";
import { layOut, MANY } from "../src/monitoring/tree-layout";
import {
  clock,
  describeRelayed,
  describeReport,
  describeReports,
  describeRun,
  describeState,
  findSlow,
  latency,
} from "../src/monitoring/words";
import { zoomByKey } from "../src/monitoring/zoom";

const NO_STATISTICS = {
  average: "0.00",
  "standard-deviation": "0.00",
  maximum: "0.00",
  minimum: "0.00",
};

function volunteer(id: string, changes: Partial<Volunteer> = {}): Volunteer {
  return {
    id,
    deviceName: `device ${id}`,
    units: "items",
    throughput: 1,
    throughputStats: NO_STATISTICS,
    cpuUsage: 50,
    cpuUsageStats: NO_STATISTICS,
    dataTransferLoad: 0,
    dataTransferStats: NO_STATISTICS,
    parent: "root",
    kind: "native",
    version: "1",
    link: "websocket",
    roundTripTime: 1.25,
    workers: 1,
    children: 0,
    held: 0,
    state: "computing",
    heardAt: 1,
    since: 0,
    totalItems: 1,
    totalCpuTime: 0,
    failed: 0,
    reassigned: 0,
    ...changes,
  };
}

function root(changes: Partial<Root> = {}): Root {
  return {
    function: "square",
    state: "running",
    elapsed: 10,
    reportingInterval: 3,
    done: 0,
    failed: 0,
    total: null,
    throughput: 0,
    timeLeft: null,
    reassigned: 0,
    struckOut: 0,
    workers: 1,
    cpuTimeGiven: 0,
    latency: { median: null, p90: null, p99: null },
    own: volunteer("root", { parent: "" }),
    departed: { devices: 0, nbItems: 0 },
    sentAway: [],
    summed: { devices: 0, workers: 0, nbItems: 0 },
    ...changes,
  };
}

function state(...volunteers: Volunteer[]): State {
  return {
    type: "state",
    root: root(),
    volunteers: Object.fromEntries(volunteers.map((each) => [each.id, each])),
    recent: Object.fromEntries(volunteers.map(({ id }) => [id, [1]])),
    history: { layout: 1, width: 3, series: { a: [3, 6] }, others: [0, 3] },
    events: [],
    errors: [],
  };
}

function changes(some: Partial<Changes>): Changes {
  return {
    type: "changes",
    root: root(),
    volunteers: {},
    removed: [],
    history: null,
    points: {},
    events: [],
    errors: [],
    ...some,
  };
}

describe("the model", () => {
  test("changes, adds and removes devices, and keeps their last throughputs", () => {
    const model = new Model();
    model.apply(state(volunteer("root"), volunteer("a"), volunteer("b")));
    const next = volunteer("a", { throughput: 5, heardAt: 4 });
    model.apply(changes({ volunteers: { a: next, c: volunteer("c") }, removed: ["b"] }));
    expect([...model.volunteers.keys()]).toEqual(["root", "a", "c"]);
    expect(model.recent.get("a")).toEqual([1, 5]);
    model.apply(changes({ volunteers: { a: { ...next, state: "silent" } } }));
    expect(model.recent.get("a")).toEqual([1, 5]);
    expect(model.present.map(({ id }) => id)).toEqual(["a", "c"]);
  });
  test("adds points of history, also where some were left out", () => {
    const model = new Model();
    model.apply(state());
    model.apply(changes({ points: { 1: [7, 4], 3: [1, 2] } }));
    expect(model.history.series).toEqual({ a: [3, 7, 0, 1] });
    expect(model.history.others).toEqual([0, 4, 0, 2]);
  });
  test("a new state replaces all that was known", () => {
    const model = new Model();
    model.apply(state(volunteer("a")));
    model.apply(state(volunteer("b")));
    expect([...model.volunteers.keys()]).toEqual(["b"]);
  });
});

describe("report links", () => {
  const report = { throughput: 2, totalItems: 7, state: "computing", heardAt: 65, stalls: false };
  const all = { devices: 2, workers: 8, throughput: 4, totalItems: 1500, stalled: 0, missing: [] };
  test("each is told with its rate, and when it was heard", () => {
    expect(describeReport(volunteer("a"))).toBe("");
    expect(describeReport(volunteer("a", { globalReport: null }))).toBe("");
    expect(describeReport(volunteer("a", { globalReport: report }))).toBe("2/s at 1:05");
    const lost = { ...report, state: "lost" };
    expect(describeReport(volunteer("a", { globalReport: lost }))).toBe("lost at 1:05");
  });
  test("all together are told in a sentence", () => {
    expect(describeReports(undefined)).toBe("");
    expect(describeReports(null)).toBe("");
    expect(describeReports(all)).toBe("Over report links: 2 devices, 4 a second, 1,500 in all.");
    const missing = [{ id: "a", deviceName: "<b>phone</b>" }];
    expect(describeReports({ ...all, devices: 1, stalled: 1, missing })).toBe(
      "Over report links: 1 device, 4 a second, 1,500 in all. " +
        "1 stalls: heard there, and not through the tree. Not in the tree: <b>phone</b>.",
    );
    expect(describeReports({ ...all, stalled: 2 })).toMatch(/ 2 stall: heard there/);
  });
  test("relayed devices are counted, those beyond the degree as well", () => {
    expect(describeRelayed(root())).toBe("");
    expect(describeRelayed(root({ relayed: 3, relayedBeyondDegree: 0 }))).toBe(" · 3 relayed");
    expect(describeRelayed(root({ relayed: 3, relayedBeyondDegree: 2 }))).toBe(
      " · 3 relayed (2 beyond the degree)",
    );
  });
});

describe("the stack", () => {
  const history = { layout: 1, width: 2, series: { a: [2, 4], b: [20, 2] }, others: [0, 6] };
  test("has the largest device lowest, and the others on top", () => {
    const made = stack(history, 4, (id) => id.toUpperCase());
    expect(made.names).toEqual(["B", "A", "others"]);
    expect(made.rates).toEqual([
      [10, 1],
      [1, 2],
      [0, 3],
    ]);
    expect(made.sums.at(-1)).toEqual([11, 6]);
    expect(made.times).toEqual([2, 4]);
  });
  test("leaves out a point that has only begun, and divides one by the time that it has had", () => {
    expect(stack(history, 2.5, String).times).toEqual([2]);
    expect(stack(history, 3, String).rates[0]).toEqual([10, 2]);
  });
  test("as CSV is no formula", () => {
    const csv = toCsv(stack({ ...history, others: [0, 0] }, 4, (id) => `=${id}"`));
    expect(csv).toBe('seconds,"\'=b""","\'=a"""\n2.0,10.000,1.000\n4.0,1.000,2.000\n');
  });
});

describe("the layout of the tree", () => {
  const chain = (count: number) =>
    Array.from({ length: count }, (_, place) => ({
      id: String(place),
      parent: place === 0 ? "root" : String(Math.floor((place - 1) / 10)),
    }));
  test("one node alone", () => {
    expect(layOut("root", [], 300).nodes.map(({ id, depth }) => [id, depth])).toEqual([
      ["root", 0],
    ]);
  });
  test("few nodes are below each other, and each after its parent", () => {
    const { kind, nodes } = layOut("root", chain(25), 300);
    expect(kind).toBe("rows");
    expect(new Set(nodes.map(({ y }) => y)).size).toBe(26);
    for (const node of nodes) {
      const parent = nodes.find(({ id }) => id === node.parent)!;
      expect(parent.y).toBeLessThanOrEqual(node.y);
    }
  });
  test("many are in rings, none out of the picture and no two at one place", () => {
    const { kind, nodes, width, height } = layOut("root", chain(1000), 300);
    expect(kind).toBe("rings");
    expect(nodes.length).toBe(1001);
    for (const { x, y } of nodes) {
      expect(x > 0 && x < width && y > 0 && y < height).toBe(true);
    }
    expect(new Set(nodes.map(({ x, y }) => `${x.toFixed(2)} ${y.toFixed(2)}`)).size).toBe(1001);
  });
  test("circles and unknown parents hang at the root", () => {
    const circle = [
      { id: "a", parent: "b" },
      { id: "b", parent: "a" },
      { id: "c", parent: "nobody" },
    ];
    const { nodes } = layOut("root", circle, 300);
    expect(nodes.map(({ id }) => id).sort()).toEqual(["a", "b", "c", "root"]);
  });
  test("the limit", () => {
    expect(layOut("root", chain(MANY), 300).kind).toBe("rows");
    expect(layOut("root", chain(MANY + 1), 300).kind).toBe("rings");
  });
});

describe("the words", () => {
  const model = (changes: Partial<Root>, ...volunteers: Volunteer[]): Model => {
    const made = new Model();
    made.apply({ ...state(...volunteers), root: root(changes) });
    return made;
  };
  test.each([
    ["connecting", new Model(), "Connecting …", ""],
    ["gone", new Model(), "Connecting …", "does not answer"],
    ["refused", new Model(), "does not open", "part after #"],
    ["crowded", new Model(), "Waiting for a place", "by itself"],
    ["live", model({}), "square · running for 0:10", "No other device has joined"],
    ["live", model({}, volunteer("a")), "square · running for 0:10", ""],
    ["gone", model({}, volunteer("a")), "square · gone after 0:10", "when it is back"],
    ["over", model({ state: "over" }), "square · over after 0:10", "final figures"],
    ["gone", model({ state: "over" }), "square · over after 0:10", "final figures"],
  ] as const)("of the state %s", (stream, known, text, detail) => {
    const words = describeRun(stream, known);
    expect(words.text).toContain(text);
    if (detail === "") expect(words.detail).toBe("");
    else expect(words.detail).toContain(detail);
  });
  test.each([
    ["starved", "waiting for items"],
    ["blocked", "waiting for the network"],
    ["loading", "loading the function"],
    ["silent", "silent for 9 s"],
    ["left", "left 2 min ago"],
    ["lost", "lost 2 min ago"],
    ["paused", "paused"],
    ["over", "over"],
  ])("of a device that is %s", (device, words) => {
    const elapsed = device === "silent" ? 10 : 120;
    expect(describeState(volunteer("a", { state: device }), elapsed)).toBe(words);
  });
  test("a device is slow where its workers are much slower than most", () => {
    const at = (id: string, average: string, workers = 1) =>
      volunteer(id, { workers, throughputStats: { ...NO_STATISTICS, average } });
    expect([...findSlow([at("a", "8"), at("b", "8"), at("c", "1"), at("d", "8", 8)])]).toEqual([
      "c",
      "d",
    ]);
  });
  test("times are as clocks have them", () => {
    expect([0, 59.9, 61, 3661].map(clock)).toEqual(["0:00", "0:59", "1:01", "1:01:01"]);
  });
});

test.each([
  [0.251, "250 ms"],
  [0.0123, "12 ms"],
  [0.00042, "0.42 ms"],
  [0.999, "1,000 ms"],
  [1, "1 s"],
  [1.26, "1.3 s"],
  [1234, "1,200 s"],
])("a latency of %s seconds", (seconds, text) => {
  expect(latency(seconds)).toBe(text);
});

describe("zooming by the keyboard", () => {
  const whole = { min: 0, max: 100 };
  test.each([
    ["+", { min: 0, max: 100 }, { min: 25, max: 75 }],
    ["+", { min: 50, max: 51 }, { min: 49.5, max: 51.5 }],
    ["-", { min: 80, max: 100 }, { min: 60, max: 100 }],
    ["-", { min: 0, max: 100 }, { min: 0, max: 100 }],
    ["ArrowLeft", { min: 40, max: 60 }, { min: 35, max: 55 }],
    ["ArrowLeft", { min: 2, max: 22 }, { min: 0, max: 20 }],
    ["ArrowRight", { min: 70, max: 98 }, { min: 72, max: 100 }],
    ["Escape", { min: 40, max: 60 }, whole],
  ])("%s", (key, shown, after) => {
    expect(zoomByKey(key, shown, whole)).toEqual(after);
  });
  test("leaves other keys to the browser", () => {
    expect(zoomByKey("Tab", whole, whole)).toBeNull();
  });
});
