/** How a device below the root reaches the parent that it is sent to. */

import type { Outgoing } from "../messages";
import type { Channel } from "../tree/channel";
import { Link } from "../tree/link";
import { soon } from "./waiting";

/** How long a parent may take to answer. */
const WELCOME_MILLISECONDS = 5000;
/** Addresses of one parent that are tried. */
const MAX_TRIED = 8;

export interface FoundParent {
  link: Link;
  parent: Uint8Array;
}

/**
 * Connect to a parent below the root; why that is impossible, if it is.
 *
 * @param hello - what it is told first.
 */
export async function findParent(
  connect: (url: string) => Promise<Channel>,
  addresses: string[],
  hello: Outgoing,
): Promise<FoundParent | string> {
  let why = "it has no address";
  for (const address of addresses.slice(0, MAX_TRIED)) {
    let channel: Channel | null = null;
    try {
      channel = await connect(`ws://${address}/node`);
      const link = new Link(channel);
      link.send(hello);
      const answer = await soon(link.receive(), WELCOME_MILLISECONDS);
      if (answer?.tag === "welcome") return { link, parent: answer.parent };
      why = answer?.tag === "denied" ? answer.reason : "no welcome";
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    channel?.close();
  }
  return why;
}
