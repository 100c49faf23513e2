/** What the page says in each state, in words and as a colour. No document: only texts. */

import type { DeviceState } from "../node/device-state";
import type { RunDetails } from "./run";
import type { Figures } from "./totals";

export type Stage =
  | "opening"
  /** The link is not, or no longer, good. */
  | "denied"
  /** There is no run now, or it prepares what browsers need. */
  | "notReady"
  /** Browsers cannot take part. */
  | "unsupported"
  | "invited"
  | "working"
  | "stopping"
  | "paused"
  | "finished"
  /** This device cannot take part. */
  | "refused"
  | "failed";

export type Tone = "quiet" | "good" | "wait" | "bad";

export interface PageState {
  stage: Stage;
  run: RunDetails | null;
  device: DeviceState | null;
  figures: Figures;
  /** How much of what has to be fetched is here, from 0 to 1. */
  downloaded: number;
  /** Whether the link that is not good lacks its last part. */
  incomplete: boolean;
  /** Why this page or this device does not go on. */
  problem: string;
  /** Why there is no run at the moment, where somebody says so. */
  away?: string;
}

export interface Words {
  tone: Tone;
  headline: string;
  detail: string;
  /** What comes next, such as when it tries again. */
  next: string;
  /** The tab's title. */
  title: string;
}

const NUMBER = new Intl.NumberFormat("en");
const SHORT_NUMBER = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });

export function formatCount(count: number): string {
  return NUMBER.format(count);
}

/** A rate in the unit in which it is a number that says something. */
export function formatRate(perSecond: number): string {
  if (perSecond >= 10) return `${NUMBER.format(Math.round(perSecond))} a second`;
  if (perSecond >= 0.5 || perSecond === 0) return `${SHORT_NUMBER.format(perSecond)} a second`;
  if (perSecond >= 0.5 / 60) return `${SHORT_NUMBER.format(perSecond * 60)} a minute`;
  return `${SHORT_NUMBER.format(perSecond * 3600)} an hour`;
}

export function formatBytes(bytes: number): string {
  const megabytes = bytes / 1e6;
  return megabytes < 1 ? `${Math.ceil(bytes / 1000)} kB` : `${SHORT_NUMBER.format(megabytes)} MB`;
}

export function formatDuration(seconds: number): string {
  const say = (count: number, unit: string): string => `${count} ${unit}${count === 1 ? "" : "s"}`;
  if (seconds < 60) return say(Math.max(1, Math.round(seconds)), "second");
  if (seconds < 3600) return say(Math.round(seconds / 60), "minute");
  const hours = seconds / 3600;
  return say(hours < 100 ? Math.round(10 * hours) / 10 : Math.round(hours), "hour");
}

/** A share in percent that is never 0 where something was done, and never all where others helped. */
export function formatShare(own: number, total: number): string {
  const percent = (100 * own) / total;
  if (percent < 1) return "less than 1 %";
  return `${own < total ? Math.min(99, Math.round(percent)) : 100} %`;
}

/** A traceback without the lines that only mark a place in the line above, which may be broken here. */
export function formatTraceback(text: string): string {
  return text.replace(/^ *[~^][ ~^]*\n/gm, "");
}

/** The person who asks, as the subject of a sentence, and whose things are meant. */
export function nameRequester(run: RunDetails | null): { who: string; whose: string } {
  const who = run?.requester ?? "";
  return who ? { who, whose: `${who}'s` } : { who: "Somebody", whose: "the other" };
}

export function describe(state: PageState): Words {
  const words = {
    tone: "quiet" as Tone,
    headline: "",
    detail: "",
    next: "",
    ...describeStage(state),
  };
  return { ...words, title: `${words.headline} · Pando` };
}

/** Whether there is something to compute, so that a rate says something. */
export function isComputing(stage: Stage, device: DeviceState | null): boolean {
  return stage === "working" && device?.phase === "computing" && !device.idle && !device.offline;
}

