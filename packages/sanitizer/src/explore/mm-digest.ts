import { FOLIO_HEAD, type FolioTable, type Mm } from '@gpusvm/hmm';

const EVERYTHING = Number.MAX_SAFE_INTEGER;

/**
 * Everything that tasks share in mm, as text: equal texts, equal states. Cost: what is populated, plus a look at every
 * page structure, so use it on machines of a few hundred pages.
 */
export function mmDigest(folios: FolioTable): string {
  const parts: string[] = [];
  for (const mm of folios.mms.all()) addMm(parts, mm);
  const { flags, refs, maps, memory, ramPages } = folios;
  for (let pfn = 0; pfn < folios.totalPages; pfn++) {
    if ((flags[pfn]! & FOLIO_HEAD) === 0 && refs[pfn] === 0) continue;
    const tag = pfn < ramPages ? memory.readTag(pfn) : 0;
    parts.push(`f${pfn},${flags[pfn]},${refs[pfn]},${maps[pfn]},${folios.pinCount(pfn)},${tag}`);
  }
  return parts.join(';');
}

function addMm(parts: string[], mm: Mm): void {
  parts.push(`${mm.name},${mm.users},${mm.count}`);
  for (const { startPage, endPage, read, write } of mm.vmas.all())
    parts.push(`v${startPage},${endPage},${read ? 1 : 0}${write ? 1 : 0}`);
  const { pageTable, notifiers } = mm;
  for (
    let node = pageTable.next(0, EVERYTHING);
    node !== null;
    node = pageTable.next(node.index + 1, EVERYTHING)
  ) {
    if (node.huge !== 0) parts.push(`h${node.index},${node.huge},${node.hugePfn}`);
    const { bits, pfn, startPage } = node;
    for (let slot = 0; slot < bits.length; slot++)
      if (bits[slot] !== 0) parts.push(`${startPage + slot},${bits[slot]},${pfn[slot]}`);
  }
  if (notifiers === null) return;
  parts.push(`n${notifiers.invalidateSeq},${notifiers.active.size},${notifiers.deferred.size}`);
  notifiers.tree.forEach((sub) => parts.push(`s${sub.startPage},${sub.invalidateSeq}`));
}
