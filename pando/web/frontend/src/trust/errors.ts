/** What ends a handshake or a protected channel. */

/** The other end has not proved who it is, or what came is not what it sent. */
export class TrustError extends Error {
  override name = "TrustError";
}

/** The other end has refused the handshake. */
export class JoinRefusedError extends TrustError {
  override name = "JoinRefusedError";

  /** @param isProven - whether the root that the link names has signed the refusal. */
  constructor(
    reason: string,
    readonly isProven: boolean,
  ) {
    super(reason);
  }
}

/** A responder's side of a failed handshake, and what to send before the channel is closed. */
export class HandshakeFailedError extends TrustError {
  override name = "HandshakeFailedError";

  constructor(
    reason: string,
    readonly answer: Uint8Array<ArrayBuffer>,
  ) {
    super(reason);
  }
}
