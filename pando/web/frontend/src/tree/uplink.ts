/**
 * The uplink: a parent's items as a node's own input, and its results on their way up. No I/O.
 *
 * Items are passed on as they came, undecoded. A result finds its way back by its index: the node's
 * lender counts items as they come, and each lease of the parent is a stretch of those indices.
 */

import { MalformedError } from "../errors";
import {
  type Failure,
  type ItemCrashed,
  type Lend,
  MAX_MESSAGE_BYTES,
  type Recall,
  type Results,
  type ReturnItems,
} from "../messages";
import { NIL } from "../msgpack-slices";
import { AttemptsExhausted, type Items, type ResultBatch, type Span } from "../scheduler";
import { MAX_VALUE_BYTES } from "./large-messages";
import { encodeItems, unpackSome } from "./packed";
import type { Nothing, Source } from "./source";

/** Bytes of encoded values in one message to another machine, and of the largest of them. */
const LIMITS = { values: MAX_MESSAGE_BYTES - 64 * 1024, value: MAX_VALUE_BYTES };

/** What answers a parent for items that it has lent. */
export type Answer = Results | ReturnItems | ItemCrashed;

/** A parent's lease. */
interface ParentLease {
  /** What the parent calls it. */
  readonly number: number;
  /** Items that have not been read into the stream. */
  unread: Items;
  /** How many items are not answered for. */
  left: number;
  /** The first item's index in the stream, once it has been read. */
  start: number;
  /** How many have been read; they are consecutive in the stream. */
  read: number;
  /** Whether the parent has lent the items to another borrower, too. */
  readonly isCopy: boolean;
}

/** Consecutive results of a batch that belong to one lease; `shift` leads from one to the other. */
interface Part {
  readonly batch: ResultBatch;
  readonly lease: number;
  readonly shift: number;
  readonly itemSeconds: number;
}

/** A parent's leases as a source, and the messages that answer them. */
export class Uplink implements Source {
  private readonly byNumber = new Map<number, ParentLease>();
  private unread: ParentLease[] = [];
  private inStream: ParentLease[] = [];
  private itemsRead = 0;

  /** @param device - what this node is called in failures. */
  constructor(
    public device: string,
    private readonly limits = LIMITS,
  ) {}

  /** How many items of the parent have not been answered for. */
  get held(): number {
    let held = 0;
    for (const { left } of this.byNumber.values()) held += left;
    return held;
  }

  /** The parent's leases that are not answered for, by number. */
  get leases(): number[] {
    return [...this.byNumber.keys()];
  }

  // ---- from the parent ----

  /**
   * The parent lends items.
   *
   * @throws MalformedError they are none.
   */
  add({ lease: number, items: encoded, isCopy }: Lend): void {
    const items = unpackSome(encoded);
    if (this.byNumber.has(number)) throw new MalformedError("a lease's number is used again");
    const lease = { number, unread: items, left: items.length, start: 0, read: 0, isCopy };
    this.byNumber.set(number, lease);
    this.unread.push(lease);
  }

  /**
   * The parent wants back what has not been started of a lease.
   *
   * @returns the answer, which gives back at once what has not been read; and the indices of what
   *   has, the first and the one after the last, to be cancelled in the node's lending.
   */
  recall({ lease: number }: Pick<Recall, "lease">): [ReturnItems | null, Span | null] {
    const lease = this.byNumber.get(number);
    if (lease === undefined) return [null, null];
    let answer: ReturnItems | null = null;
    const count = lease.unread.length;
    if (count > 0) {
      lease.unread = [];
      this.unread = this.unread.filter((each) => each !== lease);
      answer = { tag: "returned", lease: number, offset: lease.read, count };
      this.finished(lease, count);
    }
    return [answer, lease.read > 0 ? [lease.start, lease.start + lease.read] : null];
  }

  // ---- the node's source ----

  /** Items in the order in which they were lent. */
  read(limit: number): Items | Nothing {
    const lease = this.unread[0];
    if (lease === undefined) return "would block";
    if (lease.read === 0) {
      lease.start = this.itemsRead;
      this.inStream.push(lease);
    }
    const items = lease.unread.slice(0, limit);
    lease.unread = lease.unread.slice(items.length);
    lease.read += items.length;
    this.itemsRead += items.length;
    if (lease.unread.length === 0) this.unread.shift();
    return items;
  }

  /** Nobody knows how many more the parent will lend. */
  remaining(): null {
    return null;
  }

  /** Forget all leases: they are not this node's any more. */
  close(): void {
    this.byNumber.clear();
    this.unread = [];
    this.inStream = [];
  }

