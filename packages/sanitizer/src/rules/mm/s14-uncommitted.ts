import { MIGRATE_PFN_MIGRATE, MIGRATE_PFN_VALID } from '@gpusvm/hmm';
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
    deviceMap({ device, page, pfn }, state) {
      if (isRefused(state, pfn)) say(state, device, page, pfn);
    },
    slots({ phase }, state) {
      if (phase !== 'finalize') return;
      for (const entries of state.entries.values())
        for (const { device, page, pfn } of entries.values())
          if (isRefused(state, pfn)) say(state, device, page, pfn);
    },
  },
};

/** Whether a page is a destination that was refused. */
function isRefused(state: MmState, pfn: number): boolean {
  for (const { event, phase } of state.migrations.values()) {
    if (phase !== 'committed') continue;
    for (let slot = 0; slot < event.slots; slot++) {
      if (event.dst.pfn[slot] !== pfn || (event.dst.flags[slot]! & MIGRATE_PFN_VALID) === 0) continue;
      if ((event.src.flags[slot]! & MIGRATE_PFN_MIGRATE) === 0) return true;
    }
  }
  return false;
}

function say(state: MmState, device: string, page: number, pfn: number): void {
  state.report(
    UNCOMMITTED,
    `${device} maps page ${page} to page frame ${pfn}, which does not migrate after all`,
  );
}
