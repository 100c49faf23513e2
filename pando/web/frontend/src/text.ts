/** Texts that may travel. */

export const MAX_TEXT = 64 * 1024;

/** A text without lone surrogates, which UTF-8 has no bytes for. */
export function wellFormed(text: string): string {
  // Older browsers have to go the long way round.
  return text.toWellFormed?.() ?? new TextDecoder().decode(new TextEncoder().encode(text));
}

/** The same, shortened in its middle. */
export function cut(text: string): string {
  if (text.length > MAX_TEXT) {
    const half = MAX_TEXT / 2 - 8;
    text = `${text.slice(0, half)}\n […] \n${text.slice(-half)}`;
  }
  return wellFormed(text);
}
