/** What a tab's node tells the page of itself. */

import { ReportSum } from "../compute/report-sum";
import type { Report } from "../messages";
import type { Session } from "./session";

/**
 * `waiting` is without a root; `finished` is after the end of a run, until the next begins;
 * `paused` is by the person at the device, which keeps its place in the tree.
 */
export type DevicePhase =
  | "connecting"
  | "preparing"
  | "joining"
  | "computing"
  | "paused"
  | "waiting"
  | "finished"
  | "stopped"
  | "refused";

/** What a link to the root is called that goes through a public server. */
export const RELAYED = "relayed";

export interface DeviceState {
  phase: DevicePhase;
  /** Words for the person at the device; empty where there is nothing to say. */
  note: string;
  /** Seconds until it connects again, where it waits for that. */
  retry: number;
  /** Whether it has a place in the tree, but nothing to compute. */
  idle: boolean;
  /** Whether this device has no network, so that its root is out of reach. */
  offline: boolean;
  function: string;
  workers: number;
  results: number;
  failures: number;
  /** Seconds of the workers' time in which they had something to do. */
  busy: number;
  /** What the function reports of its work, if it does. */
  reported: Report | null;
  /** The text of the last item that failed. */
  failure: string;
  /** What proves that this device was sent away, to be kept; empty where it was not. */
  kept: string;
  /** What it is connected by: `websocket`, `relayed` by a public server, or `webrtc`. */
  link: string;
  /** Why there is no WebRTC where it was tried, or the link asks for it; else empty. */
  linkProblem: string;
  /** How many other devices are connected to the run through it, directly. */
  children: number;
  /** What it proves to be this device with when it joins again; empty where it has not joined. */
  identity: string;
  /** The run that it computes for, or has computed for; empty before the first. */
  run: string;
  /** Results of this device in that run. */
  runResults: number;
  /** Results of all devices in that run, once it has ended; 0 where that is not known. */
  runTotal: number | null;
}

/** How long nothing may be lent before the device counts as idle. */
const IDLE_MILLISECONDS = 500;

/** The state of a device, over all its sessions. */
export class StateKeeper {
  phase: DevicePhase = "connecting";
  note = "";
  retry = 0;
  failure = "";
  kept = "";
  identity = "";
  offline = false;
  link = "";
  linkProblem = "";
  private before = { results: 0, failures: 0, busy: 0 };
  private readonly reported = new ReportSum();
  private run = { id: "", results: 0, total: null as number | null };

  /** It computes for this run from now on. */
  beginRun(id: string): void {
    if (id !== this.run.id) this.run = { id, results: 0, total: null };
  }

  /** The run has ended, with this many results. */
  endRun(total: number): void {
    this.run.total = total;
  }

  /** A session is over: keep its figures. */
  add(session: Session): void {
    this.before.results += session.results;
    this.before.failures += session.failures;
    this.before.busy += session.busySeconds;
    this.run.results += session.results;
    if (session.reported !== null) this.reported.add(session.reported);
  }

  read(session: Session | null): DeviceState {
    const { phase, note, retry, failure, kept, identity, offline, link, linkProblem, before, run } =
      this;
    return {
      phase,
      note,
      retry,
      failure,
      kept,
      identity,
      offline,
      link,
      linkProblem,
      children: session?.children?.count ?? 0,
      idle:
        phase === "computing" && session !== null && session.idleMilliseconds > IDLE_MILLISECONDS,
      function: session?.name ?? "",
      workers: session?.workers ?? 0,
      results: before.results + (session?.results ?? 0),
      failures: before.failures + (session?.failures ?? 0),
      busy: before.busy + (session?.busySeconds ?? 0),
      reported: this.reportedWith(session),
      run: run.id,
      runResults: run.results + (session?.results ?? 0),
      runTotal: run.total,
    };
  }

  private reportedWith(session: Session | null): Report | null {
    const sum = new ReportSum();
    for (const report of [this.reported.read(), session?.reported ?? null]) {
      if (report !== null) sum.add(report);
    }
    return sum.read();
  }
}
