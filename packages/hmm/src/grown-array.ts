/** A longer copy of an array of 32-bit counts; what is new is 0. */
export function grown32(from: Int32Array, length: number): Int32Array {
  const to = new Int32Array(length);
  to.set(from);
  return to;
}

/** As {@link grown32} for bytes. */
export function grown8(from: Uint8Array, length: number): Uint8Array {
  const to = new Uint8Array(length);
  to.set(from);
  return to;
}

/** As {@link grown32} for 16-bit flags. */
export function grown16(from: Uint16Array, length: number): Uint16Array {
  const to = new Uint16Array(length);
  to.set(from);
  return to;
}
