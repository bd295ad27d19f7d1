import { FOLIO_HEAD, type FolioTable, type Mm } from '@gpusvm/hmm';

const EVERYTHING = Number.MAX_SAFE_INTEGER;

/**
 * Everything that tasks share in mm, as text: equal texts, equal states. Cost: what is populated, plus a look at every
 * page structure, so use it on machines of a few hundred pages.
 */
export function mmDigest(folios: FolioTable): string {
  let text = '';
  for (const mm of folios.mms.all()) text += mmText(mm);
  const { flags, refs, maps, memory, ramPages, totalPages } = folios;
  for (let pfn = 0; pfn < totalPages; pfn++) {
    if ((flags[pfn]! & FOLIO_HEAD) === 0 && refs[pfn] === 0) continue;
    const tag = pfn < ramPages ? memory.readTag(pfn) : 0;
    text += `;f${pfn},${flags[pfn]},${refs[pfn]},${maps[pfn]},${folios.pinCount(pfn)},${tag}`;
  }
  return text;
}

function mmText(mm: Mm): string {
  let text = `${mm.name},${mm.users},${mm.count}`;
  for (const { startPage, endPage, read, write } of mm.vmas.all())
    text += `;v${startPage},${endPage},${read ? 1 : 0}${write ? 1 : 0}`;
  const { pageTable, notifiers } = mm;
  for (
    let node = pageTable.next(0, EVERYTHING);
    node !== null;
    node = pageTable.next(node.index + 1, EVERYTHING)
  ) {
    const { bits, pfn, startPage, huge, hugePfn, used } = node;
    if (huge !== 0) text += `;h${node.index},${huge},${hugePfn}`;
    for (let slot = 0, left = used; left > 0 && slot < bits.length; slot++) {
      if (bits[slot] === 0) continue;
      text += `;${startPage + slot},${bits[slot]},${pfn[slot]}`;
      left--;
    }
  }
  if (notifiers === null) return text;
  text += `;n${notifiers.invalidateSeq},${notifiers.active.size},${notifiers.deferred.size}`;
  notifiers.tree.forEach((sub) => {
    text += `;s${sub.startPage},${sub.invalidateSeq}`;
  });
  return text;
}
