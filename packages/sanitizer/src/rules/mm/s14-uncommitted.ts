import { type DeviceMapEvent, MIGRATE_PFN_MIGRATE, MIGRATE_PFN_VALID } from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';
import type { MmState } from '../../mm/mm-state.ts';

/**
 * S14. After migrate_vma_pages only slots that still have MIGRATE are committed; the destinations of the others are freed
 * in finalize (__migrate_device_finalize, mm/migrate_device.c).
 */
export const UNCOMMITTED: MmRule = {
  id: 'S14',
  name: 'UNCOMMITTED',
  severity: 'C',
  statement: 'a device does not map a destination whose slot has lost MIGRATE',
  checks: {
    deviceMap(entry, state) {
      if (refused(state).has(entry.pfn)) say(state, entry);
    },
    slots({ phase }, state) {
      if (phase !== 'finalize') return;
      for (const entry of state.entriesOf(refused(state))) say(state, entry);
    },
  },
};

/** Destinations that were refused, of migrations that are not finalized. */
function refused(state: MmState): Set<number> {
  const pfns = new Set<number>();
  for (const { event, phase } of state.migrations.values()) {
    if (phase !== 'committed') continue;
    const { src, dst, slots } = event;
    for (let slot = 0; slot < slots; slot++) {
      if ((dst.flags[slot]! & MIGRATE_PFN_VALID) === 0) continue;
      if ((src.flags[slot]! & MIGRATE_PFN_MIGRATE) === 0) pfns.add(dst.pfn[slot]!);
    }
  }
  return pfns;
}

function say(state: MmState, entry: DeviceMapEvent): void {
  if (state.uncommitted.has(entry)) return;
  state.uncommitted.add(entry);
  state.told.add(entry);
  const { device, page, pfn } = entry;
  state.report(
    UNCOMMITTED,
    `${device} maps page ${page} to page frame ${pfn}, which does not migrate after all`,
  );
}
