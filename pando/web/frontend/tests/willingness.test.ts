/** When other devices may connect through a page. */

import { expect, test } from "vitest";

import {
  type Circumstances,
  HIDDEN_SECONDS,
  mayConnectOthers,
  othersAllowed,
  VISIBLE_SECONDS,
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
