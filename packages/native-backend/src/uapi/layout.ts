/** Kernel types of a structure's fields, and their bytes. Natural alignment, little endian. */
export type FieldType = 'u8' | 'u16' | 'u32' | 's32' | 'u64';

/** One field: name in the kernel header, type. */
export type Field = readonly [name: string, type: FieldType];

/** A structure as the list of its fields in order, padding included where the header has it. */
export type Layout = readonly Field[];

/** Values of a structure; a u64 is a bigint, everything else a number. */
export type Values<L extends Layout> = {
  [F in L[number] as F[0]]: ValueOf<F[1]>;
};

type ValueOf<T extends FieldType> = T extends 'u64' ? bigint : number;
type InputOf<T extends FieldType> = T extends 'u64' ? bigint | number : number;

/** Values to encode: what is missing is 0, and a u64 may be a safe integer. */
export type Input<L extends Layout> = {
  readonly [F in L[number] as F[0]]?: InputOf<F[1]>;
};

const SIZES: Readonly<Record<FieldType, number>> = { u8: 1, u16: 2, u32: 4, s32: 4, u64: 8 };

/** Byte offset of a field. @throws RangeError when the layout has no such field. */
export function offsetOf(layout: Layout, name: string): number {
  let at = 0;
  for (const [field, type] of layout) {
    const size = SIZES[type];
    at = Math.ceil(at / size) * size;
    if (field === name) return at;
    at += size;
  }
  throw new RangeError(`the structure has no field '${name}'`);
}

/** Bytes of a field. @throws RangeError when the layout has no such field. */
export function sizeOfField(layout: Layout, name: string): number {
  const field = layout.find(([n]) => n === name);
  if (field === undefined) throw new RangeError(`the structure has no field '${name}'`);
  return SIZES[field[1]];
}

/** Offset of the first byte behind a field (offsetofend). */
export function offsetOfEnd(layout: Layout, name: string): number {
  return offsetOf(layout, name) + sizeOfField(layout, name);
}

/** sizeof: the last field's end, rounded up to the largest alignment. */
export function sizeOf(layout: Layout): number {
  let end = 0;
  let align = 1;
  for (const [, type] of layout) {
    const size = SIZES[type];
    end = Math.ceil(end / size) * size + size;
    if (size > align) align = size;
  }
  return Math.ceil(end / align) * align;
}

/**
 * Write the values of a structure.
 *
 * @param out - where to; at least `at + sizeOf(layout)` bytes. Fields without a value are set to 0.
 * @throws RangeError when a value does not fit its field.
 */
export function encode<L extends Layout>(layout: L, values: Input<L>, out: Uint8Array, at = 0): void {
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  const input = values as Readonly<Record<string, number | bigint | undefined>>;
  for (const [name, type] of layout) {
    const value = BigInt(input[name] ?? 0);
    const bits = SIZES[type] * 8;
    const fits = type === 's32' ? BigInt.asIntN(32, value) === value : BigInt.asUintN(bits, value) === value;
    if (!fits) throw new RangeError(`${name} = ${value} does not fit ${type}`);
    const offset = at + offsetOf(layout, name);
    if (type === 'u64') view.setBigUint64(offset, value, true);
    else if (type === 's32') view.setInt32(offset, Number(value), true);
    else if (type === 'u32') view.setUint32(offset, Number(value), true);
    else if (type === 'u16') view.setUint16(offset, Number(value), true);
    else view.setUint8(offset, Number(value));
  }
}

/** A new buffer with the values of a structure. */
export function encoded<L extends Layout>(layout: L, values: Input<L>): Uint8Array {
  const out = new Uint8Array(sizeOf(layout));
  encode(layout, values, out);
  return out;
}

/** Read the values of a structure. Fields beyond the end of `bytes` read as 0, as an older kernel sees them. */
export function decode<L extends Layout>(layout: L, bytes: Uint8Array, at = 0): Values<L> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: Record<string, number | bigint> = {};
  for (const [name, type] of layout) {
    const offset = at + offsetOf(layout, name);
    const missing = offset + SIZES[type] > bytes.byteLength;
    if (type === 'u64') out[name] = missing ? 0n : view.getBigUint64(offset, true);
    else if (missing) out[name] = 0;
    else if (type === 's32') out[name] = view.getInt32(offset, true);
    else if (type === 'u32') out[name] = view.getUint32(offset, true);
    else if (type === 'u16') out[name] = view.getUint16(offset, true);
    else out[name] = view.getUint8(offset);
  }
  return out as Values<L>;
}
