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

/** Offsets of a layout's fields in order; computed once, because commands to a device are encoded by the thousand. */
const offsets = new WeakMap<Layout, readonly number[]>();
const sizes = new WeakMap<Layout, number>();

function offsetsOf(layout: Layout): readonly number[] {
  const known = offsets.get(layout);
  if (known !== undefined) return known;
  let end = 0;
  const made = layout.map(([, type]) => {
    const size = SIZES[type];
    const at = Math.ceil(end / size) * size;
    end = at + size;
    return at;
  });
  offsets.set(layout, made);
  return made;
}

/** Byte offset of a field. @throws RangeError when the layout has no such field. */
export function offsetOf(layout: Layout, name: string): number {
  const at = offsetsOf(layout)[layout.findIndex(([field]) => field === name)];
  if (at === undefined) throw new RangeError(`the structure has no field '${name}'`);
  return at;
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
  const known = sizes.get(layout);
  if (known !== undefined) return known;
  const last = layout.at(-1);
  if (last === undefined) return 0;
  const align = Math.max(...layout.map(([, type]) => SIZES[type]));
  const size = Math.ceil((offsetsOf(layout).at(-1)! + SIZES[last[1]]) / align) * align;
  sizes.set(layout, size);
  return size;
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
  const places = offsetsOf(layout);
  for (let i = 0; i < layout.length; i++) {
    const [name, type] = layout[i]!;
    const value = input[name] ?? 0;
    const offset = at + places[i]!;
    if (typeof value === 'bigint' ? !fitsWide(value, type) : !fits(value, type))
      throw new RangeError(`${name} = ${value} does not fit ${type}`);
    if (type === 'u64') view.setBigUint64(offset, BigInt(value), true);
    else if (type === 's32') view.setInt32(offset, Number(value), true);
    else if (type === 'u32') view.setUint32(offset, Number(value), true);
    else if (type === 'u16') view.setUint16(offset, Number(value), true);
    else view.setUint8(offset, Number(value));
  }
}

function fits(value: number, type: FieldType): boolean {
  if (!Number.isSafeInteger(value)) return false;
  if (type === 's32') return value >= -(2 ** 31) && value < 2 ** 31;
  return value >= 0 && (type === 'u64' || value < 2 ** (SIZES[type] * 8));
}

function fitsWide(value: bigint, type: FieldType): boolean {
  return type === 's32'
    ? BigInt.asIntN(32, value) === value
    : BigInt.asUintN(SIZES[type] * 8, value) === value;
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
  const places = offsetsOf(layout);
  for (let i = 0; i < layout.length; i++) {
    const [name, type] = layout[i]!;
    const offset = at + places[i]!;
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
