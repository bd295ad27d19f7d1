import { FOLIO_HEAD } from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';
import type { MmState } from '../../mm/mm-state.ts';

/**
 * S1. A page is free exactly while its reference count is 0, and then nobody may reach it: free_zone_device_folio
 * (mm/memremap.c) and __folio_put end its life there, and zone_device_page_init warns about a page that has references
 * when it begins a new one.
 */
export const FREE_IS_FREE: MmRule = {
  id: 'S1',
  name: 'FREE_IS_FREE',
  severity: 'U',
  statement:
    'a folio is free if and only if nobody holds it: not mapped, not locked, not in a device or a migration',
  checks: {
    sweep(_event, state) {
      const { folios } = state;
      for (let pfn = 0; pfn < folios.totalPages; pfn++) {
        if (folios.refs[pfn] !== 0 || folios.head(pfn) !== pfn) continue;
        const flags = folios.flags[pfn]!;
        if (folios.maps[pfn] !== 0) report(state, pfn, `mapped ${folios.maps[pfn]} times`);
        else if (folios.isLocked(pfn)) report(state, pfn, 'locked');
        else if ((flags & FOLIO_HEAD) !== 0) report(state, pfn, 'still a folio');
      }
      for (const entries of state.entries.values())
        for (const entry of entries.values())
          if (!state.told.has(entry) && isFree(state, entry.pfn))
            report(state, entry.pfn, `mapped by ${entry.device} at page ${entry.page}`);
      for (const { sources, task, phase } of state.migrations.values()) {
        if (phase !== 'setup') continue;
        for (const { pfn } of sources.values())
          if (isFree(state, pfn)) report(state, pfn, `a source of the migration of ${task}`);
      }
    },
    deviceMap({ pfn, device, page }, state) {
      if (isFree(state, pfn)) report(state, pfn, `being mapped by ${device} at page ${page}`);
    },
  },
};

function isFree({ folios }: MmState, pfn: number): boolean {
  return folios.refs[folios.head(pfn)] === 0 && !folios.zeroPages.has(pfn);
}

function report(state: MmState, pfn: number, how: string): void {
  state.report(FREE_IS_FREE, `page frame ${pfn} is free and ${how}`);
}
