import { exclusiveIsUnmapped } from '../../src/exclusive-entry.ts';
import { FOLIO_HEAD } from '../../src/folio-flags.ts';
import { PTE_DEVICE, PTE_EXCLUSIVE, PTE_KIND, PTE_MIGRATION, PTE_PRESENT, PTE_SWAP } from '../../src/pte.ts';
import type { FolioTable } from '../../src/index.ts';

/**
 * Naive recount of what page tables own: for every live folio the map count is the number of entries, the reference
 * count is that plus pins and caches, and the reverse mapping finds every entry; every swap slot is counted as often
 * as entries name it. Returns what does not add up.
 */
export function audit(folios: FolioTable): string[] {
  const wrong: string[] = [];
  const maps = new Map<number, number>();
  const slots = new Map<number, number>();
  /** References of entries that have no map count. */
  const bare = new Map<number, number>();
  const own = (mmId: number, page: number, pfn: number, kind: number): void => {
    const head = folios.head(pfn);
    const counts = kind === PTE_EXCLUSIVE && exclusiveIsUnmapped(folios) ? bare : maps;
    counts.set(head, (counts.get(head) ?? 0) + 1);
    const base = page - (pfn - head);
    if (!folios.rmap.places(head).some((p) => p.mm.id === mmId && p.base === base)) {
      wrong.push(`pfn ${pfn} at page ${page} is not in the reverse map`);
    }
  };
  const spaces = new Set(folios.mms.all().flatMap((mm) => mm.vmas.all().map((vma) => vma.mapping)));
  for (const slot of [...spaces].flatMap((space) => [...(space?.slots.values() ?? [])])) slots.set(slot, 1);
  for (const mm of folios.mms.all()) {
    const { pageTable } = mm;
    for (
      let node = pageTable.next(0, 2 ** 40);
      node !== null;
      node = pageTable.next(node.index + 1, 2 ** 40)
    ) {
      const entries = node.huge === 0 ? node.bits : [node.huge];
      let used = 0;
      entries.forEach((bits: number, slot: number) => {
        const kind = bits & PTE_KIND;
        if (kind !== 0) used++;
        const pfn = node.huge === 0 ? node.pfn[slot]! : node.hugePfn;
        if (kind === PTE_PRESENT || kind === PTE_DEVICE || kind === PTE_EXCLUSIVE)
          own(mm.id, node.startPage + slot, pfn, kind);
        if (kind === PTE_SWAP) slots.set(pfn, (slots.get(pfn) ?? 0) + 1);
        if (kind === PTE_MIGRATION && !folios.isLocked(folios.head(pfn)))
          wrong.push(`stale migration entry of ${pfn}`);
      });
      if (node.huge === 0 && used !== node.used)
        wrong.push(`node at ${node.startPage} counts ${node.used}, has ${used}`);
      for (let slot = 0; slot < entries.length; slot++) {
        const vma = mm.vmaLookup(node.startPage + slot);
        if ((entries[slot]! & PTE_KIND) !== 0 && vma === null)
          wrong.push(`page ${node.startPage + slot} has no VMA`);
      }
    }
  }
  for (let pfn = 0; pfn < folios.totalPages; pfn++) {
    if ((folios.flags[pfn]! & FOLIO_HEAD) === 0) continue;
    const mapped = maps.get(pfn) ?? 0;
    if (folios.mapcount(pfn) !== mapped)
      wrong.push(`pfn ${pfn} has map count ${folios.mapcount(pfn)}, not ${mapped}`);
    const { other, isolation } = folios.references(pfn);
    const unknown = other - (bare.get(pfn) ?? 0);
    if (unknown !== 0 || isolation !== 0) {
      wrong.push(`pfn ${pfn} has ${unknown} references of nobody, ${isolation} of an isolation`);
    }
    if (folios.isLocked(pfn)) wrong.push(`pfn ${pfn} is locked`);
  }
  for (let slot = 0; slot < folios.swap.capacity; slot++) {
    const named = slots.get(slot) ?? 0;
    if (folios.swap.count(slot) !== named) {
      wrong.push(`swap slot ${slot} is counted ${folios.swap.count(slot)} times, named ${named} times`);
    }
  }
  return wrong;
}
