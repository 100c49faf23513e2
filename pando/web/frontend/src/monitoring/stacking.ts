/** Throughput over time as it is drawn and downloaded: rates, one above the other. */

import type { History } from "./protocol";

/** Part of a point's time that must have passed for its rate to say anything. */
const LEAST_PART = 0.3;

export interface Stack {
  /** Where each point ends, in seconds since the run began. */
  times: number[];
  /** Names of the layers, the lowest first. */
  names: string[];
  /** Items a second of each layer alone. */
  rates: number[][];
  /** The same with all layers below it. */
  sums: number[][];
}

/**
 * The layers of a history: the largest device lowest, the others on top.
 *
 * @param elapsed - seconds since the run began: the last point may not be over.
 */
export function stack(history: History, elapsed: number, name: (id: string) => string): Stack {
  const { width, series, others } = history;
  const total = (items: number[]): number => items.reduce((sum, count) => sum + count, 0);
  const layers = Object.entries(series).sort(([, a], [, b]) => total(b) - total(a));
  const hasOthers = others.some((count) => count > 0);
  const items = [...layers.map(([, each]) => each), ...(hasOthers ? [others] : [])];
  const names = [...layers.map(([id]) => name(id)), ...(hasOthers ? ["others"] : [])];
  let size = others.length;
  const lastPart = Math.min(1, elapsed / width - (size - 1));
  if (size > 1 && lastPart < LEAST_PART) size -= 1;
  const times = Array.from({ length: size }, (_, place) => Math.min((place + 1) * width, elapsed));
  const seconds = (place: number): number =>
    place === others.length - 1 ? Math.max(lastPart, LEAST_PART) * width : width;
  const rates = items.map((each) =>
    Array.from({ length: size }, (_, place) => (each[place] ?? 0) / seconds(place)),
  );
  const sums: number[][] = [];
  for (const layer of rates) {
    const below = sums.at(-1);
    sums.push(layer.map((rate, place) => rate + (below?.[place] ?? 0)));
  }
  return { times, names, rates, sums };
}

/** The same as a table, for spreadsheets. */
export function toCsv({ times, names, rates }: Stack): string {
  const header = ["seconds", ...names.map(quote)].join(",");
  const rows = times.map((time, place) =>
    [time.toFixed(1), ...rates.map((layer) => (layer[place] ?? 0).toFixed(3))].join(","),
  );
  return `${[header, ...rows].join("\n")}\n`;
}

/** A name as a cell that no spreadsheet takes for a formula. */
function quote(name: string): string {
  const harmless = /^[=+\-@\t\r]/.test(name) ? `'${name}` : name;
  return `"${harmless.replaceAll('"', '""')}"`;
}
