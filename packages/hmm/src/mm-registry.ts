import type { LiveItem } from '@gpusvm/kernel';
import type { Mm } from './mm.ts';

const MAX_ID = 0xffff;

/** Address spaces by small id, so that a reverse-map entry needs two bytes to name one. Id 0 is nobody. */
export class MmRegistry {
  readonly #byId: (Mm | null)[] = [null];
  readonly #free: number[] = [];
  /** Live address spaces. */
  size = 0;

  /** @returns the id of the new address space. */
  add(mm: Mm): number {
    const id = this.#free.pop() ?? this.#byId.length;
    if (id > MAX_ID) throw new RangeError(`more than ${MAX_ID} address spaces`);
    this.#byId[id] = mm;
    this.size++;
    return id;
  }

  /** Forget an address space; its id may be used again. */
  remove(id: number): void {
    this.#byId[id] = null;
    this.#free.push(id);
    this.size--;
  }

  get(id: number): Mm | null {
    return this.#byId[id] ?? null;
  }

  /** Every live address space. */
  all(): Mm[] {
    return this.#byId.filter((mm) => mm !== null);
  }

  /** Ledger report: address spaces, interval notifiers and migration entries that still exist. */
  live(): LiveItem[] {
    const mms = this.all();
    const notifiers = mms.flatMap((mm) => mm.notifiers?.describe() ?? []);
    const entries = mms.map((mm) => ({ name: mm.name, count: mm.entryCounts().migration }));
    const stuck = entries.filter((e) => e.count > 0);
    return [
      {
        kind: 'mm',
        count: mms.length,
        detail: mms.map((mm) => `${mm.name} (users ${mm.users}, count ${mm.count})`).join(', '),
      },
      { kind: 'interval notifier', count: notifiers.length, detail: notifiers.slice(0, 8).join(', ') },
      {
        kind: 'migration entry',
        count: stuck.reduce((sum, e) => sum + e.count, 0),
        detail: stuck.map((e) => `${e.name}: ${e.count}`).join(', '),
      },
    ];
  }
}
