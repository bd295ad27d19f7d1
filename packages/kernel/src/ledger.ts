/** Something that is still alive when a machine should be empty. */
export interface LiveItem {
  /** What it is: `iova`, `io page table`, `folio`, `task`, ... */
  readonly kind: string;
  readonly count: number;
  /** Which ones exactly, in words; the first few when there are many. */
  readonly detail: string;
}

/** Collects, from every layer that owns resources, what is alive; empty after a clean teardown. */
export class Ledger {
  readonly #owners: (() => readonly LiveItem[])[] = [];

  /** Register a layer's report. It must list live resources only, in a deterministic order. */
  register(owner: () => readonly LiveItem[]): void {
    this.#owners.push(owner);
  }

  /** Everything alive now. */
  live(): LiveItem[] {
    return this.#owners.flatMap((owner) => owner()).filter((item) => item.count > 0);
  }
}
