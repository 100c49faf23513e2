/** Throughput over time, stacked. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Stack } from "./stacking";
import { clock, rate } from "./words";
import { type Range, zoomByKey } from "./zoom";

const HEIGHT = 240;
const COLORS = 13;
/** Seconds between two marks of the time. */
const TIME_STEPS = [
  1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
  172_800, 604_800,
];

export class Chart {
  private plot: uPlot | null = null;
  private shape = "";
  private stack: Stack | null = null;

  constructor(
    private readonly place: HTMLElement,
    private readonly legend: HTMLElement,
    private readonly onZoom: (zoomed: boolean) => void,
  ) {
    new ResizeObserver(() =>
      this.plot?.setSize({ width: place.clientWidth, height: HEIGHT }),
    ).observe(place);
    place.onkeydown = (event) => this.onKey(event);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.shape = "";
      if (this.stack !== null) this.show(this.stack);
    });
  }

  show(stack: Stack): void {
    this.stack = stack;
    const shape = stack.names.join("\n");
    if (this.plot === null || shape !== this.shape) {
      this.shape = shape;
      this.build(stack);
    }
    // The highest layer is drawn first, and the others over it.
    const data = [stack.times, ...[...stack.sums].reverse()] as uPlot.AlignedData;
    const zoomed = this.zoomed;
    this.plot!.setData(data, !zoomed);
    if (zoomed) this.plot!.redraw();
    this.place.setAttribute("aria-label", describe(stack));
  }

  /** Show the last so many seconds, or all. */
  zoom(seconds: number | null): void {
    const times = this.stack?.times ?? [];
    const last = times.at(-1);
    if (this.plot === null || last === undefined) return;
    const min = seconds === null ? (times[0] ?? 0) : Math.max(times[0] ?? 0, last - seconds);
    this.setRange({ min, max: last });
  }

  private onKey(event: KeyboardEvent): void {
    const { min, max } = this.plot?.scales["x"] ?? {};
    const times = this.stack?.times ?? [];
    if (this.plot === null || min == null || max == null || times.length < 2) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const range = zoomByKey(event.key, { min, max }, { min: times[0]!, max: times.at(-1)! });
    if (range === null) return;
    event.preventDefault();
    this.setRange(range);
  }

  private setRange(range: Range): void {
    this.plot?.setScale("x", range);
    const times = this.stack?.times ?? [];
    this.onZoom(range.min > times[0]! || range.max < times.at(-1)!); // the plot follows later
  }

  private get zoomed(): boolean {
    const { min, max } = this.plot?.scales["x"] ?? {};
    const times = this.plot?.data[0] ?? [];
    return min != null && max != null && (min > times[0]! || max < times.at(-1)!);
  }

  private build(stack: Stack): void {
    this.plot?.destroy();
    const styles = getComputedStyle(document.documentElement);
    const color = (name: string): string => styles.getPropertyValue(`--${name}`).trim();
    const colors = stack.names.map((name, place) =>
      color(
        name === "others" && place === stack.names.length - 1
          ? "layer-others"
          : `layer-${place % COLORS}`,
      ),
    );
    const axis = {
      stroke: color("quiet"),
      grid: { stroke: color("line"), width: 1 },
      ticks: { show: false },
      font: `13px ${styles.fontFamily}`,
    };
    this.plot = new uPlot(
      {
        width: this.place.clientWidth,
        height: HEIGHT,
        padding: [8, 28, 0, 0], // half of a mark at the end of the time
        cursor: { points: { show: false }, y: false },
        legend: { show: false },
        scales: {
          x: { time: false },
          y: { range: (_, __, max) => [0, (max > 0 ? max : 1) * 1.08] },
        },
        axes: [
          {
            ...axis,
            size: 30,
            incrs: TIME_STEPS,
            values: (_, splits) => splits.map((seconds) => clock(seconds)),
          },
          { ...axis, size: 64, values: (_, splits) => splits.map((value) => rate(value)) },
        ],
        series: [
          {},
          ...[...colors].reverse().map((fill) => ({ fill, width: 0, points: { show: false } })),
        ],
        hooks: { setSelect: [() => setTimeout(() => this.onZoom(this.zoomed))] },
      },
      [[], ...stack.names.map(() => [])] as uPlot.AlignedData,
      this.place,
    );
    this.plot.over.ondblclick = () => this.zoom(null);
    this.legend.replaceChildren(...stack.names.map((name, place) => entry(name, colors[place]!)));
  }
}

function entry(name: string, color: string): HTMLElement {
  const item = document.createElement("li");
  const swatch = document.createElement("span");
  swatch.className = "swatch";
  swatch.style.background = color;
  item.append(swatch, name);
  return item;
}

function describe({ sums }: Stack): string {
  const total = sums.at(-1) ?? [];
  if (total.length === 0) return "Throughput over time: nothing yet";
  return (
    `Throughput over time: now ${rate(total.at(-1)!)} a second, ` +
    `at most ${rate(Math.max(...total))} a second`
  );
}
