const CHUNK = 4096;

/** Map from area number to record, -1 when there is none: a two-level table, chunks on demand. */
export class AreaRecords {
  readonly #chunks: (Int32Array | undefined)[];

  constructor(areas: number) {
    this.#chunks = Array.from({ length: Math.ceil(areas / CHUNK) });
  }

  get(area: number): number {
    const chunk = this.#chunks[area >>> 12];
    return chunk === undefined ? -1 : chunk[area & (CHUNK - 1)]!;
  }

  set(area: number, record: number): void {
    const chunk = (this.#chunks[area >>> 12] ??= new Int32Array(CHUNK).fill(-1));
    chunk[area & (CHUNK - 1)] = record;
  }

  delete(area: number): void {
    this.set(area, -1);
  }

  forEach(fn: (area: number, record: number) => void): void {
    this.#chunks.forEach((chunk, c) => {
      chunk?.forEach((record, i) => {
        if (record >= 0) fn(c * CHUNK + i, record);
      });
    });
  }
}
