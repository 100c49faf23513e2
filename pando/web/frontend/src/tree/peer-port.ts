/**
 * What the node and the page say to each other of one WebRTC connection: only a page can have one. The data
 * channel itself goes to the node's thread where the browser can transfer it; elsewhere its frames do.
 */

/** A STUN server, or a TURN server with a user and a password. */
export interface IceServer {
  urls: string;
  username?: string;
  credential?: string;
}

export type ToPage =
  | { type: "answer"; sdp: string }
  | { type: "send"; frame: ArrayBuffer }
  | { type: "closeChannel" }
  | { type: "close" };

export type FromPage =
  | { type: "channel"; channel: RTCDataChannel }
  /** The data channel stays in the page. */
  | { type: "bridged" }
  /** This end's description: an offer, or the answer to the other end's. */
  | { type: "offer" | "answer"; sdp: string }
  /** Both ends have reached each other; the data channel follows. */
  | { type: "reached" }
  | { type: "open" }
  | { type: "frame"; frame: unknown }
  /** Of all that was to be sent, so many bytes have been. */
  | { type: "flushed"; bytes: number }
  | { type: "closed" }
  | { type: "failed"; reason: string };

export const NOT_CONNECTED = "the devices cannot reach each other by UDP";
