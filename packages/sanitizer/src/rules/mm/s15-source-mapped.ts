import { MIGRATE_PFN_MIGRATE } from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S15. A driver passes over the MIGRATE notifications of its own migrations, so nobody but itself takes the device's
 * entries for a device page away before that page is copied (Documentation/mm/hmm.rst, step 3 of migration).
 */
export const SOURCE_MAPPED: MmRule = {
  id: 'S15',
  name: 'SOURCE_MAPPED',
  severity: 'U',
  statement: 'no device maps a page while it migrates',
  checks: {
    slots({ phase, src }, state) {
      if (phase !== 'pages') return;
      const moving = new Set<number>();
      for (const [slot, { pfn }] of state.migrations.get(src)?.sources ?? [])
        if ((src.flags[slot]! & MIGRATE_PFN_MIGRATE) !== 0) moving.add(pfn);
      for (const entry of state.entriesOf(moving)) {
        state.told.add(entry);
        const { device, page, pfn } = entry;
        state.report(SOURCE_MAPPED, `${device} maps page ${page} to page frame ${pfn}, which migrates`);
      }
    },
  },
};
