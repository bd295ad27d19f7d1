import { DmaDevice, type IommuMode, TagMemory } from '@gpusvm/dma-iova';
import { Machine } from '@gpusvm/kernel';
import { attachSanitizer } from '@gpusvm/sanitizer';
import type { Bug, World } from './bug.ts';
import { dmaOps } from './users/dma-ops.ts';
import { guestOps } from './users/guest-memory.ts';
import { rangeOps } from './users/range-mapper.ts';
import { vectorOps } from './users/vector-mapper.ts';

const PAGES = 4096;

/** A fresh world for a bug in one mode, with correct code only. */
export function makeWorld(bug: Bug, mode: IommuMode): World {
  const machine = new Machine({ profile: bug.profile ?? 'linux-7.3' });
  const memory = new TagMemory(machine, { pages: PAGES });
  const dev = new DmaDevice(machine, memory, { name: 'device', iommu: mode, ...bug.device });
  const sanitizer = attachSanitizer(machine, { mode: 'report', devices: [dev], callSites: 'every' });
  return {
    machine,
    memory,
    dev,
    sanitizer,
    dma: dmaOps(),
    vectors: vectorOps(),
    ranges: rangeOps(),
    guests: guestOps(),
    alloc(order, owner = 'driver') {
      const pfn = memory.allocPages(order);
      sanitizer.declareBuffer(owner, pfn * 4096, 4096 * 2 ** order);
      return pfn;
    },
    release(pfn, order) {
      memory.freePagesBlock(pfn, order);
    },
  };
}
