/** Texts that may be sent. */

export const MAX_TEXT = 16 * 1024;
/** Characters that are shown of a sentence from elsewhere. */
export const MAX_LINE = 200;
/** What is no visible character: controls, marks of direction, line ends, and spaces but one. */
const UNPRINTABLE = /[\p{C}\p{Z}]+/gu;

/** A text from elsewhere as one short line of visible characters. */
export function oneLine(text: string): string {
  const line = text
    .slice(0, 2 * MAX_LINE)
    .replace(UNPRINTABLE, " ")
    .trim();
  return line.length <= MAX_LINE ? line : `${line.slice(0, MAX_LINE - 1)}…`;
}

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
