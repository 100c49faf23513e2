/** The errors that have names, for all parts of the front end. */

/** Bytes that are not what they should be. */
export class MalformedError extends Error {
  override name = "MalformedError";
}

/** A channel has ended; the message says why. */
export class ChannelClosedError extends Error {
  override name = "ChannelClosedError";
}

/** A channel has ended as the other end has said that it would. */
export class LeftError extends ChannelClosedError {
  override name = "LeftError";
}

/** Too many ask at present; `pause` seconds later one may ask again. */
export class TooManyAskError extends Error {
  override name = "TooManyAskError";

  constructor(readonly pause: number) {
    super("too many ask at present");
  }
}

/** The root rejects this device. */
export class JoinRejectedError extends Error {
  override name = "JoinRejectedError";
}

/** The user's function or module does not have the form that it should have. */
export class FunctionError extends Error {
  override name = "FunctionError";
}

/** The function cannot be loaded, or not be run any longer, in this browser. */
export class LoadFailedError extends Error {
  override name = "LoadFailedError";

  constructor(
    readonly reason: string,
    readonly traceback: string,
  ) {
    super(reason);
  }
}
