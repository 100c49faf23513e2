/** The frames of pandas and Polars as JavaScript has them: an array with an object for each row. */

type Row = Record<string, unknown>;
type Parts = unknown[];

/** A frame, series, index or scalar of pandas, from its description. */
export function fromPandas(parts: unknown): unknown {
  const [kind, ...rest] = parts as [string, ...Parts];
  switch (kind) {
    case "frame":
      return rowsOf(indexOf(rest[1] as Parts), columnsOf(rest[2] as Parts));
    case "series":
      return columnOf(rest[1] as Parts);
    case "timestamp":
      return new Date(milliseconds(rest[0], rest[1] as string));
    case "timedelta":
      return milliseconds(rest[0], rest[1] as string);
    case "missing":
      return null;
    default:
      return indexOf(parts as Parts);
  }
}

/** A frame or a series of Polars, from its description. */
export function fromPolars(parts: unknown): unknown {
  const [kind, content] = parts as [string, Parts];
  if (kind === "series") return seriesOf(content);
  const columns = content as Parts[];
  return rowsOf(
    columns.map(([name]) => name),
    columns.map(seriesOf),
  );
}

function rowsOf(names: unknown[], columns: unknown[][]): Row[] {
  const count = columns[0]?.length ?? 0;
  return Array.from({ length: count }, (_, row) =>
    Object.fromEntries(columns.map((column, place) => [String(names[place]), column[row]])),
  );
}

/** The columns of a frame, which are one array of two dimensions where all are of one type. */
function columnsOf(content: Parts): unknown[][] {
  if (
    content.every((each) => Array.isArray(each) && typeof each[0] === "string" && isColumn(each))
  ) {
    return content.map((each) => columnOf(each as Parts));
  }
  const rows = content as unknown[][];
  return Array.from({ length: rows[0]?.length ?? 0 }, (_, place) => rows.map((row) => row[place]));
}

const COLUMNS = ["numpy", "object", "category", "zoned", "string", "masked"];
const isColumn = (parts: Parts): boolean => COLUMNS.includes(parts[0] as string);

function columnOf([kind, ...rest]: Parts): unknown[] {
  const first = rest[0] as unknown[];
  if (kind === "category") {
    const categories = indexOf(rest[1] as Parts);
    return first.map((code) => categories[code as number] ?? null);
  }
  if (kind === "masked") {
    const mask = rest[2] as boolean[];
    return (rest[1] as unknown[]).map((value, row) => (mask[row] ? null : value));
  }
  return first;
}

function indexOf([kind, ...rest]: Parts): unknown[] {
  if (kind === "range") {
    const [start, stop, step] = rest as [number, number, number];
    return Array.from(
      { length: Math.max(0, Math.ceil((stop - start) / step)) },
      (_, i) => start + i * step,
    );
  }
  if (kind === "multi") {
    const levels = (rest[0] as Parts[]).map(indexOf);
    const codes = rest[1] as number[][];
    return (codes[0] ?? []).map((_, row) =>
      levels.map((level, i) => level[codes[i]![row]!] ?? null),
    );
  }
  return columnOf(rest[0] as Parts);
}

const UNITS: Record<string, number> = { s: 1e3, ms: 1, us: 1e-3, ns: 1e-6 };
const milliseconds = (count: unknown, unit: string): number => Number(count) * (UNITS[unit] ?? NaN);

function seriesOf([, type, content, mask]: Parts): unknown[] {
  const [name, unit] = type as [string, string?];
  return (content as unknown[]).map((value, row) => {
    if (value === null || (mask as boolean[] | null)?.[row]) return null;
    switch (name) {
      case "Date":
        return new Date(Number(value) * 86400e3);
      case "Datetime":
        return new Date(milliseconds(value, unit!));
      case "Duration":
        return milliseconds(value, unit!);
      case "Time":
        return milliseconds(value, "ns");
      default:
        return value;
    }
  });
}
