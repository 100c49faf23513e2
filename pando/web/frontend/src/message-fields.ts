/** The fields of a message from elsewhere, each checked as it is taken. */

import { decode as unpack } from "@msgpack/msgpack";

import { MalformedError } from "./errors";
import type { TurnServer } from "./messages";

export const ID_BYTES = 8;
/** The shortest interval that a run may have chosen, and the longest one, or time limit. */
export const LEAST_SECONDS = 0.01;
export const MOST_SECONDS = 1e9;
/** Characters of a session description. */
const MAX_DESCRIPTION = 8192;
/** Characters of a name, a ticket or a requirement. */
const MAX_WORD = 1000;
/** Children of a node. */
const MAX_DEGREE = 10_000;
/** Items in a batch, where their number was chosen. */
export const MAX_BATCH_LIMIT = 1_000_000;
/** Seconds that a child may say something has taken. */
const MAX_CHILD_SECONDS = 1e15;

export class Fields {
  private next = 0;

  constructor(private readonly fields: readonly Uint8Array[]) {}

  /** How many are left; older nodes send fewer. */
  get left(): number {
    return this.fields.length - this.next;
  }

  raw(): Uint8Array {
    const field = this.fields[this.next++];
    if (field === undefined) throw new MalformedError("a field is missing");
    return field;
  }

  private value(): unknown {
    const field = this.raw();
    try {
      return unpack(field);
    } catch (error) {
      throw new MalformedError(`a field is malformed: ${String(error)}`);
    }
  }

  private check<T>(value: unknown, fits: (value: unknown) => value is T): T {
    if (!fits(value)) throw new MalformedError(`field ${this.next - 1} is of a wrong type`);
    return value;
  }

  text = (): string => this.check(this.value(), isString);
  bytes = (): Uint8Array => this.check(this.value(), isBytes);
  texts = (): string[] => this.check(this.value(), isStrings);
  turnServers = (): TurnServer[] =>
    this.check(this.value(), areTriples).map(([url, username, credential]) => ({
      url,
      username,
      credential,
    }));
  boolean = (): boolean => this.check(this.value(), isBoolean);
  count = (): number => this.check(this.value(), isCount);
  degree = (): number => this.check(this.value(), isDegree);
  /** How many items a batch may have at most, where that was chosen. */
  batchLimit = (): number | null => this.check(this.value(), isBatchLimit);
  description = (): string => this.check(this.value(), isTextOf(MAX_DESCRIPTION));
  word = (): string => this.check(this.value(), isTextOf(MAX_WORD));
  boundedText = (limit: number): string => this.check(this.value(), isTextOf(limit));
  choice = (): boolean | null => this.check(this.value(), isChoice);
  seconds = (): number => this.check(this.value(), isSeconds);
  /** A count below a limit. */
  below = (limit: number): number => this.check(this.value(), isBelow(limit));
  /** Counts, at most so many. */
  counts = (limit: number): number[] => this.check(this.value(), areCounts(limit));
  identifier = (): Uint8Array => this.check(this.value(), isIdentifier);
  interval = (): number => this.check(this.value(), isInterval);
  timeLimit = (): number | null => this.check(this.value(), isTimeLimit);
}

const isString = (value: unknown): value is string => typeof value === "string";
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;
const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";
const isNumber = (value: unknown): value is number => typeof value === "number";
const isInterval = (value: unknown): value is number =>
  isNumber(value) && value >= LEAST_SECONDS && value <= MOST_SECONDS;
const isTimeLimit = (value: unknown): value is number | null =>
  value === null || (isNumber(value) && value > 0 && value <= MOST_SECONDS);
export const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;
const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every(isString);
const areTriples = (value: unknown): value is [string, string, string][] =>
  Array.isArray(value) && value.every((each) => isStrings(each) && each.length === 3);
const isDegree = (value: unknown): value is number =>
  isCount(value) && value >= 1 && value <= MAX_DEGREE;
const isBatchLimit = (value: unknown): value is number | null =>
  value === null || (isCount(value) && value >= 1 && value <= MAX_BATCH_LIMIT);
const isChoice = (value: unknown): value is boolean | null => value === null || isBoolean(value);
const isSeconds = (value: unknown): value is number =>
  isNumber(value) && value >= 0 && value <= MAX_CHILD_SECONDS;
const isBelow =
  (limit: number) =>
  (value: unknown): value is number =>
    isCount(value) && value < limit;
const areCounts =
  (limit: number) =>
  (value: unknown): value is number[] =>
    Array.isArray(value) && value.length <= limit && value.every(isCount);
const isTextOf =
  (limit: number) =>
  (value: unknown): value is string =>
    isString(value) &&
    (value.length <= limit || (value.length <= 2 * limit && [...value].length <= limit));
const isIdentifier = (value: unknown): value is Uint8Array =>
  isBytes(value) && value.length === ID_BYTES;
