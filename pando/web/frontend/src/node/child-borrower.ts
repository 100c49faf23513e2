/** A child as a borrower of a tab's node, from its welcome to its end. */

import { ChannelClosedError, LeftError, MalformedError } from "../errors";
import type { Lend, Recall } from "../messages";
import { Borrower, type Loss, Source } from "../scheduler";
import { creditForChild } from "../tree/child";
import type { BorrowerChannel, BorrowerInfo } from "./children";
import { MAX_VALUES_BYTES } from "./split-results";
import type { TabNode } from "./tab-node";

/**
 * Lend to a child until its channel ends; what it holds then is lent to others.
 *
 * @param onWorkers - told when it has another number of workers, or none any more.
 */
export async function lendToChild(
  { node }: TabNode,
  channel: BorrowerChannel,
  { node: identifier, name, workers }: BorrowerInfo,
  onWorkers: () => void,
): Promise<void> {
  const source = new Source(String(identifier), String(identifier), false);
  const options = { maxBytes: MAX_VALUES_BYTES, source };
  const borrower = new Borrower(name, creditForChild(workers), options);
  node.add(borrower, (message) => {
    try {
      channel.send(message as Lend | Recall);
    } catch {
      channel.close(); // whoever receives notices
    }
  });
  let loss: Loss = {};
  try {
    onWorkers();
    for (;;) {
      const message = await channel.receive();
      node.handle(borrower, message);
      if (message.tag === "want") onWorkers();
    }
  } catch (error) {
    loss = readLoss(error, channel.fellSilent());
  } finally {
    channel.close();
    node.remove(borrower, loss);
    onWorkers();
  }
}

/** How a child was lost: nobody is to blame where it has left in order, or was sent away. */
function readLoss(error: unknown, fellSilent: boolean): Loss {
  if (error instanceof LeftError || error instanceof MalformedError) return {};
  if (!(error instanceof ChannelClosedError)) throw error;
  return { lost: error.message, mayReturn: fellSilent };
}
