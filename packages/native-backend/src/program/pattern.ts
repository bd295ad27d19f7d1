/** Fill bytes with a pattern that depends on the seed and the position. */
export function fillPattern(into: Uint8Array, seed: number): void {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  for (let i = 0; i < into.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    into[i] = state >>> 24;
  }
}

/** Short name of bytes: `-` when all are 0, otherwise 32 bits of FNV-1a in hexadecimal. */
export function digest(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  let any = 0;
  for (const byte of bytes) {
    any |= byte;
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return any === 0 ? '-' : (hash >>> 0).toString(16).padStart(8, '0');
}
