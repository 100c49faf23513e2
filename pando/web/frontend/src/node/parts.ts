/** Results that are too large for one message. */

import type { Part } from "../compute/protocol";
import { MAX_TEXT } from "../text";
import { joinArray, NIL, split } from "../raw";

/** The largest message that a node takes, in bytes, as `pando/messages.py` has it. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
export const MAX_VALUES_BYTES = MAX_MESSAGE_BYTES - MAX_TEXT;

/** A part, as one or more that each fit into a message. A result that alone is too large fails. */
export function divide(part: Part, limit = MAX_VALUES_BYTES): Part[] {
  if (part.values.length <= limit) return [part];
  if (part.count > 1) {
    const half = part.count >> 1;
    return [slice(part, 0, half), slice(part, half, part.count)].flatMap((each) => divide(each, limit));
  }
  const [size, most] = [part.values.length, limit].map((bytes) => bytes.toLocaleString("en"));
  const reason = `the result has ${size} bytes, of which ${most} may travel`;
  const why = { type: "UnsupportedValueError", reason, traceback: "", device: "" };
  return [{ ...part, values: joinArray(1, [NIL]), failures: new Map([[0, why]]) }];
}

function slice(part: Part, first: number, end: number): Part {
  const failures = [...part.failures].filter(([place]) => first <= place && place < end);
  return {
    count: end - first,
    values: joinArray(end - first, split(part.values).slice(first, end)),
    failures: new Map(failures.map(([place, why]) => [place - first, why])),
    seconds: (part.seconds * (end - first)) / part.count,
  };
}
