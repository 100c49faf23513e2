import { describe, expect, test } from "vitest";
import { RoundTrip } from "../src/tree/round-trip";

describe("the round-trip time of a link", () => {
  test("is that of the number which comes back", () => {
    const measured = new RoundTrip();
    expect(measured.milliseconds).toBe(0);
    const number = measured.begin(1000);
    for (const forged of [0, number + 1]) measured.end(forged, 1001);
    expect(measured.milliseconds).toBe(0);
    measured.end(number, 1020);
    measured.end(number, 9000);
    expect(measured.milliseconds).toBe(20);
  });
  test("is the median of the last five", () => {
    const measured = new RoundTrip();
    for (const time of [500, 10, 900, 11, 12, 13]) measured.end(measured.begin(0), time);
    expect(measured.milliseconds).toBe(13 - 1);
  });
  test("is bounded, and a number that is lost is given up", () => {
    const measured = new RoundTrip();
    const first = measured.begin(0);
    expect(measured.begin(59_999)).toBe(0);
    const second = measured.begin(60_000);
    expect(second).not.toBe(first);
    measured.end(second, 10 ** 9);
    expect(measured.milliseconds).toBe(60_000);
  });
});
