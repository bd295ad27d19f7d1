/** Initial slots; a power of two. */
const INITIAL = 8;
const EMPTY = -1;

/**
 * Map from addresses or page numbers (whole numbers from 0, exact below 2^53) to positive record numbers, as two
 * typed arrays with linear probing: no object an entry, and nothing is left behind by a deletion.
 */
export class AddressMap {
  #keys: Float64Array = new Float64Array(INITIAL).fill(EMPTY);
  #values: Int32Array = new Int32Array(INITIAL);
  #mask = INITIAL - 1;
  #size = 0;

  /** Entries. */
  get size(): number {
    return this.#size;
  }

  /** Record number at a key; 0 when there is none. */
  get(key: number): number {
    for (let i = slotOf(key) & this.#mask; ; i = (i + 1) & this.#mask) {
      const found = this.#keys[i]!;
      if (found === key) return this.#values[i]!;
      if (found === EMPTY) return 0;
    }
  }

  /** Set or replace. */
  set(key: number, value: number): void {
    this.replace(key, value);
  }

  /** As {@link set}; returns what was there, 0 when nothing was. */
  replace(key: number, value: number): number {
    if (this.#size * 2 > this.#mask) this.#grow();
    let i = slotOf(key) & this.#mask;
    while (this.#keys[i] !== EMPTY) {
      if (this.#keys[i] === key) {
        const old = this.#values[i]!;
        this.#values[i] = value;
        return old;
      }
      i = (i + 1) & this.#mask;
    }
    this.#keys[i] = key;
    this.#values[i] = value;
    this.#size++;
    return 0;
  }

  /** Remove a key; nothing happens when it is absent. */
  delete(key: number): void {
    let hole = slotOf(key) & this.#mask;
    while (this.#keys[hole] !== key) {
      if (this.#keys[hole] === EMPTY) return;
      hole = (hole + 1) & this.#mask;
    }
    this.#size--;
    // Entries that were pushed past the hole move back, so that no tombstone is needed.
    for (let i = (hole + 1) & this.#mask; this.#keys[i] !== EMPTY; i = (i + 1) & this.#mask) {
      const home = slotOf(this.#keys[i]!) & this.#mask;
      if (((i - home) & this.#mask) < ((i - hole) & this.#mask)) continue;
      this.#keys[hole] = this.#keys[i]!;
      this.#values[hole] = this.#values[i]!;
      hole = i;
    }
    this.#keys[hole] = EMPTY;
  }

  /** Visit every entry, in no particular order. */
  forEach(fn: (key: number, value: number) => void): void {
    for (let i = 0; i <= this.#mask; i++) if (this.#keys[i] !== EMPTY) fn(this.#keys[i]!, this.#values[i]!);
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    const slots = keys.length * 2;
    this.#keys = new Float64Array(slots).fill(EMPTY);
    this.#values = new Int32Array(slots);
    this.#mask = slots - 1;
    for (let old = 0; old < keys.length; old++) {
      if (keys[old] === EMPTY) continue;
      let i = slotOf(keys[old]!) & this.#mask;
      while (this.#keys[i] !== EMPTY) i = (i + 1) & this.#mask;
      this.#keys[i] = keys[old]!;
      this.#values[i] = values[old]!;
    }
  }
}

/** Multiplicative hash of the low and high halves; addresses differ in their page bits only. */
function slotOf(key: number): number {
  const h = Math.imul((key & 4095) ^ Math.imul((key / 4096) | 0, 0x9e3779b1), 0x85ebca6b);
  return h ^ (h >>> 15);
}
