/** Channels over the browser's WebSocket. */

import { type Channel, ChannelClosedError, Inbox } from "./channel";

/** How long connecting may take, in milliseconds. */
export const CONNECT_MILLISECONDS = 10_000;

/** Codes from here on are a public server's, which says why it closes a link. */
const SERVER_CODES = 4000;

/**
 * Connect to a node.
 *
 * @param url - such as `ws://192.168.1.7:5000/node`.
 * @throws ChannelClosedError nobody answers there.
 */
export function connect(url: string): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const inbox = new Inbox();
    let socket: WebSocket;
    try {
      socket = new WebSocket(url);
    } catch {
      // Such as a page over https that is sent to a node without encryption.
      reject(new ChannelClosedError(`this browser does not connect to ${url}`));
      return;
    }
    socket.binaryType = "arraybuffer";
    const deadline = setTimeout(() => socket.close(), CONNECT_MILLISECONDS);
    socket.onopen = () => {
      clearTimeout(deadline);
      resolve({
        send(bytes) {
          if (inbox.end !== null) throw inbox.end;
          socket.send(bytes);
        },
        receive: () => inbox.take(),
        backlog: () => (inbox.end === null ? socket.bufferedAmount : 0),
        close(reason = "this end is closed") {
          inbox.close(reason);
          socket.close();
        },
      });
    };
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (data instanceof ArrayBuffer) inbox.put(new Uint8Array(data));
      else socket.close();
    };
    socket.onclose = ({ code, reason }: CloseEvent) => {
      clearTimeout(deadline);
      inbox.close(code >= SERVER_CODES && reason ? reason : "the link is lost");
      reject(new ChannelClosedError(`the node at ${new URL(url).host} cannot be reached`));
    };
  });
}
