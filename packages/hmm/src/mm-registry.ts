import type { LiveItem } from '@gpusvm/kernel';
import type { Mm } from './mm.ts';

const MAX_ID = 0xffff;

/** Address spaces that come from one another by fork; a page keeps its virtual address in all of them. */
interface Family {
  /** Live members, the oldest first. */
  readonly members: Mm[];
  /** Ids of all members, the dead included: reverse-map records still name them. */
  ids: number[];
}

const NOBODY: readonly Mm[] = [];

/**
 * Address spaces by small id, so that a reverse-map entry needs two bytes to name one. Id 0 is nobody.
 *
 * As an anon_vma does, a record names a whole family, so that fork need not touch the reverse mapping of any page.
 */
export class MmRegistry {
  readonly #byId: (Mm | null)[] = [null];
  readonly #families: (Family | null)[] = [null];
  readonly #free: number[] = [];
  /** Live address spaces. */
  size = 0;
  /** Families with more than one live member; a plain field, because hot loops ask for it. */
  sharedFamilies = 0;

  /**
   * @param mm - the new address space.
   * @param parent - whom it was forked from.
   * @param used - which ids reverse-map records name; asked only when ids run out.
   * @returns its id.
   */
  add(mm: Mm, parent: Mm | null, used: () => Uint8Array): number {
    if (this.#free.length === 0 && this.#byId.length > MAX_ID) this.#reclaimIds(used());
    const id = this.#free.pop() ?? this.#byId.length;
    if (id > MAX_ID) throw new RangeError(`more than ${MAX_ID} address spaces`);
    this.#byId[id] = mm;
    const family = parent === null ? { members: [], ids: [] } : this.#families[parent.id]!;
    family.members.push(mm);
    family.ids.push(id);
    if (family.members.length === 2) this.sharedFamilies++;
    this.#families[id] = family;
    this.size++;
    return id;
  }

  /** Forget an address space; its id may be used again once its family is gone. */
  remove(id: number): void {
    const family = this.#families[id]!;
    family.members.splice(family.members.indexOf(this.#byId[id]!), 1);
    if (family.members.length === 1) this.sharedFamilies--;
    this.#byId[id] = null;
    this.size--;
    if (family.members.length > 0) return;
    for (const dead of family.ids) this.#release(dead);
  }

  get(id: number): Mm | null {
    return this.#byId[id] ?? null;
  }

  /** Live address spaces of the family that an id belongs to, the oldest first. */
  family(id: number): readonly Mm[] {
    return this.#families[id]?.members ?? NOBODY;
  }

  /** Whether two ids name the same family. */
  related(a: number, b: number): boolean {
    return a === b || (this.#families[a] ?? null) === this.#families[b];
  }

  /** Every live address space. */
  all(): Mm[] {
    return this.#byId.filter((mm) => mm !== null);
  }

  /** Ids of dead members of living families that no record names. */
  #reclaimIds(used: Uint8Array): void {
    const smaller = new Set<Family>();
    for (let id = 1; id < this.#byId.length; id++) {
      const family = this.#families[id] ?? null;
      if (family === null || this.#byId[id] !== null || used[id] !== 0) continue;
      smaller.add(family);
      this.#release(id);
    }
    for (const family of smaller) family.ids = family.ids.filter((id) => this.#families[id] === family);
  }

  #release(id: number): void {
    this.#families[id] = null;
    this.#free.push(id);
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
