import {
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  type MigrateSlotsEvent,
} from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';
import type { MmState } from '../../mm/mm-state.ts';

/**
 * S17. Every successful setup needs its finalize, once, also after an error of the driver; and where a compound source
 * gets single destinations, migrate_vma_split_unmapped_folio's caller reads all 512 of them (mm/migrate_device.c, 7.3).
 */
export const TRANSACTION: MmRule = {
  id: 'S17',
  name: 'TRANSACTION',
  severity: 'L',
  statement: 'every migration is finalized once, and a compound source is given one destination or 512',
  checks: {
    slots(event, state) {
      const open = state.migrations.get(event.src);
      if (event.phase === 'setup' && open !== undefined)
        state.report(TRANSACTION, `${open.task} begins a migration whose arrays are still in use`);
      if (event.phase === 'finalize' && (open === undefined || open.phase === 'finalize'))
        state.report(TRANSACTION, 'a migration is finalized that is not open');
      if (event.phase === 'finalize' && open?.phase === 'setup') lookAtUncommitted(event, state);
      if (event.phase === 'pages') lookAtSplits(event, state);
    },
    ending(_event, state) {
      for (const { task, event } of state.migrations.values())
        state.report(TRANSACTION, `a migration of ${event.slots} pages by ${task} was never finalized`);
    },
  },
};

function lookAtSplits({ src, dst, slots }: MigrateSlotsEvent, state: MmState): void {
  const both = MIGRATE_PFN_VALID | MIGRATE_PFN_COMPOUND;
  for (let slot = 0; slot < slots; slot++) {
    if ((src.flags[slot]! & MIGRATE_PFN_COMPOUND) === 0 || (dst.flags[slot]! & both) !== MIGRATE_PFN_VALID)
      continue;
    let given = 0;
    for (let i = slot; i < slot + 512; i++) if ((dst.flags[i]! & MIGRATE_PFN_VALID) !== 0) given++;
    if (given !== 512)
      state.report(TRANSACTION, `compound slot ${slot} has ${given} destinations, not one or 512`);
  }
}

/** Finalize takes what has MIGRATE and a destination for moved: without migrate_vma_pages nothing was. */
function lookAtUncommitted({ src, dst, slots }: MigrateSlotsEvent, state: MmState): void {
  for (let slot = 0; slot < slots; slot++) {
    if ((src.flags[slot]! & MIGRATE_PFN_MIGRATE) === 0 || (dst.flags[slot]! & MIGRATE_PFN_VALID) === 0)
      continue;
    state.report(TRANSACTION, `slot ${slot} has a destination and is finalized without migrate_vma_pages`);
    return;
  }
}
