/** The slot has a page (MIGRATE_PFN_VALID). */
export const MIGRATE_PFN_VALID = 1;
/** The slot migrates; after `migrateVmaPages`: it was committed (MIGRATE_PFN_MIGRATE). */
export const MIGRATE_PFN_MIGRATE = 2;
/** The CPU entry was writable (MIGRATE_PFN_WRITE). */
export const MIGRATE_PFN_WRITE = 8;
/** The slot is a PMD-sized folio, or a PMD-sized hole when it has no page (MIGRATE_PFN_COMPOUND). */
export const MIGRATE_PFN_COMPOUND = 16;

/** Collect pages of RAM, zero pages too. */
export const MIGRATE_VMA_SELECT_SYSTEM = 1;
/** Collect device-private pages of the owner. */
export const MIGRATE_VMA_SELECT_DEVICE_PRIVATE = 2;
/** Collect device-coherent pages of the owner that are mapped by single entries. */
export const MIGRATE_VMA_SELECT_DEVICE_COHERENT = 4;
/** Keep PMD-sized folios and holes whole (6.19). */
export const MIGRATE_VMA_SELECT_COMPOUND = 8;

/** The pfns of 512 empty slots; never written. */
const EMPTY: Float64Array = new Float64Array(512).fill(-1);

/** A src or dst array of a migration: pfn and flags apart. */
export class MigratePfns {
  /** -1 when the slot has no page. */
  readonly pfn: Float64Array;
  readonly flags: Uint8Array;

  constructor(pages: number) {
    this.pfn = new Float64Array(pages).fill(-1);
    this.flags = new Uint8Array(pages);
  }

  /** Empty a run of slots. */
  clear(from: number, to: number): void {
    // Copying a block of empty slots takes a third of the time that filling it does.
    let slot = from;
    for (; slot + EMPTY.length <= to; slot += EMPTY.length) this.pfn.set(EMPTY, slot);
    this.pfn.fill(-1, slot, to);
    this.flags.fill(0, from, to);
  }

  /** Put a page into a slot (migrate_pfn, with more flags if wanted). */
  set(slot: number, pfn: number, flags: number = 0): void {
    this.pfn[slot] = pfn;
    this.flags[slot] = flags | MIGRATE_PFN_VALID;
  }
}
