/** A small live plot of items a second. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { Trace } from "./trace";

const HEIGHT = 88;

export class Plot {
  private readonly trace = new Trace();
  private readonly plot: uPlot;

  constructor(private readonly place: HTMLElement) {
    this.plot = new uPlot(
      {
        width: place.clientWidth,
        height: HEIGHT,
        padding: [4, 0, 0, 0],
        cursor: { show: false },
        legend: { show: false },
        scales: {
          x: { time: false, range: () => [-this.span, 0] },
          y: { range: (_, __, max) => [0, Math.max(max, 1e-3) * 1.1] },
        },
        axes: [{ show: false }, { show: false }],
        series: [{}, { stroke: green, width: 2, points: { show: false } }],
      },
      [[], []],
      place,
    );
    new ResizeObserver(() =>
      this.plot.setSize({ width: place.clientWidth, height: HEIGHT }),
    ).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.plot.redraw());
  }

  /** The seconds that are shown. */
  get span(): number {
    return this.trace.span;
  }

  /** The rate now, or null where nothing was to be computed; `now` is in seconds. */
  add(now: number, rate: number | null): void {
    this.trace.add(now, rate);
    if (this.place.clientWidth > 0) this.plot.setData(this.trace.read());
  }
}

/** The page's green, which is another one in the dark. */
function green(): string {
  return getComputedStyle(document.documentElement).getPropertyValue("--green").trim();
}
