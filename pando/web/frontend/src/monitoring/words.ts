/** What the page says in words and numbers. No document: only texts. */

import { formatCount } from "../page/words";
import { isGone, type Model } from "./model";
import type { GlobalReports, Root, Volunteer } from "./protocol";
import type { StreamState } from "./stream";

export type Tone = "good" | "wait" | "bad" | "quiet";

export interface Headline {
  tone: Tone;
  text: string;
  detail: string;
}

/** Times the median of all devices below which one counts as slow. */
const SLOW = 0.25;
const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const SMALL = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });

/**
 * What state the run is in, and whether what is shown is up to date.
 *
 * @param reason - what the other end has said of the state of the stream.
 */
export function describeRun(stream: StreamState, model: Model, reason = ""): Headline {
  const { root } = model;
  if (stream === "refused") {
    return {
      tone: "bad",
      text: "This link does not open the monitoring",
      detail: "Use the monitoring link that the run has printed: its part after # is needed.",
    };
  }
  if (stream === "crowded") {
    const detail = "Too many pages watch this run. This one tries again by itself.";
    return { tone: "wait", text: "Waiting for a place", detail };
  }
  if (stream === "untrusted") {
    return { tone: "bad", text: "This is not the run of this link", detail: sentence(reason) };
  }
  if (root === null) {
    const why = reason === "" ? "The root does not answer." : sentence(reason);
    const detail = stream === "gone" ? `${why} This page tries again by itself.` : "";
    return { tone: "wait", text: "Connecting …", detail };
  }
  const name = root.function;
  if (root.state === "over") {
    const detail = "These are the final figures.";
    return { tone: "quiet", text: `${name} · over after ${clock(root.elapsed)}`, detail };
  }
  if (stream === "gone" || stream === "over") {
    const detail =
      "The root has gone: these are its last figures. This page shows it when it is back.";
    return { tone: "bad", text: `${name} · gone after ${clock(root.elapsed)}`, detail };
  }
  const text = `${name} · running for ${clock(root.elapsed)}`;
  if (model.present.length === 0) {
    const detail = "No other device has joined yet: open the link below on one.";
    return { tone: root.workers > 0 ? "good" : "wait", text, detail };
  }
  return { tone: "good", text, detail: "" };
}

/** Words of the other end as a sentence. */
const sentence = (words: string): string =>
  `${words.slice(0, 1).toUpperCase()}${words.slice(1).replace(/\.$/, "")}.`;

/** A time as clocks have it. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const two = (value: number): string => String(value).padStart(2, "0");
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(whole % 60)}`
    : `${minutes}:${two(whole % 60)}`;
}

/** A duration in few characters, as columns have room for. */
function shortly(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${NUMBER.format(seconds / 3600)} h`;
}

export function rate(perSecond: number): string {
  if (perSecond >= 1000) return formatCount(Math.round(perSecond));
  return perSecond >= 10 ? NUMBER.format(perSecond) : SMALL.format(perSecond);
}

export const percent = (value: number): string => `${Math.round(value)} %`;

/** A time in milliseconds; nothing where it is not known. */
export function milliseconds(time: number | null): string {
  return time === null ? "" : `${time >= 10 ? Math.round(time) : SMALL.format(time)} ms`;
}

/** A state with what is waited for, and since when where that matters. */
export function describeState(volunteer: Volunteer, elapsed: number): string {
  if (volunteer.workers === 0 && !isGone(volunteer.state)) return "does not compute";
  switch (volunteer.state) {
    case "starved":
      return "waiting for items";
    case "blocked":
      return "waiting for the network";
    case "loading":
      return "loading the function";
    case "silent":
      return `silent for ${shortly(elapsed - volunteer.heardAt)}`;
    case "left":
    case "lost":
      return `${volunteer.state} ${shortly(elapsed - volunteer.since)} ago`;
    default:
      return volunteer.state;
  }
}

/** What a device has told over its report link: its rate, and when. */
export function describeReport({ globalReport }: Volunteer): string {
  if (globalReport == null) return "";
  if (isGone(globalReport.state)) return `lost at ${clock(globalReport.heardAt)}`;
  return `${rate(globalReport.throughput)}/s at ${clock(globalReport.heardAt)}`;
}

/** What all report links together tell. */
export function describeReports(reports: GlobalReports | null | undefined): string {
  if (reports == null) return "";
  const { devices, stalled, missing } = reports;
  const told =
    `Over report links: ${formatCount(devices)} ${devices === 1 ? "device" : "devices"}, ` +
    `${rate(reports.throughput)} a second, ${formatCount(Math.round(reports.totalItems))} in all.`;
  if (stalled === 0) return told;
  const names = missing.map(({ deviceName }) => deviceName).join(", ");
  const unheard = `${formatCount(stalled)} ${stalled === 1 ? "stalls" : "stall"}: heard there, and not through the tree.`;
  return [told, unheard, names && `Not in the tree: ${names}.`].filter(Boolean).join(" ");
}

/** How many devices are relayed, as part of a list. */
export function describeRelayed({ relayed = 0, relayedBeyondDegree = 0 }: Root): string {
  if (relayed === 0) return "";
  const beyond =
    relayedBeyondDegree > 0 ? ` (${formatCount(relayedBeyondDegree)} beyond the degree)` : "";
  return ` · ${formatCount(relayed)} relayed${beyond}`;
}

/** Devices that are much slower for each worker than most. */
export function findSlow(volunteers: Volunteer[]): Set<string> {
  const perWorker = (each: Volunteer): number =>
    Number(each.throughputStats.average) / Math.max(1, each.workers);
  const rates = volunteers.map(perWorker).sort((a, b) => a - b);
  const median = rates[Math.floor(rates.length / 2)] ?? 0;
  return new Set(volunteers.filter((each) => perWorker(each) < SLOW * median).map(({ id }) => id));
}

/** A latency in seconds, to two digits: milliseconds below one second. */
export function latency(seconds: number): string {
  const [value, unit] = seconds < 1 ? [1000 * seconds, "ms"] : [seconds, "s"];
  const rounded = Number(value.toPrecision(2));
  return `${rounded.toLocaleString("en", { maximumFractionDigits: 2 })} ${unit}`;
}
