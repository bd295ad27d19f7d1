import { HMM_PFN_WRITE } from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S22. The IOMMU entry of a mirrored page is BIDIRECTIONAL whatever the CPU's entry says (mm/hmm.c), so that nothing
 * stops a device that writes a page without HMM_PFN_WRITE. hmm_range_fault may succeed without it although a write was
 * asked for (own device-private page after mprotect, finding F1).
 */
export const WRITE_PERMISSION: MmRule = {
  id: 'S22',
  name: 'WRITE_PERMISSION',
  severity: 'C',
  statement: 'a device writes only pages whose lookup said WRITE',
  checks: {
    deviceMap({ device, sub, seq, page, pfn, write, cpuWrite }, state) {
      const said = state.lookedUp(sub, page, seq);
      if (write && (!cpuWrite || (said !== null && (said.flags & HMM_PFN_WRITE) === 0)))
        state.report(
          WRITE_PERMISSION,
          `${device} maps page ${page}, page frame ${pfn}, writable; the CPU's entry is not`,
        );
    },
    access({ phase, device, page, pfn, write }, state) {
      if (phase !== 'begin' || !write) return;
      const entry = state.entries.get(device)?.get(page);
      if (entry === undefined || !entry.write)
        state.report(
          WRITE_PERMISSION,
          `${device} writes page ${page}, page frame ${pfn}, which it has not mapped writable`,
        );
    },
  },
};
