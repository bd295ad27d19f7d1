import type { LiveItem, Pfn } from '@gpusvm/kernel';
import { FOLIO_HEAD } from './folio-flags.ts';
import type { FolioTable } from './folio-table.ts';

const NAMED = 4;

/** Folios that were not freed, RAM and device memory apart, with the runs of pfns that hold them. */
export function liveFolios(folios: FolioTable): LiveItem[] {
  return [
    collect(folios, 'folio', 0, folios.ramPages),
    collect(folios, 'device folio', folios.ramPages, folios.totalPages),
  ];
}

function collect(folios: FolioTable, kind: string, from: Pfn, to: Pfn): LiveItem {
  const runs: string[] = [];
  let count = 0;
  let pfn = from;
  while (pfn < to) {
    if ((folios.flags[pfn]! & FOLIO_HEAD) === 0) {
      pfn++;
      continue;
    }
    const first = pfn;
    const order = folios.order(pfn);
    const refs = folios.refcount(pfn);
    const maps = folios.mapcount(pfn);
    const same = (head: Pfn): boolean =>
      head < to &&
      (folios.flags[head]! & FOLIO_HEAD) !== 0 &&
      folios.order(head) === order &&
      folios.refcount(head) === refs &&
      folios.mapcount(head) === maps;
    let folioCount = 0;
    do {
      pfn += 2 ** order;
      folioCount++;
    } while (same(pfn));
    count += folioCount;
    const each = `order ${order}, refcount ${refs}, mapcount ${maps}, pins ${folios.pinCount(first)}`;
    if (runs.length < NAMED) runs.push(`pfn ${first}..${pfn - 1} (${folioCount} folios: ${each})`);
    else if (runs.length === NAMED) runs.push('...');
  }
  return { kind, count, detail: runs.join('; ') };
}
