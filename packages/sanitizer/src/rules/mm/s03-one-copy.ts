import { FOLIO_ANON, FOLIO_HEAD } from '@gpusvm/hmm';
import { entries } from '../../mm/page-entries.ts';
import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S3. An anonymous page belongs to one index of one anon_vma (mm/rmap.c, folio->index), so an address space maps it at
 * one place at most: two places would be two names of data that each believes to be its own.
 */
export const ONE_COPY: MmRule = {
  id: 'S3',
  name: 'ONE_COPY',
  severity: 'C',
  statement:
    'a page of anonymous memory is mapped at one place of an address space, and one entry says where its data is',
  checks: {
    sweep(_event, state) {
      const { folios } = state;
      for (const mm of folios.mms.all()) {
        const seen = new Map<number, number>();
        for (const { page, pfn, kind } of entries(mm)) {
          if (kind !== 'present' && kind !== 'device-private') continue;
          const flags = folios.flags[folios.head(pfn)]!;
          if ((flags & (FOLIO_ANON | FOLIO_HEAD)) !== (FOLIO_ANON | FOLIO_HEAD)) continue;
          const other = seen.get(pfn);
          if (other !== undefined)
            state.report(ONE_COPY, `${mm.name} maps page frame ${pfn} at page ${other} and at page ${page}`);
          seen.set(pfn, page);
        }
      }
    },
  },
};
