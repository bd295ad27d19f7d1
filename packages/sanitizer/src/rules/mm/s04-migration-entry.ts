import { entries } from '../../mm/page-entries.ts';
import type { MmRule } from '../../mm/mm-rule.ts';
import type { MmState } from '../../mm/mm-state.ts';

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
          if (isHeld(state, pfn)) continue;
          const how = folios.refs[folios.head(pfn)] === 0 ? 'free' : 'not locked';
          state.report(
            MIGRATION_ENTRY,
            `${mm.name} page ${page} waits for page frame ${pfn}, which is ${how}`,
          );
        }
      }
    },
    finish(_event, state) {
      for (const mm of state.folios.mms.all()) {
        // What is not held has been said by the sweep.
        for (const { page, pfn, kind } of entries(mm))
          if (kind === 'migration' && isHeld(state, pfn))
            state.report(
              MIGRATION_ENTRY,
              `${mm.name} page ${page} still waits for page frame ${pfn} at the end`,
            );
      }
    },
  },
};

function isHeld({ folios }: MmState, pfn: number): boolean {
  const head = folios.head(pfn);
  return folios.isLocked(head) && folios.refs[head]! > 0;
}
