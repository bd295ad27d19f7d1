import { HPAGE_PMD_NR, type Pfn, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import { exclusiveIsUnmapped } from './exclusive-entry.ts';
import type { FolioTable } from './folio-table.ts';
import { ownsPage, splitPmdLeaf } from './map-entry.ts';
import { makeMigrationEntry, makeMigrationPmd, mayShare } from './migration-entry.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-notifier-invalidate.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';
import type { PmdNode } from './page-table.ts';
import { PTE_EXCLUSIVE, PTE_KIND, PTE_WRITE } from './pte.ts';

const UNMAP_MM: SchedPoint = schedPoint('rmap_walk: next mm');

/** Decides about one entry of a folio that is being unmapped; may change the entry. Must not sleep. */
export type UnmapEntry = (mm: Mm, node: PmdNode, slot: number) => void;

/**
 * Visit every page-table entry that maps a folio, in every address space (rmap_walk). Each address space that really
 * maps it gets a CLEAR notification around the visit. The caller holds the folio lock and a reference; may sleep in
 * callbacks.
 *
 * @param folios - the table.
 * @param head - the folio.
 * @param splitPmd - turn PMD leaves into page tables on the way (TTU_SPLIT_HUGE_PMD).
 * @param visit - called for every single entry.
 * @param visitPmd - called for every leaf that is not split.
 */
export function* walkMappings(
  folios: FolioTable,
  head: Pfn,
  splitPmd: boolean,
  visit: UnmapEntry,
  visitPmd: (mm: Mm, node: PmdNode) => void,
): Task<void> {
  const pages = 2 ** folios.order(head);
  const { preemptive } = folios.machine.scheduler;
  for (const { mm, base } of folios.rmap.places(head)) {
    if (preemptive) yield UNMAP_MM;
    if (mm.notifiers === null) {
      visitAt(mm, base, head, pages, splitPmd, visit, visitPmd);
      continue;
    }
    const first = Math.max(base, 0);
    if (!mm.pageTable.refersTo(base, head, folios.order(head))) continue;
    const start = splitPmd ? Math.floor(first / HPAGE_PMD_NR) * HPAGE_PMD_NR : first;
    const range = mmuNotifierRange('CLEAR', pages >= HPAGE_PMD_NR ? start : first, base + pages);
    yield* mmuNotifierInvalidateRangeStart(mm, range);
    visitAt(mm, base, head, pages, splitPmd, visit, visitPmd);
    yield* mmuNotifierInvalidateRangeEnd(mm, range);
  }
}

function visitAt(
  mm: Mm,
  base: number,
  head: Pfn,
  pages: number,
  splitPmd: boolean,
  visit: UnmapEntry,
  visitPmd: (mm: Mm, node: PmdNode) => void,
): void {
  const end = base + pages;
  let page = Math.max(base, 0);
  while (page < end) {
    const node = mm.pageTable.nodeOf(page);
    const stop = Math.min(end, page - (page & 511) + 512);
    if (node !== null && node.huge !== 0 && node.hugePfn - head === node.startPage - base) {
      if (splitPmd) splitPmdLeaf(mm, node);
      else if (ownsPage(node.huge)) visitPmd(mm, node);
    }
    if (node !== null && node.huge === 0) {
      for (; page < stop; page++) {
        const slot = page - node.startPage;
        if (ownsPage(node.bits[slot]!) && node.pfn[slot]! - head === page - base) visit(mm, node, slot);
      }
    }
    page = stop;
  }
}

/**
 * Replace every mapping of a folio, in every address space, by migration entries (try_to_migrate). Each address space
 * gets a CLEAR notification. The caller holds the folio lock and a reference; may sleep in callbacks. What cannot be
 * unmapped because it is pinned stays mapped, so look at the map count afterwards.
 *
 * @param folios - the table.
 * @param head - the folio.
 * @param splitPmd - turn PMD leaves into page tables on the way (TTU_SPLIT_HUGE_PMD).
 */
export function tryToMigrate(folios: FolioTable, head: Pfn, splitPmd: boolean): Task<void> {
  // 6.12 does not count device-exclusive entries as mappings: an eviction of such a page never ends there.
  const unmapped = exclusiveIsUnmapped(folios);
  return walkMappings(
    folios,
    head,
    splitPmd,
    (_mm, node, slot) => {
      if (!mayShare(folios, head, node.bits[slot]!)) return;
      if ((node.bits[slot]! & PTE_KIND) === PTE_EXCLUSIVE) {
        if (unmapped) return;
        // What was exclusive to a device comes back read-only, as only device-private entries carry the permission.
        node.bits[slot]! &= ~PTE_WRITE;
      }
      makeMigrationEntry(folios, node, slot);
    },
    (_mm, node) => {
      if (mayShare(folios, head, node.huge)) makeMigrationPmd(folios, node);
    },
  );
}