  /** Whether the parent has lent an item of the stream to another borrower, too. */
  isCopy(index: number): boolean {
    return this.leaseAt(index)?.isCopy ?? false;
  }

  // ---- to the parent ----

  /**
   * What to tell the parent of results.
   *
   * @param batch - results of consecutive items.
   * @param itemSeconds - the time that computing one of them took, on average.
   */
  answer(batch: ResultBatch, itemSeconds: number): Answer[] {
    const answers: Answer[] = [];
    const size = batch.values.length;
    let done = 0;
    while (done < size) {
      const lease = this.leaseAt(batch.start + done);
      if (lease === undefined) return answers;
      const offset = batch.start + done - lease.start;
      const count = Math.min(size - done, lease.read - offset);
      const part = { batch, lease: lease.number, shift: offset - done, itemSeconds };
      answers.push(...this.answerPart(part, done, done + count));
      this.finished(lease, count);
      done += count;
    }
    return answers;
  }

  /** What to tell the parent of items that leave this node undone, of one lease or several. */
  giveBack(start: number, count: number): ReturnItems[] {
    const answers: ReturnItems[] = [];
    const end = start + count;
    let from = start;
    for (let lease = this.leaseAt(from); lease !== undefined && from < end; ) {
      const some = Math.min(end, lease.start + lease.read) - from;
      this.finished(lease, some);
      const { number } = lease;
      answers.push({ tag: "returned", lease: number, offset: from - lease.start, count: some });
      from += some;
      lease = this.leaseAt(from);
    }
    return answers;
  }

  /** Results that belong to one lease; an item whose worker was lost parts them. */
  private answerPart(part: Part, from: number, end: number): Answer[] {
    const answers: Answer[] = [];
    const places = [...part.batch.failures.keys()].filter((place) => from <= place && place < end);
    let first = from;
    let failures = new Map<number, Failure>();
    for (const place of places.sort((a, b) => a - b)) {
      const failure = part.batch.failures.get(place);
      if (failure instanceof AttemptsExhausted) {
        answers.push(...this.results(part, first, place, failures));
        const { lease, shift } = part;
        answers.push({ tag: "struck", lease, offset: place + shift, reason: failure.reason });
        [first, failures] = [place + 1, new Map()];
      } else {
        const why = failure as Failure;
        failures.set(place - first, { ...why, device: why.device || this.device });
      }
    }
    answers.push(...this.results(part, first, end, failures));
    return answers;
  }

  private results(
    part: Part,
    first: number,
    last: number,
    failures: Map<number, Failure>,
  ): Results[] {
    if (first === last) return [];
    const { batch, lease, shift, itemSeconds } = part;
    const found = batch.values.slice(first, last);
    let values = encodeItems(found);
    if (values.length > this.limits.values && found.length > 1) {
      // Too much for one message: two of them.
      const half = found.length >> 1;
      const before = [...failures].filter(([place]) => place < half);
      const behind = [...failures].filter(([place]) => place >= half);
      const moved = behind.map(([place, why]) => [place - half, why] as const);
      return [
        ...this.results(part, first, first + half, new Map(before)),
        ...this.results(part, first + half, last, new Map(moved)),
      ];
    }
    if (values.length > this.limits.value) {
      const sizes = [(found.at(0) as Uint8Array).length, this.limits.value];
      const [size, bound] = sizes.map((bytes) => bytes.toLocaleString("en"));
      const reason = `the result has ${size} bytes, and at most ${bound} can be sent`;
      const why = { type: "UnsupportedValueError", reason, traceback: "", device: "" };
      failures = new Map([[0, why]]);
      values = encodeItems([NIL]);
    }
    const seconds = found.length * itemSeconds;
    return [{ tag: "results", lease, offset: first + shift, seconds, values, failures }];
  }

  /** The lease that an item of the stream belongs to. */
  private leaseAt(index: number): ParentLease | undefined {
    let [low, high] = [0, this.inStream.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.inStream[middle]!.start <= index) low = middle + 1;
      else high = middle;
    }
    const lease = this.inStream[low - 1];
    return lease !== undefined && index < lease.start + lease.read ? lease : undefined;
  }

  /** So many items of a lease are answered for; forget leases that are, oldest first. */
  private finished(lease: ParentLease, count: number): void {
    lease.left -= count;
    if (lease.left > 0) return;
    this.byNumber.delete(lease.number);
    while (this.inStream[0]?.left === 0) this.inStream.shift();
  }
}
