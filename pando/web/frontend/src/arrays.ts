/**
 * NumPy's arrays as JavaScript has them: arrays of arrays. Elements become what is nearest: complex
 * numbers arrays of two, dates `Date`s, time spans milliseconds, and structures objects.
 */

type Reader = (view: DataView, offset: number) => unknown;
type Type = { size: number; read: Reader };

const MILLISECONDS: Record<string, number> = {
  W: 7 * 86400e3,
  D: 86400e3,
  h: 3600e3,
  m: 60e3,
  s: 1e3,
  ms: 1,
  us: 1e-3,
  ns: 1e-6,
  ps: 1e-9,
  fs: 1e-12,
  as: 1e-15,
};
/** How many elements an array without bytes may seem to have. */
const MAX_EMPTY = 65536;
const NOT_A_TIME = -(2n ** 63n);

/** An array from its dtype, shape, bytes, and whether they are in Fortran's order. */
export function arrayFrom(parts: unknown): unknown {
  const [description, shape, raw, isFortran] = parts as [unknown, number[], Uint8Array, boolean?];
  const count = shape.reduce((product, each) => product * Math.max(each, 1), 1);
  if (!(count <= Math.max(raw.byteLength, MAX_EMPTY))) throw new RangeError("too few bytes");
  const type = typeOf(description);
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const strides = stridesOf(shape, type.size, isFortran === true);
  return nested(type, view, shape, strides, 0, 0);
}

/** A scalar from its dtype and bytes. */
export function scalarFrom(parts: unknown): unknown {
  const [description, raw] = parts as [unknown, Uint8Array];
  return typeOf(description).read(new DataView(raw.buffer, raw.byteOffset, raw.byteLength), 0);
}

function stridesOf(shape: number[], size: number, isFortran: boolean): number[] {
  const strides: number[] = new Array<number>(shape.length);
  let stride = size;
  for (let i = 0; i < shape.length; i++) {
    const axis = isFortran ? i : shape.length - 1 - i;
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

function nested(
  type: Type,
  view: DataView,
  shape: number[],
  strides: number[],
  axis: number,
  offset: number,
): unknown {
  if (axis === shape.length) return type.read(view, offset);
  const members: unknown[] = [];
  for (let i = 0; i < shape[axis]!; i++) {
    members.push(nested(type, view, shape, strides, axis + 1, offset + i * strides[axis]!));
  }
  return members;
}

/** A dtype: a text, [kind, aligned, size, fields] of a structure, or [dtype, shape]. */
function typeOf(description: unknown): Type {
  if (typeof description === "string") return plainType(description);
  const parts = description as unknown[];
  if (parts.length === 2) {
    const inner = typeOf(parts[0]);
    const shape = parts[1] as number[];
    const strides = stridesOf(shape, inner.size, false);
    const size = shape.reduce((product, each) => product * each, inner.size);
    return { size, read: (view, offset) => nested(inner, view, shape, strides, 0, offset) };
  }
  const fields = (parts[3] as [string, unknown, number][]).map(
    ([name, inner, offset]) => [name, typeOf(inner), offset] as const,
  );
  const read: Reader = (view, offset) =>
    Object.fromEntries(
      fields.map(([name, type, start]) => [name, type.read(view, offset + start)]),
    );
  return { size: parts[2] as number, read };
}

function plainType(text: string): Type {
  const match = /^([<>|=])([biufcmMSU])(\d+)(?:\[(\d*)(\w+)\])?$/.exec(text);
  if (match === null) throw new TypeError(`a dtype that JavaScript has nothing for: ${text}`);
  const [, order, kind, digits, count, unit] = match;
  const size = Number(digits);
  const little = order !== ">";
  switch (kind) {
    case "U":
      return { size: 4 * size, read: (view, offset) => textAt(view, offset, size, little) };
    case "S":
      return { size, read: (view, offset) => bytesAt(view, offset, size) };
    case "c": {
      const part = numberReader("f", size / 2, little);
      return { size, read: (view, offset) => [part(view, offset), part(view, offset + size / 2)] };
    }
    case "m":
    case "M":
      return {
        size,
        read: (view, offset) =>
          timeOf(view.getBigInt64(offset, little), kind, Number(count || 1), unit),
      };
    default:
      return { size, read: numberReader(kind!, size, little) };
  }
}

function numberReader(kind: string, size: number, little: boolean): Reader {
  switch (`${kind}${size}`) {
    case "b1":
      return (view, offset) => view.getUint8(offset) !== 0;
    case "i1":
      return (view, offset) => view.getInt8(offset);
    case "i2":
      return (view, offset) => view.getInt16(offset, little);
    case "i4":
      return (view, offset) => view.getInt32(offset, little);
    case "i8":
      return (view, offset) => narrow(view.getBigInt64(offset, little));
    case "u1":
      return (view, offset) => view.getUint8(offset);
    case "u2":
      return (view, offset) => view.getUint16(offset, little);
    case "u4":
      return (view, offset) => view.getUint32(offset, little);
    case "u8":
      return (view, offset) => narrow(view.getBigUint64(offset, little));
    case "f2":
      return (view, offset) => halfFloat(view.getUint16(offset, little));
    case "f4":
      return (view, offset) => view.getFloat32(offset, little);
    case "f8":
      return (view, offset) => view.getFloat64(offset, little);
    default:
      throw new TypeError(`numbers of ${size} bytes, which JavaScript has none of`);
  }
}

/** A number where it is exact; a BigInt else. */
export function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function halfFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function timeOf(value: bigint, kind: string, count: number, unit: string | undefined): unknown {
  if (value === NOT_A_TIME) return null;
  const number = Number(value) * count;
  if (kind === "M" && unit === "Y") return new Date(Date.UTC(1970 + number, 0));
  if (kind === "M" && unit === "M") return new Date(Date.UTC(1970, number));
  const factor = MILLISECONDS[unit ?? ""];
  if (factor === undefined) return narrow(value);
  return kind === "M" ? new Date(number * factor) : number * factor;
}

function textAt(view: DataView, offset: number, size: number, little: boolean): string {
  const points: number[] = [];
  for (let i = 0; i < size; i++) points.push(view.getUint32(offset + 4 * i, little));
  while (points.at(-1) === 0) points.pop();
  return points.map((point) => String.fromCodePoint(point)).join("");
}

function bytesAt(view: DataView, offset: number, size: number): Uint8Array {
  let end = offset + size;
  while (end > offset && view.getUint8(end - 1) === 0) end--;
  return new Uint8Array(view.buffer, view.byteOffset + offset, end - offset).slice();
}
