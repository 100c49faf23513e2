/** The function of a run: what it is written in, and its parts, which it comes in where it is large. */

import { decode as unpack } from "@msgpack/msgpack";

import type { Language } from "../compute/protocol";
import { LoadFailedError, MalformedError } from "../errors";
import { type Incoming, MAX_FUNCTION_BYTES, type RunInfo } from "../messages";
import { split } from "../msgpack-slices";

/**
 * The whole function.
 *
 * @param assigned - what the root has said first.
 * @param receive - gives what it says next.
 */
export async function joinFunction(
  assigned: RunInfo,
  receive: () => Promise<Incoming>,
): Promise<Uint8Array> {
  if (assigned.parts === 0) return assigned.function;
  const parts: Uint8Array[] = [];
  let size = 0;
  while (parts.length < assigned.parts) {
    const part = await receive();
    if (part.tag !== "function part") throw new MalformedError("the function is not sent whole");
    size += part.data.length;
    if (part.data.length === 0 || size > MAX_FUNCTION_BYTES) {
      throw new MalformedError("the function is too large, or a part of it is empty");
    }
    parts.push(part.data);
  }
  const whole = new Uint8Array(size);
  let start = 0;
  for (const part of parts) {
    whole.set(part, start);
    start += part.length;
  }
  return whole;
}

/**
 * What a function is written in.
 *
 * @throws LoadFailedError browsers do not run it.
 */
export function languageOf(packed: Uint8Array): Language {
  const tag = unpack(split(packed)[0] ?? new Uint8Array([0xc0]));
  if (tag === "python" || tag === "javascript") return tag;
  throw new LoadFailedError("browsers do not run functions of this kind", "");
}
