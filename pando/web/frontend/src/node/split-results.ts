/** Results that are too many for one message, or too large for any. */

import type { Part } from "../compute/protocol";
import { MAX_MESSAGE_BYTES } from "../messages";
import { joinArray, NIL, split } from "../msgpack-slices";
import { MAX_TEXT } from "../text";
import { MAX_VALUE_BYTES } from "../tree/large-messages";

export const MAX_VALUES_BYTES = MAX_MESSAGE_BYTES - MAX_TEXT;

/**
 * A part, as one or more that each fit into a message, or have one result.
 *
 * @param limit - bytes of several results in one message.
 * @param most - bytes of one result; a larger one fails.
 */
export function splitResults(part: Part, limit = MAX_VALUES_BYTES, most = MAX_VALUE_BYTES): Part[] {
  if (part.values.length <= limit) return [part];
  if (part.count > 1) {
    const half = part.count >> 1;
    return [slice(part, 0, half), slice(part, half, part.count)].flatMap((each) =>
      splitResults(each, limit, most),
    );
  }
  if (part.values.length <= most) return [part];
  const [size, bound] = [part.values.length, most].map((bytes) => bytes.toLocaleString("en"));
  const reason = `the result has ${size} bytes, and at most ${bound} can be sent`;
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
