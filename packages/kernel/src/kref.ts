/**
 * A reference count that knows its holders, so that a leak names who leaked (include/linux/kref.h).
 *
 * Holders are short words (`'zdd'`, `'range'`, `'vm'`); several references of one kind are counted together.
 */
export class Kref {
  readonly label: string;
  readonly #holders = new Map<string, number>();
  readonly #release: () => void;
  #count = 0;

  /**
   * @param label - name in messages.
   * @param holder - who owns the first reference.
   * @param release - runs once, when the last reference is put.
   */
  constructor(label: string, holder: string, release: () => void) {
    this.label = label;
    this.#release = release;
    this.#count = 1;
    this.#holders.set(holder, 1);
  }

  /** References held. */
  get count(): number {
    return this.#count;
  }

  /** Take a reference; it must not be the first (kref_get on zero is a use after free and throws). */
  get(holder: string): void {
    if (this.#count === 0) throw new Error(`${this.label}: reference for ${holder} taken after release`);
    this.#count++;
    this.#holders.set(holder, (this.#holders.get(holder) ?? 0) + 1);
  }

  /** Take a reference unless the count is zero. */
  getUnlessZero(holder: string): boolean {
    if (this.#count === 0) return false;
    this.get(holder);
    return true;
  }

  /**
   * Put a reference of this holder.
   *
   * @returns true when it was the last and the object was released.
   */
  put(holder: string): boolean {
    const held = this.#holders.get(holder) ?? 0;
    if (held === 0)
      throw new Error(`${this.label}: ${holder} puts a reference it does not hold (${this.describe()})`);
    if (held === 1) this.#holders.delete(holder);
    else this.#holders.set(holder, held - 1);
    this.#count--;
    if (this.#count > 0) return false;
    this.#release();
    return true;
  }

  /** Holders and their counts, for reports: `zdd 2, range 1`. */
  describe(): string {
    return [...this.#holders].map(([holder, n]) => `${holder} ${n}`).join(', ');
  }
}
