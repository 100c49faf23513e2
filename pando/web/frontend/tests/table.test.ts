import { expect, test } from "vitest";

import { meanOf, sparkline } from "../src/monitoring/table";

test("an average is rounded where its digits would not fit", () => {
  const stats = (average: string, deviation: string) => ({
    average,
    "standard-deviation": deviation,
    maximum: "0.00",
    minimum: "0.00",
  });
  expect(meanOf(stats("0.00", "0.00"))).toBe("0.00 ± 0.00");
  expect(meanOf(stats("93.36", "43.05"))).toBe("93.36 ± 43.05");
  expect(meanOf(stats("1457.81", "535.94"))).toBe("1,458 ± 535.9");
  expect(meanOf(stats("1234567.89", "99.99"))).toBe("1,234,568 ± 99.99");
});

test("a line through values fits its picture, whatever they are", () => {
  expect(sparkline([])).toBe("");
  expect(sparkline([0])).toMatch(/^0\.0,/);
  for (const point of sparkline([0, 5, 10, 0]).split(" ")) {
    const [x, y] = point.split(",").map(Number);
    expect(x).toBeGreaterThanOrEqual(0);
    expect(x).toBeLessThanOrEqual(60);
    expect(y).toBeGreaterThanOrEqual(0);
    expect(y).toBeLessThanOrEqual(18);
  }
});
