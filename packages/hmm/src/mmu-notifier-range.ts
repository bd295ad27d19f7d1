/** Why a range is invalidated (enum mmu_notifier_event). */
export type MmuNotifierEvent =
  | 'UNMAP'
  | 'CLEAR'
  | 'PROTECTION_VMA'
  | 'PROTECTION_PAGE'
  | 'SOFT_DIRTY'
  | 'RELEASE'
  | 'MIGRATE'
  | 'EXCLUSIVE';

/** What an invalidation is about (struct mmu_notifier_range). */
export interface MmuNotifierRange {
  readonly event: MmuNotifierEvent;
  readonly startPage: number;
  /** Exclusive. */
  readonly endPage: number;
  /** For MIGRATE and EXCLUSIVE: who does it, so that its own notifier may skip. */
  readonly owner: object | null;
  /** False: the callback must not sleep and may refuse. */
  readonly blockable: boolean;
}

/** A blockable range without owner. */
export function mmuNotifierRange(
  event: MmuNotifierEvent,
  startPage: number,
  endPage: number,
): MmuNotifierRange {
  return { event, startPage, endPage, owner: null, blockable: true };
}
