import type { MmRule } from '../../mm/mm-rule.ts';
import type { MmState } from '../../mm/mm-state.ts';

/**
 * S5. Every live page of a device window holds a reference of its pagemap, 2^order for a folio (zone_device_page_init and
 * free_zone_device_folio, mm/memremap.c); memunmap_pages waits until there is none.
 */
export const PAGEMAP_REFERENCES: MmRule = {
  id: 'S5',
  name: 'PAGEMAP_REFERENCES',
  severity: 'L',
  statement: 'the references of a pagemap are the 4K pages of its live folios',
  checks: { sweep: (_event, state) => compare(state) },
};

function compare(state: MmState): void {
  const { folios } = state;
  for (const { basePfn, pages, liveReferences } of folios.pagemaps) {
    let live = 0;
    for (let pfn = basePfn; pfn < basePfn + pages; pfn++) if (folios.refs[folios.head(pfn)]! > 0) live++;
    if (live !== liveReferences)
      state.report(
        PAGEMAP_REFERENCES,
        `the window at page frame ${basePfn} has ${liveReferences} references and ${live} live pages`,
      );
  }
}
