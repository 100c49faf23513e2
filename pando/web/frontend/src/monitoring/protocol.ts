/** What the live stream says, as `pando/reporting/live.py` and `shown.py` have it. */

export interface Statistics {
  average: string;
  "standard-deviation": string;
  maximum: string;
  minimum: string;
}

export interface Volunteer {
  id: string;
  deviceName: string;
  units: string;
  throughput: number;
  throughputStats: Statistics;
  cpuUsage: number;
  cpuUsageStats: Statistics;
  dataTransferLoad: number;
  dataTransferStats: Statistics;
  parent: string;
  kind: string;
  version: string;
  link: string;
  /** Milliseconds to the parent and back; null where it is not known. */
  roundTripTime: number | null;
  workers: number;
  children: number;
  held: number;
  state: string;
  /** Seconds since the run began. */
  heardAt: number;
  since: number;
  totalItems: number;
  totalCpuTime: number;
  failed: number;
  reassigned: number;
  /** Older roots tell of none. */
  globalReport?: GlobalReport | null;
}

/** What a device has told over its report link, straight to the root. */
export interface GlobalReport {
  throughput: number;
  totalItems: number;
  state: string;
  heardAt: number;
  /** Whether it is heard there and not through the tree. */
  stalls: boolean;
}

/** All report links together. */
export interface GlobalReports {
  devices: number;
  workers: number;
  throughput: number;
  totalItems: number;
  stalled: number;
  /** Devices of which the tree has told nothing. */
  missing: { id: string; deviceName: string }[];
}

export interface Root {
  function: string;
  state: "running" | "over";
  elapsed: number;
  reportingInterval: number;
  done: number;
  failed: number;
  total: number | null;
  throughput: number;
  timeLeft: number | null;
  reassigned: number;
  struckOut: number;
  workers: number;
  cpuTimeGiven: number;
  latency: { median: number | null; p90: number | null; p99: number | null };
  own: Volunteer | null;
  departed: { devices: number; nbItems: number };
  sentAway: SentAway[];
  summed: { devices: number; workers: number; nbItems: number };
  /** Devices that are relayed to the root, and those of them beyond its degree. */
  relayed?: number;
  relayedBeyondDegree?: number;
  globalReports?: GlobalReports | null;
}

/** A device that may not take part any more, since a second of the run. */
export interface SentAway {
  id: string;
  deviceName: string;
  at: number;
}

export interface History {
  layout: number;
  /** Seconds of a point. */
  width: number;
  /** Items in each point, by device. */
  series: Record<string, number[]>;
  others: number[];
}

export interface RunEvent {
  at: number;
  kind: string;
  id: string;
  name: string;
  text: string;
}

export interface ItemFailure {
  at: number;
  index: number;
  item: string;
  device: string;
  type: string;
  reason: string;
  traceback: string;
}

export interface State {
  type: "state";
  root: Root;
  volunteers: Record<string, Volunteer>;
  recent: Record<string, number[]>;
  history: History;
  events: RunEvent[];
  errors: ItemFailure[];
}

export interface Changes {
  type: "changes";
  root: Root;
  volunteers: Record<string, Volunteer>;
  removed: string[];
  history: History | null;
  points: Record<string, number[]>;
  events: RunEvent[];
  errors: ItemFailure[];
}

/** How other devices join: the link, and its code for phones as an image. */
export interface Invitation {
  type: "invitation";
  link: string;
  code: string;
}

/** What this viewer may do. */
export interface Rights {
  type: "rights";
  maySendAway: boolean;
}

export type Said = State | Changes | Invitation | Rights;

/** What a viewer with the right to it asks for, by a device's identifier. */
export interface Command {
  type: "send away" | "let back";
  id: string;
}
