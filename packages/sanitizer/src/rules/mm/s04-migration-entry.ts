import { entries } from '../../mm/page-entries.ts';
import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S4. A migration entry makes everybody who meets it wait for the folio lock (migration_entry_wait_on_locked,
 * mm/migrate.c): when nobody holds that lock any more, nobody will ever put the page back.
 */
export const MIGRATION_ENTRY: MmRule = {
  id: 'S4',
  name: 'MIGRATION_ENTRY',
  severity: 'C',
  statement: 'a migration entry names a folio that is locked and referenced by an open migration',
  checks: {
    sweep(_event, state) {
      const { folios } = state;
      for (const mm of folios.mms.all()) {
        for (const { page, pfn, kind } of entries(mm)) {
          if (kind !== 'migration') continue;
          const head = folios.head(pfn);
          if (folios.isLocked(head) && folios.refs[head]! > 0) continue;
          const how = folios.refs[head] === 0 ? 'free' : 'not locked';
          state.report(
            MIGRATION_ENTRY,
            `${mm.name} page ${page} waits for page frame ${pfn}, which is ${how}`,
          );
        }
      }
    },
    finish(_event, state) {
      for (const mm of state.folios.mms.all()) {
        for (const { page, pfn, kind } of entries(mm))
          if (kind === 'migration')
            state.report(
              MIGRATION_ENTRY,
              `${mm.name} page ${page} still waits for page frame ${pfn} at the end`,
            );
      }
    },
  },
};
