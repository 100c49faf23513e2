/** Zooming by the keyboard: from one range of seconds to the next. */

export interface Range {
  min: number;
  max: number;
}

/** A range is not narrower than this, in seconds. */
const NARROWEST = 2;
/** Part of what is shown by which an arrow moves it. */
const STEP = 0.25;

/** What is shown after a key, of all that there is; null for a key that does nothing here. */
export function zoomByKey(key: string, shown: Range, whole: Range): Range | null {
  const width = shown.max - shown.min;
  const middle = (shown.min + shown.max) / 2;
  switch (key) {
    case "+":
    case "=":
      return around(middle, Math.max(NARROWEST, width / 2), whole);
    case "-":
      return around(middle, width * 2, whole);
    case "ArrowLeft":
      return around(middle - STEP * width, width, whole);
    case "ArrowRight":
      return around(middle + STEP * width, width, whole);
    case "Escape":
    case "0":
      return whole;
    default:
      return null;
  }
}

/** A range of this width, moved so that it lies within the whole. */
function around(middle: number, width: number, whole: Range): Range {
  const within = Math.min(width, whole.max - whole.min);
  const min = Math.min(Math.max(middle - within / 2, whole.min), whole.max - within);
  return { min, max: min + within };
}
