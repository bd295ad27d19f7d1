const CHUNK_LOG2 = 12;
const CHUNK = 4096;

/** Map from area number to an integer that is not 0: a two-level table, chunks on demand. */
export class AreaTable {
  readonly #chunks: (Float64Array | undefined)[];

  constructor(areas: number) {
    this.#chunks = Array.from({ length: Math.ceil(areas / CHUNK) });
  }

  /** The value of an area; 0 = none. */
  get(area: number): number {
    const chunk = this.#chunks[area >>> CHUNK_LOG2];
    return chunk === undefined ? 0 : chunk[area & (CHUNK - 1)]!;
  }

  /** Set the value of an area; 0 = none. */
  set(area: number, value: number): void {
    const chunk = (this.#chunks[area >>> CHUNK_LOG2] ??= new Float64Array(CHUNK));
    chunk[area & (CHUNK - 1)] = value;
  }

  /** Visit every area that has a value, in order. */
  forEach(fn: (area: number, value: number) => void): void {
    this.#chunks.forEach((chunk, c) => {
      chunk?.forEach((value, i) => {
        if (value !== 0) fn(c * CHUNK + i, value);
      });
    });
  }
}
