/** What nodes tell their parents about devices, with its bounds. The twin of `pando/reports/records.py`. */

import { encode as pack } from "@msgpack/msgpack";

import { MalformedError } from "../errors";
import { Fields } from "../message-fields";
import { split } from "../msgpack-slices";

/** Counters stop here, where numbers are exact. */
export const MAX_COUNTER = Number.MAX_SAFE_INTEGER;
/** Counters that there are. */
export const SIZE = 16;
export const MAX_NAME = 64;
/** Characters of a kind, a version or a kind of link. */
const MAX_WORD = 32;
/** Characters of what a function calls the items that it reports. */
const MAX_UNITS = 32;
/** Devices that one link may report on. */
const MAX_DEVICES = 20_000;
const MAX_WORKERS = 1_000_000;
/** Microseconds; no round-trip time that is reported is longer. */
export const MAX_ROUND_TRIP = 60_000_000;
const ID_BYTES = 8;

export const STATES = { computing: 0, starved: 1, blocked: 2, loading: 3, paused: 4 } as const;

/** A device's counters, without the zeros at their end, or all of them. */
export type Counters = readonly number[];

/** What rarely changes about a device. */
export interface Device {
  node: Uint8Array;
  epoch: number;
  parent: Uint8Array;
  name: string;
  kind: string;
  version: string;
  link: string;
  workers: number;
  units: string;
}

export interface Introduction {
  key: number;
  device: Device;
  sequence: number;
  counters: Counters;
}

export interface Interval {
  key: number;
  sequence: number;
  counters: Counters;
  state: number;
  held: number;
  children: number;
  /** Of the link to the parent, in microseconds; 0 where it is not known. */
  roundTrip: number;
}

/** A device has left, or was lost; what it did since its last record, where it was part of the sums. */
export interface Gone {
  key: number;
  lost: boolean;
  sequence: number;
  counters: Counters;
}

/** Sums of all devices that are not reported on one by one. */
export interface Rest {
  devices: number;
  workers: number;
  counters: Counters;
}

/** From a child: what has changed at it and below. */
export interface Update {
  tag: "update";
  gone: Gone[];
  introductions: Introduction[];
  /** Keys of devices that are from now on only part of `rest`. */
  summed: number[];
  intervals: Interval[];
  rest: Rest | null;
}

/** A device's report as nodes keep it: its counters, and those at the report before. */
export interface DeviceReport {
  device: Device;
  sequence: number;
  counters: Counters;
  before: Counters;
  state: number;
  held: number;
  children: number;
  roundTrip: number;
}

/** The sum, counter by counter. */
export const plus = (left: Counters, right: Counters): Counters =>
  Array.from({ length: SIZE }, (_, place) => (left[place] ?? 0) + (right[place] ?? 0));

export const minus = (left: Counters, right: Counters): Counters =>
  Array.from({ length: SIZE }, (_, place) => (left[place] ?? 0) - (right[place] ?? 0));

export function withoutZerosAtTheEnd(counters: Counters): Counters {
  return counters.slice(0, counters.findLastIndex((value) => value !== 0) + 1);
}

/** Whether an update says nothing. */
export const isEmpty = ({ gone, introductions, summed, intervals, rest }: Update): boolean =>
  gone.length + introductions.length + summed.length + intervals.length === 0 && rest === null;

export function encodeUpdate({
  gone,
  introductions,
  summed,
  intervals,
  rest,
}: Update): Uint8Array<ArrayBuffer> {
  const introduced = introductions.map(({ key, device, sequence, counters }) => {
    const { node, epoch, parent, name, kind, version, link, workers, units } = device;
    const fields = [node, epoch, parent, name, kind, version, link, workers, units];
    return [key, fields, sequence, counters];
  });
  const reported = intervals.map(
    ({ key, sequence, counters, state, held, children, roundTrip }) => {
      return [key, sequence, counters, state, held, children, null, roundTrip];
    },
  );
  const left = gone.map(({ key, lost, sequence, counters }) => [key, lost, sequence, counters]);
  const sums = rest && [rest.devices, rest.workers, rest.counters];
  return pack(["update", left, introduced, summed, reported, sums]);
}

/** An update, whose tag has been read. @throws MalformedError it is none. */
export function decodeUpdate(read: Fields): Update {
  return {
    tag: "update",
    gone: read.left > 0 ? records(read, decodeGone) : [],
    introductions: read.left > 0 ? records(read, decodeIntroduction) : [],
    summed:
      read.left > 0 ? split(read.raw()).map((each) => new Fields([each]).below(MAX_DEVICES)) : [],
    intervals: read.left > 0 ? records(read, decodeInterval) : [],
    rest: read.left > 0 ? decodeRest(read.raw()) : null,
  };
}

function records<T>(read: Fields, decode: (fields: Fields) => T): T[] {
  const each = split(read.raw());
  if (each.length > MAX_DEVICES) throw new MalformedError("an update on very many devices");
  return each.map((encoded) => decode(new Fields(split(encoded))));
}

function decodeGone(read: Fields): Gone {
  return {
    key: read.below(MAX_DEVICES),
    lost: read.boolean(),
    sequence: read.left > 0 ? read.count() : 0,
    counters: read.left > 0 ? read.counts(SIZE) : [],
  };
}

function decodeIntroduction(read: Fields): Introduction {
  return {
    key: read.below(MAX_DEVICES),
    device: decodeDevice(new Fields(split(read.raw()))),
    sequence: read.count(),
    counters: read.counts(SIZE),
  };
}

function decodeDevice(read: Fields): Device {
  const [node, epoch] = [read.identifier(), read.count()];
  const parent = read.left > 0 ? read.bytes() : new Uint8Array();
  if (parent.length > ID_BYTES) throw new MalformedError("a parent that is no node");
  return {
    node,
    epoch,
    parent,
    name: read.left > 0 ? read.boundedText(MAX_NAME) : "",
    kind: read.left > 0 ? read.boundedText(MAX_WORD) : "native",
    version: read.left > 0 ? read.boundedText(MAX_WORD) : "",
    link: read.left > 0 ? read.boundedText(MAX_WORD) : "",
    workers: read.left > 0 ? read.below(MAX_WORKERS + 1) : 0,
    units: read.left > 0 ? read.boundedText(MAX_UNITS) : "",
  };
}

function decodeInterval(read: Fields): Interval {
  const [key, sequence] = [read.below(MAX_DEVICES), read.count()];
  const counters = read.counts(SIZE);
  const state = read.left > 0 ? read.below(STATES.paused + 1) : STATES.computing;
  const [held, children] = [read.left > 0 ? read.count() : 0, read.left > 0 ? read.count() : 0];
  if (read.left > 0) read.raw(); // statistics of the intervals before: the root has its own
  const roundTrip = read.left > 0 ? read.below(MAX_ROUND_TRIP + 1) : 0;
  return { key, sequence, counters, state, held, children, roundTrip };
}

function decodeRest(encoded: Uint8Array): Rest | null {
  if (encoded[0] === 0xc0) return null;
  const read = new Fields(split(encoded));
  return { devices: read.count(), workers: read.count(), counters: read.counts(SIZE) };
}
