import { HPAGE_PMD_NR, type Pfn, type SchedPoint, type Task, schedPoint } from '@gpusvm/kernel';
import type { FolioTable } from './folio-table.ts';
import { ownsPage, splitPmdLeaf } from './map-entry.ts';
import { makeMigrationEntry, makeMigrationPmd, mayShare } from './migration-entry.ts';
import type { Mm } from './mm.ts';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from './mmu-interval-notifier.ts';
import { mmuNotifierRange } from './mmu-notifier-range.ts';

const UNMAP_MM: SchedPoint = schedPoint('try_to_migrate: next mm');

/**
 * Replace every mapping of a folio, in every address space, by migration entries (try_to_migrate). Each address space
 * gets a CLEAR notification. The caller holds the folio lock and a reference; may sleep in callbacks. What cannot be
 * unmapped because it is pinned stays mapped, so look at the map count afterwards.
 *
 * @param folios - the table.
 * @param head - the folio.
 * @param splitPmd - turn PMD leaves into page tables on the way (TTU_SPLIT_HUGE_PMD).
 */
export function* tryToMigrate(folios: FolioTable, head: Pfn, splitPmd: boolean): Task<void> {
  const pages = 2 ** folios.order(head);
  const { preemptive } = folios.machine.scheduler;
  for (const { mm, base } of folios.rmap.places(head)) {
    if (preemptive) yield UNMAP_MM;
    if (mm.notifiers === null) {
      unmapAt(mm, base, head, pages, splitPmd);
      continue;
    }
    const first = Math.max(base, 0);
    if (!mm.pageTable.refersTo(base, head, folios.order(head))) continue;
    const start = splitPmd ? Math.floor(first / HPAGE_PMD_NR) * HPAGE_PMD_NR : first;
    const range = mmuNotifierRange('CLEAR', pages >= HPAGE_PMD_NR ? start : first, base + pages);
    yield* mmuNotifierInvalidateRangeStart(mm, range);
    unmapAt(mm, base, head, pages, splitPmd);
    yield* mmuNotifierInvalidateRangeEnd(mm, range);
  }
}

function unmapAt(mm: Mm, base: number, head: Pfn, pages: number, splitPmd: boolean): void {
  const folios = mm.folios;
  const end = base + pages;
  let page = Math.max(base, 0);
  while (page < end) {
    const node = mm.pageTable.nodeOf(page);
    const stop = Math.min(end, page - (page & 511) + 512);
    if (node !== null && node.huge !== 0 && node.hugePfn - head === node.startPage - base) {
      if (splitPmd) splitPmdLeaf(mm, node);
      else if (ownsPage(node.huge) && mayShare(folios, head, node.huge)) makeMigrationPmd(folios, node);
    }
    if (node !== null && node.huge === 0) {
      for (; page < stop; page++) {
        const slot = page - node.startPage;
        const bits = node.bits[slot]!;
        if (!ownsPage(bits) || node.pfn[slot]! - head !== page - base || !mayShare(folios, head, bits))
          continue;
        makeMigrationEntry(folios, node, slot);
      }
    }
    page = stop;
  }
}
