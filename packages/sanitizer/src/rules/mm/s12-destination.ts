import {
  FOLIO_HEAD,
  FOLIO_LOCKED,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  type MigrateSlotsEvent,
} from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';
import type { MmState } from '../../mm/mm-state.ts';

/**
 * S12. Documentation/mm/hmm.rst and zone_device_page_init: a destination is locked and has exactly the driver's
 * reference; migrate_device_finalize unlocks and puts whatever it finds in the array.
 */
export const DESTINATION: MmRule = {
  id: 'S12',
  name: 'DESTINATION',
  severity: 'C',
  statement:
    'a destination is a locked, unmapped page with one reference, of the size that its slot says, given once',
  checks: {
    slots(event, state) {
      if (event.phase === 'finalize') lookAgain(event, state);
      if (event.phase !== 'pages') return;
      const seen = new Set<number>();
      for (const other of state.migrations.values()) {
        if (other.event.src === event.src || other.phase === 'setup') continue;
        for (let slot = 0; slot < other.event.slots; slot++) seen.add(other.event.dst.pfn[slot]!);
      }
      for (let slot = 0; slot < event.slots; slot++) {
        if ((event.dst.flags[slot]! & MIGRATE_PFN_VALID) === 0) continue;
        const pfn = event.dst.pfn[slot]!;
        const wrong = seen.has(pfn) ? 'a destination already' : wrongWith(event, slot, state);
        seen.add(pfn);
        if (wrong !== null) state.report(DESTINATION, `destination ${slot}, page frame ${pfn}, is ${wrong}`);
      }
    },
  },
};

function wrongWith({ dst }: MigrateSlotsEvent, slot: number, { folios }: MmState): string | null {
  const pfn = dst.pfn[slot]!;
  const flags = folios.flags[pfn]!;
  const compound = (dst.flags[slot]! & MIGRATE_PFN_COMPOUND) !== 0;
  if (folios.refs[pfn] === 0) return 'free';
  if ((flags & FOLIO_HEAD) === 0) return 'in the middle of a folio';
  if ((flags & FOLIO_LOCKED) === 0) return 'not locked';
  if (folios.maps[pfn] !== 0) return 'mapped';
  if (folios.refs[pfn] !== 1) return `referenced ${folios.refs[pfn]} times`;
  if (compound !== (folios.order(pfn) === 9))
    return `of order ${folios.order(pfn)}, which its slot does not say`;
  return null;
}

/** Finalize unlocks and puts every page of the array: one that the driver gave back by itself is gone twice. */
function lookAgain({ src, dst, slots }: MigrateSlotsEvent, state: MmState): void {
  const { folios } = state;
  const committed = state.migrations.get(src)?.phase === 'committed';
  for (let slot = 0; slot < slots; slot++) {
    if ((dst.flags[slot]! & MIGRATE_PFN_VALID) === 0) continue;
    // What migrates was looked at when it was committed.
    if (committed && (src.flags[slot]! & MIGRATE_PFN_MIGRATE) !== 0) continue;
    const pfn = folios.head(dst.pfn[slot]!);
    const how = folios.refs[pfn] === 0 ? 'free' : folios.isLocked(pfn) ? null : 'not locked';
    if (how !== null)
      state.report(DESTINATION, `destination ${slot}, page frame ${pfn}, is ${how} at finalize`);
  }
}