function describeStage(state: PageState): Partial<Words> {
  const { run, problem } = state;
  const { who } = nameRequester(run);
  switch (state.stage) {
    case "opening":
      return { headline: "Opening …" };
    case "denied":
      return describeDenied(state);
    case "notReady":
      return {
        tone: "wait",
        headline: state.problem ? "Preparing …" : "No run at the moment",
        detail:
          state.problem || `${explainAway(state)}This page goes on by itself when one begins.`,
      };
    case "unsupported":
      return {
        tone: "bad",
        headline: "Browsers cannot take part in this run",
        detail: problem,
        next: "A computer that has Pando can: see below.",
      };
    case "invited":
      return { headline: `${who} asks for your help` };
    case "working":
      return describeDevice(state);
    case "stopping":
      return { tone: "wait", headline: "Pausing …" };
    case "paused":
      return {
        tone: "wait",
        headline: "Paused",
        detail: "What was not finished is computed by other devices.",
      };
    case "finished":
      return describeFinished(state, false);
    case "refused":
      return { tone: "bad", headline: "This device cannot take part", detail: problem };
    case "failed":
      return { tone: "bad", headline: "This page has stopped", detail: problem };
  }
}

function explainAway({ away }: PageState): string {
  return away ? `${away.charAt(0).toUpperCase()}${away.slice(1)}. ` : "";
}

function describeDenied({ incomplete }: PageState): Partial<Words> {
  if (incomplete) {
    const detail =
      "Its end, after the # sign, is missing or cut off. Open the whole link, or paste it here.";
    return { tone: "bad", headline: "This link is incomplete", detail };
  }
  const detail = "It was for an earlier run. Ask for the new one, and open it, or paste it here.";
  return { tone: "bad", headline: "This link has expired", detail };
}

function describeDevice(state: PageState): Partial<Words> {
  const { run, device } = state;
  const { who, whose } = nameRequester(run);
  if (device === null || device.phase === "connecting") return describeConnecting(state);
  if (device.phase === "finished") return describeFinished(state, run?.linkLasts ?? false);
  if (device.offline) {
    const detail = "This device is offline. It goes on as soon as it has a network again.";
    return { tone: "wait", headline: "No connection", detail };
  }
  switch (device.phase) {
    case "preparing":
      return state.downloaded < 1
        ? { tone: "wait", headline: "Downloading …" }
        : { tone: "wait", headline: "Starting …", detail: "The program is being loaded." };
    case "paused": // it has been told to go on
      return { tone: "wait", headline: "Starting …" };
    case "joining":
      return { tone: "wait", headline: "Joining …" };
    case "computing":
      return device.idle
        ? {
            tone: "wait",
            headline: "Waiting for work",
            detail: "There is nothing to compute at the moment.",
          }
        : { tone: "good", headline: run?.requester ? `Helping ${who}` : "Helping" };
    default:
      return {
        tone: "wait",
        headline: `No connection to ${whose} computer`,
        detail: "Nothing is lost: what this device had begun is computed by others.",
        next: device.retry > 0 ? `Trying again in ${device.retry} s.` : "Trying again …",
      };
  }
}

const LINKS: Record<string, string> = {
  webrtc: "Connected directly, by WebRTC.",
  relayed: "Connected through a server, which passes on what it cannot read.",
  websocket: "Connected by WebSocket.",
};

/** What this device is connected by, and why by nothing better; empty where it is not connected. */
export function describeLink({ stage, device }: PageState): string {
  if (stage !== "working" || device?.phase !== "computing" || device.offline) return "";
  const { link, linkProblem } = device;
  const why = linkProblem && ` There is no connection by WebRTC: ${linkProblem}.`;
  const devices =
    device.children === 1 ? "1 device connects" : `${device.children} devices connect`;
  const through = device.children > 0 ? ` ${devices} through this one.` : "";
  return `${LINKS[link] ?? ""}${why}${through}`;
}

function describeConnecting({ run }: PageState): Partial<Words> {
  return { tone: "wait", headline: `Connecting to ${nameRequester(run).whose} computer …` };
}

function describeFinished({ run, device, figures }: PageState, waits: boolean): Partial<Words> {
  const { whose } = nameRequester(run);
  const own = figures.runResults;
  const values = `${formatCount(own)} value${own === 1 ? "" : "s"}`;
  const total = device?.runTotal ?? 0;
  const share = total >= own && own > 0 ? `, ${formatShare(own, total)} of all` : "";
  const time = figures.busy >= 1 ? `, with ${formatDuration(figures.busy)} of processor time` : "";
  const next = waits
    ? `You can close this page. While it is open, it helps again when ${run?.requester || "somebody"} starts another run.`
    : "You can close this page.";
  return {
    tone: "good",
    headline: `${run?.requester ? `${whose} run` : "The run"} is finished. Thank you!`,
    detail: `This device computed ${values}${share}${time}.`,
    next,
  };
}
