/** When other devices may connect through a page. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import {
  type Circumstances,
  HIDDEN_SECONDS,
  mayConnectOthers,
  othersAllowed,
  VISIBLE_SECONDS,
  Willingness,
} from "../src/page/willingness";

const GOOD: Circumstances = {
  allowed: true,
  visible: true,
  seconds: VISIBLE_SECONDS,
  frozen: false,
  onBattery: false,
  saves: false,
};

test("a page that has been in sight for two minutes, on mains, lets others connect", () => {
  expect(mayConnectOthers(GOOD, false)).toBe(true);
  expect(VISIBLE_SECONDS).toBe(120);
});

test.each<[string, Partial<Circumstances>]>([
  ["it has come into sight lately", { seconds: VISIBLE_SECONDS - 1 }],
  ["it is hidden", { visible: false, seconds: 1 }],
])("it does not begin with that where %s", (_, now) => {
  expect(mayConnectOthers({ ...GOOD, ...now }, false)).toBe(false);
  expect(mayConnectOthers({ ...GOOD, ...now }, true)).toBe(true); // a glance at another tab
});

test.each<[string, Partial<Circumstances>]>([
  ["the person does not want it", { allowed: false }],
  ["the browser stops it", { frozen: true }],
  ["it runs on its battery", { onBattery: true }],
  ["energy or data are to be saved", { saves: true }],
  ["it has been hidden for some time", { visible: false, seconds: HIDDEN_SECONDS }],
])("others are handed over where %s", (_, now) => {
  expect(mayConnectOthers({ ...GOOD, ...now }, true)).toBe(false);
});

test("desktops do unless they are told otherwise; phones and tablets do not", () => {
  expect(othersAllowed("Mozilla/5.0 (X11; Linux x86_64)", 0)).toBe(true);
  expect(othersAllowed("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0)", 5)).toBe(false);
  expect(othersAllowed("Mozilla/5.0 (Linux; Android 14; Pixel) Mobile", 5)).toBe(false);
  expect(othersAllowed("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15)", 5)).toBe(false); // an iPad
});

describe("a page", () => {
  let page: EventTarget & { visibilityState: string };
  let battery: EventTarget & { charging: boolean };
  let said: boolean[];
  let allowed: boolean;
  let willingness: Willingness;

  beforeEach(async () => {
    vi.useFakeTimers();
    page = Object.assign(new EventTarget(), { visibilityState: "visible" });
    battery = Object.assign(new EventTarget(), { charging: true });
    vi.stubGlobal("document", page);
    vi.stubGlobal("navigator", { getBattery: () => Promise.resolve(battery) });
    [said, allowed] = [[], true];
    willingness = new Willingness(
      () => allowed,
      () => false,
      (willing) => said.push(willing),
    );
    show("visible");
    await vi.advanceTimersByTimeAsync(VISIBLE_SECONDS * 1000 + 1000);
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  function show(state: string): void {
    page.visibilityState = state;
    page.dispatchEvent(new Event("visibilitychange"));
  }

  test("says so when it has been in sight for long enough, once", async () => {
    await vi.advanceTimersByTimeAsync(10_000);
    expect(said).toEqual([true]);
  });
  test("and that it does not any more, 10 s after it went out of sight", async () => {
    show("hidden");
    await vi.advanceTimersByTimeAsync(9000);
    expect(said).toEqual([true]);
    await vi.advanceTimersByTimeAsync(2000);
    expect(said).toEqual([true, false]);
    show("visible");
    await vi.advanceTimersByTimeAsync(VISIBLE_SECONDS * 1000 - 2000);
    expect(said).toEqual([true, false]);
    await vi.advanceTimersByTimeAsync(3000);
    expect(said).toEqual([true, false, true]);
  });
  test("at once where the browser stops it", () => {
    page.dispatchEvent(new Event("freeze"));
    expect(said).toEqual([true, false]);
  });
  test("at once where it runs on its battery", () => {
    battery.charging = false;
    battery.dispatchEvent(new Event("chargingchange"));
    expect(said).toEqual([true, false]);
  });
  test("at once where the person has chosen so", () => {
    allowed = false;
    willingness.look();
    expect(said).toEqual([true, false]);
  });
});
