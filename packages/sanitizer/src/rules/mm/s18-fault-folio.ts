import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S18. A CPU fault on a device page holds its lock and a reference while it calls migrate_to_ram (do_swap_page,
 * mm/memory.c): a migration that does not say so in fault_page can never lock the page, or counts one reference too
 * many, and the CPU faults for ever.
 */
export const FAULT_FOLIO: MmRule = {
  id: 'S18',
  name: 'FAULT_FOLIO',
  severity: 'C',
  statement:
    'a migration for a CPU fault names the folio whose lock the fault holds, and leaves that lock alone',
  checks: {
    slots({ phase, faultFolio, mm }, state) {
      const folio = state.faults.get(state.task)?.at(-1);
      if (phase !== 'setup' || mm === null || folio === undefined || faultFolio === folio) return;
      state.report(
        FAULT_FOLIO,
        `a migration inside of migrate_to_ram for page frame ${folio} names ${faultFolio}`,
      );
    },
    toRam({ phase, folio }, state) {
      if (phase === 'begin' || state.folios.isLocked(folio)) return;
      state.report(FAULT_FOLIO, `page frame ${folio} came back from migrate_to_ram unlocked`);
    },
  },
};
