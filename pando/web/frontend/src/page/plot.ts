/** A small live plot of items a second. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

/** What it shows, in seconds. */
const SPAN = 180;
const HEIGHT = 120;
const COMPACT = new Intl.NumberFormat("en", { notation: "compact" });

export class Plot {
  private readonly times: number[] = [];
  private readonly rates: number[] = [];
  private readonly plot: uPlot;

  constructor(private readonly place: HTMLElement) {
    const styles = getComputedStyle(document.documentElement);
    const color = (name: string): string => styles.getPropertyValue(name).trim();
    const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
    this.plot = new uPlot(
      {
        width: place.clientWidth,
        height: HEIGHT,
        cursor: { show: false },
        legend: { show: false },
        scales: { x: { time: false }, y: { range: (_, __, max) => [0, Math.max(max, 1) * 1.15] } },
        axes: [
          { ...axis, size: 24, values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "now" : `${tick} s`)) },
          { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => COMPACT.format(tick)) },
        ],
        series: [{}, { stroke: color("--green"), width: 2, points: { show: false } }],
      },
      [[], []],
      place,
    );
    new ResizeObserver(() => this.plot.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
  }

  /** The rate now; `now` is in seconds. */
  add(now: number, rate: number): void {
    this.times.push(now);
    this.rates.push(rate);
    while (now - this.times[0]! > SPAN) {
      this.times.shift();
      this.rates.shift();
    }
    if (this.place.clientWidth > 0) {
      this.plot.setData([this.times.map((time) => time - now), this.rates]);
    }
  }
}
