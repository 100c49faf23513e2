import { type Channel, Inbox } from "../src/tree/channel";

/** Two ends of a channel inside a program. */
export function memoryChannelPair(): [Channel, Channel] {
  const [here, there] = [new Inbox(), new Inbox()];
  const end = (own: Inbox, other: Inbox): Channel => ({
    send(bytes) {
      if (own.end !== null) throw own.end;
      other.put(bytes.slice());
    },
    receive: () => own.take(),
    close(reason = "this end is closed") {
      own.close(reason);
      other.close("the other end is gone");
    },
  });
  return [end(here, there), end(there, here)];
}
