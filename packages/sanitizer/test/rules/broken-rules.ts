import {
  DMA_ATTR_MMIO,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_MAPPING_ERROR,
  type DmaDataDirection,
  type DmaDeviceOptions,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaUnmapPhys,
  IOMMU_READ,
  IOMMU_WRITE,
  IotlbGather,
  type IommuMode,
} from '@gpusvm/dma-iova';
import type { KernelProfileName, Task } from '@gpusvm/kernel';
import type { RuleId } from '../../src/index.ts';
import type { Rig } from '../rig.ts';

const P = 4096;

/** A program that breaks rules on purpose. */
export interface Broken {
  readonly what: string;
  /** Rules that must be reported, no others. */
  readonly rules: readonly RuleId[];
  readonly mode?: IommuMode;
  readonly device?: Partial<DmaDeviceOptions>;
  readonly profile?: KernelProfileName;
  /** Release the device and end the machine afterwards. */
  readonly ends?: boolean;
  run(r: Rig): void;
}

/** A reservation of some pages on a buffer of as many, with these pages linked and synced. */
function linked(
  r: Rig,
  pages: number,
  which: readonly number[],
  dir: DmaDataDirection = 0,
): { s: DmaIovaState; pfn: number } {
  const s = new DmaIovaState();
  const pfn = r.memory.allocPages(Math.ceil(Math.log2(pages)));
  dmaIovaTryAlloc(r.dev, s, 0, pages * P);
  for (const i of which) dmaIovaLink(r.dev, s, (pfn + i) * P, i * P, P, dir, 0);
  if (which.length > 0) dmaIovaSync(r.dev, s, 0, pages * P);
  return { s, pfn };
}

function allocated(r: Rig, order: number): number {
  return r.memory.allocPages(order);
}

/** Replace one function of an object, as a live patch does. */
function patch<T extends object, K extends keyof T>(
  object: T,
  name: K,
  make: (original: T[K]) => T[K],
): void {
  const original = object[name];
  const bound = typeof original === 'function' ? (original.bind(object) as T[K]) : original;
  Object.defineProperty(object, name, { value: make(bound), configurable: true });
}

export const BROKEN: readonly Broken[] = [
  {
    what: 'a link that ends behind the reservation',
    rules: ['I1'],
    run(r) {
      const { s, pfn } = linked(r, 4, [0]);
      dmaIovaLink(r.dev, s, (pfn + 1) * P, P, 4 * P - 1, 0, 0);
    },
  },
  {
    what: 'a second link at the offset of the first',
    rules: ['I2'],
    run(r) {
      const { s, pfn } = linked(r, 4, [0]);
      dmaIovaLink(r.dev, s, (pfn + 1) * P, 0, P, 0, 0);
    },
  },
  {
    what: 'a later link with a physical page offset',
    rules: ['I3'],
    run(r) {
      const { s, pfn } = linked(r, 4, [0]);
      dmaIovaLink(r.dev, s, (pfn + 1) * P + 512, P, 512, 0, 0);
    },
  },
  {
    what: 'a first link with another page offset than the reservation',
    rules: ['I3'],
    run(r) {
      const { s, pfn } = linked(r, 4, []);
      dmaIovaLink(r.dev, s, pfn * P + 512, 0, P - 512, 0, 0);
    },
  },
  {
    what: 'a link behind one that ends inside a page',
    rules: ['I4'],
    run(r) {
      const { s, pfn } = linked(r, 4, []);
      dmaIovaLink(r.dev, s, pfn * P, 0, 100, 0, 0);
      dmaIovaLink(r.dev, s, (pfn + 1) * P, P, P, 0, 0);
    },
  },
  {
    what: 'a link that ends inside a page below another one',
    rules: ['I4'],
    run(r) {
      const { s, pfn } = linked(r, 4, [3]);
      dmaIovaLink(r.dev, s, pfn * P, 0, 100, 0, 0);
    },
  },
  {
    what: 'a device access without any sync',
    rules: ['I5'],
    run(r) {
      const { s, pfn } = linked(r, 4, []);
      dmaIovaLink(r.dev, s, pfn * P, 0, P, 0, 0);
      r.dev.readTag(s.addr);
    },
  },
  {
    what: 'a device access to a hole',
    rules: ['I5'],
    run(r) {
      const { s } = linked(r, 4, [0]);
      r.dev.readTag(s.addr + P);
    },
  },
  {
    what: 'an unlink across a hole',
    rules: ['I6', 'I29'],
    run(r) {
      const { s } = linked(r, 8, [0, 1, 5]);
      dmaIovaUnlink(r.dev, s, 0, 6 * P, 0, 0);
    },
  },
  {
    what: 'an unlink across a hole on a page table that steps over it',
    rules: ['I6'],
    device: { ioPageTable: 'vtd-legacy' },
    run(r) {
      const { s } = linked(r, 8, [0, 1, 5]);
      dmaIovaUnlink(r.dev, s, 0, 6 * P, 0, 0);
    },
  },
  {
    what: 'an unlink of size 0',
    rules: ['I6'],
    run(r) {
      const { s } = linked(r, 8, [0]);
      dmaIovaUnlink(r.dev, s, 0, 0, 0, 0);
    },
  },
  {
    what: 'an unlink of half of a link of small leaves',
    rules: ['I6'],
    run(r) {
      const { s, pfn } = linked(r, 8, []);
      dmaIovaLink(r.dev, s, pfn * P, 0, 8 * P, 0, 0);
      dmaIovaUnlink(r.dev, s, 0, 4 * P, 0, 0);
    },
  },
  {
    what: 'an unlink that starts inside a 2 MiB leaf',
    rules: ['I7', 'I29'],
    run(r) {
      const { s, pfn } = linked(r, 512, []);
      dmaIovaLink(r.dev, s, pfn * P, 0, 512 * P, 0, 0);
      dmaIovaUnlink(r.dev, s, 256 * P, 256 * P, 0, 0);
    },
  },
  {
    what: 'an unlink of half of a 32 KiB link on AMD',
    rules: ['I7', 'I29'],
    device: { ioPageTable: 'amdv1' },
    run(r) {
      const { s, pfn } = linked(r, 8, []);
      dmaIovaLink(r.dev, s, pfn * P, 0, 8 * P, 0, 0);
      dmaIovaUnlink(r.dev, s, 0, 4 * P, 0, 0);
    },
  },
  {
    what: 'a destroy that is shorter than what is linked',
    rules: ['I8'],
    run(r) {
      const { s } = linked(r, 4, [0, 1, 2]);
      dmaIovaDestroy(r.dev, s, 2 * P, 0, 0);
    },
  },
  {
    what: 'a destroy of generation 1 that is shorter than the reservation',
    rules: ['I9'],
    profile: 'linux-7.2',
    run(r) {
      const { s } = linked(r, 8, [0, 1]);
      dmaIovaDestroy(r.dev, s, 2 * P, 0, 0);
    },
  },
  {
    what: 'a free with something linked',
    rules: ['I10'],
    run(r) {
      dmaIovaFree(r.dev, linked(r, 4, [2]).s);
    },
  },
  {
    what: 'a second free',
    rules: ['I11'],
    run(r) {
      const { s } = linked(r, 4, []);
      dmaIovaFree(r.dev, s);
      dmaIovaFree(r.dev, s);
    },
  },
  {
    what: 'a link and a sync after the free',
    rules: ['I11'],
    run(r) {
      const { s, pfn } = linked(r, 4, []);
      dmaIovaFree(r.dev, s);
      dmaIovaLink(r.dev, s, pfn * P, 0, P, 0, 0);
      dmaIovaSync(r.dev, s, 0, P);
    },
  },
  {
    what: 'addresses handed out while a leaf of their last owner is there',
    rules: ['I8', 'I12'],
    run(r) {
      const { s } = linked(r, 4, [0, 1, 2]);
      dmaIovaDestroy(r.dev, s, 2 * P, 0, 0);
      dmaIovaTryAlloc(r.dev, new DmaIovaState(), 0, 4 * P);
    },
  },
  {
    what: 'an unlink without invalidation, and the free after it',
    rules: ['I13'],
    run(r) {
      const { s } = linked(r, 4, [0]);
      patch(r.dev.domain!, 'sync', () => () => {});
      dmaIovaUnlink(r.dev, s, 0, P, 0, 0);
      dmaIovaFree(r.dev, s);
    },
  },
  {
    what: 'addresses of a lazy domain handed out before its flush',
    rules: ['I13'],
    mode: 'lazy',
    run(r) {
      patch(r.dev.flushQueue!, 'queue', () => (page, pages) => r.dev.iova!.free(page, pages, 0));
      const pfn = allocated(r, 0);
      dmaUnmapPhys(r.dev, dmaMapPhys(r.dev, pfn * P, P, 0, 0), P, 0, 0);
      dmaIovaTryAlloc(r.dev, new DmaIovaState(), 0, P);
    },
  },
  {
    what: 'a device that uses a translation after a too short invalidation',
    rules: ['I13'],
    run: staleAccess,
  },
  {
    what: 'the same in a lazy domain',
    rules: ['I13'],
    mode: 'lazy',
    run: staleAccess,
  },
  {
    what: 'a freed table with a leaf-only invalidation',
    rules: ['I14'],
    run(r) {
      const which = Array.from({ length: 512 }, (_, i) => i);
      const { s } = linked(r, 512, which);
      // The gather forgets its tables before the invalidation looks, and they are freed all the same.
      patch(r.dev.domain!, 'sync', (sync) => (gather: IotlbGather) => {
        const tables = gather.freeHead;
        gather.freeHead = 0;
        sync(gather);
        if (tables !== 0) r.dev.domain!.releaseTables(tables);
      });
      dmaIovaUnlink(r.dev, s, 0, 512 * P, 0, 0);
    },
  },
  {
    what: 'a page freed under a leaf that leaked',
    rules: ['I8', 'I15'],
    run(r) {
      const { s, pfn } = linked(r, 4, [0, 1]);
      dmaIovaDestroy(r.dev, s, P, 0, 0);
      r.memory.freePagesBlock(pfn + 1, 0);
    },
  },
  {
    what: 'a link over memory that is free',
    rules: ['I16'],
    run(r) {
      const { s, pfn } = linked(r, 4, []);
      r.memory.freePagesBlock(pfn + 1, 0);
      dmaIovaLink(r.dev, s, pfn * P, 0, 2 * P, 0, 0);
    },
  },
  {
    what: 'a link that runs out of its declared buffer',
    rules: ['I16'],
    run(r) {
      const { s, pfn } = linked(r, 4, []);
      r.sanitizer.declareBuffer('dummy', pfn * P, P);
      r.sanitizer.declareBuffer('somebody', (pfn + 1) * P, 3 * P);
      dmaIovaLink(r.dev, s, pfn * P, 0, 2 * P, 0, 0);
    },
  },
  {
    what: 'a device access through a leaf that leaked',
    rules: ['I8', 'I16'],
    run(r) {
      const { s } = linked(r, 4, [0, 1]);
      dmaIovaDestroy(r.dev, s, P, 0, 0);
      r.dev.writeTag(s.addr + P, 1);
    },
  },
  {
    what: 'a device without IOMMU that reaches what is not mapped',
    rules: ['I16'],
    mode: 'none',
    run(r) {
      const pfn = allocated(r, 1);
      r.dev.readTag(dmaMapPhys(r.dev, pfn * P, P, 0, 0) + P);
    },
  },
  {
    what: 'an unlink with another direction',
    rules: ['I17'],
    run(r) {
      const { s } = linked(r, 4, [0], 1);
      dmaIovaUnlink(r.dev, s, 0, P, 2, 0);
    },
  },
  {
    what: 'an unlink of MMIO without the attribute',
    rules: ['I17'],
    device: { coherent: false },
    run(r) {
      const { s } = linked(r, 4, []);
      dmaIovaLink(r.dev, s, 2 ** 40, 0, P, 0, DMA_ATTR_MMIO);
      dmaIovaUnlink(r.dev, s, 0, P, 0, 0);
    },
  },
  {
    what: 'a classic unmap of a linked address',
    rules: ['I17'],
    run(r) {
      const { s } = linked(r, 4, [0, 1]);
      dmaUnmapPhys(r.dev, s.addr, 100, 0, 0);
    },
  },
  ...(['none', 'swiotlb'] as const).map(
    (mode): Broken => ({
      what: `an unmap with another size in mode ${mode}`,
      rules: ['I17'],
      mode,
      run(r) {
        const addr = dmaMapPhys(r.dev, allocated(r, 1) * P, 2 * P, 0, 0);
        dmaUnmapPhys(r.dev, addr, P, 0, 0);
      },
    }),
  ),
  {
    what: 'a write through a read-only link',
    rules: ['I18'],
    run(r) {
      r.dev.writeTag(linked(r, 4, [0], 1).s.addr, 1);
    },
  },
  {
    what: 'a write through a read-only mapping that nothing stops',
    rules: ['I18'],
    mode: 'none',
    run(r) {
      r.dev.writeTag(dmaMapPhys(r.dev, allocated(r, 0) * P, P, 1, 0), 1);
    },
  },
  {
    what: 'bounced memory that must not be copied',
    rules: ['I19'],
    mode: 'swiotlb',
    run(r) {
      patch(r.dev.swiotlb!, 'map', (map) => (phys, size, dir) => map(phys, size, dir, 0, 0));
      const point = r.dev.trace.mapPhys;
      const addr = r.dev.swiotlb!.map(allocated(r, 0) * P, 64, 0, 0, 0);
      point.emit(r.dev, addr, P, 64, 0, DMA_ATTR_MMIO);
    },
  },
  {
    what: 'MMIO linked behind a bounced range',
    rules: ['I19'],
    device: { untrusted: true },
    run(r) {
      const { s, pfn } = linked(r, 4, []);
      dmaIovaLink(r.dev, s, pfn * P, 0, 100, 0, 0);
      dmaIovaUnlink(r.dev, s, 0, 100, 0, 0);
      dmaIovaLink(r.dev, s, 2 ** 40, P, P, 0, DMA_ATTR_MMIO);
    },
  },
  {
    what: 'bounce slots that an unlink across a hole never reaches',
    rules: ['I6', 'I19', 'I29'],
    device: { untrusted: true },
    run(r) {
      const { s, pfn } = linked(r, 4, [0]);
      dmaIovaLink(r.dev, s, (pfn + 2) * P, 2 * P, 100, 0, 0);
      dmaIovaUnlink(r.dev, s, 0, 2 * P + 100, 0, 0);
    },
  },
  {
    what: 'slots unlinked by one task while another maps them',
    rules: ['I20'],
    run: race,
  },
  {
    what: 'an address beyond the DMA mask',
    rules: ['I21'],
    device: { dmaMaskBits: 32 },
    run(r) {
      patch(r.dev.iova!, 'alloc', () => () => 2 ** 21);
      dmaIovaTryAlloc(r.dev, new DmaIovaState(), 0, P);
    },
  },
  {
    what: 'an address in a reserved region',
    rules: ['I22'],
    run(r) {
      patch(r.dev.iova!, 'alloc', () => () => 0xfee00);
      dmaIovaTryAlloc(r.dev, new DmaIovaState(), 0, P);
    },
  },
  {
    what: 'an address that is handed out twice',
    rules: ['I23'],
    run(r) {
      const { s } = linked(r, 8, []);
      patch(r.dev.iova!, 'alloc', () => () => s.addr / P + 4);
      dmaIovaTryAlloc(r.dev, new DmaIovaState(), 0, 2 * P);
    },
  },
  {
    what: 'a table that is never given back',
    rules: ['I24'],
    ends: true,
    run(r) {
      const which = Array.from({ length: 512 }, (_, i) => i);
      const { s } = linked(r, 512, which);
      patch(r.dev.domain!, 'sync', (sync) => (gather: IotlbGather) => {
        const kept = gather.freeHead;
        sync(gather);
        if (kept !== 0) r.dev.counters[3]!++;
      });
      dmaIovaDestroy(r.dev, s, 512 * P, 0, 0);
    },
  },
  {
    what: 'a page freed while it is linked',
    rules: ['I15', 'I25'],
    run(r) {
      r.memory.freePagesBlock(linked(r, 4, [0]).pfn, 2);
    },
  },
  {
    what: 'a page freed while it is mapped without IOMMU',
    rules: ['I25'],
    mode: 'none',
    run(r) {
      const pfn = allocated(r, 0);
      dmaMapPhys(r.dev, pfn * P, P, 0, 0);
      r.memory.freePagesBlock(pfn, 0);
    },
  },
  {
    what: 'a page freed before its slot was invalidated',
    rules: ['I25'],
    run(r) {
      const { s, pfn } = linked(r, 4, [0]);
      patch(r.dev.domain!, 'sync', () => () => {});
      dmaIovaUnlink(r.dev, s, 0, P, 0, 0);
      r.memory.freePagesBlock(pfn, 2);
    },
  },
  {
    what: 'a link into a state that try_alloc refused to fill',
    rules: ['I26'],
    mode: 'none',
    run(r) {
      const s = new DmaIovaState();
      dmaIovaTryAlloc(r.dev, s, 0, P);
      dmaIovaLink(r.dev, s, allocated(r, 0) * P, 0, P, 0, 0);
    },
  },
  {
    what: 'an unmap of the error value',
    rules: ['I26'],
    run(r) {
      dmaUnmapPhys(r.dev, DMA_MAPPING_ERROR, P, 0, DMA_ATTR_SKIP_CPU_SYNC);
    },
  },
  {
    what: 'an unlink that covers a link that failed',
    rules: ['I6', 'I26', 'I29'],
    run(r) {
      const { s, pfn } = linked(r, 1024, [0]);
      r.machine.faultInjection.failNth('iommu.alloc_table', 1);
      dmaIovaLink(r.dev, s, (pfn + 512) * P, 512 * P, P, 0, 0);
      dmaIovaUnlink(r.dev, s, 0, 513 * P, 0, 0);
    },
  },
  {
    what: 'a link whose error a lower layer lost',
    rules: ['I26'],
    run(r) {
      patch(r.dev.domain!, 'mapRange', () => () => 0);
      const { s, pfn } = linked(r, 4, []);
      dmaIovaLink(r.dev, s, pfn * P, 0, P, 0, 0);
    },
  },
  {
    what: 'a device released with a reservation and a mapping',
    rules: ['I27'],
    ends: true,
    run(r) {
      linked(r, 4, []);
      dmaMapPhys(r.dev, allocated(r, 0) * P, P, 0, 0);
    },
  },
  {
    what: 'two write mappings of one cache line on a device that does not snoop',
    rules: ['I28'],
    mode: 'none',
    device: { coherent: false },
    run(r) {
      const pfn = allocated(r, 0);
      dmaMapPhys(r.dev, pfn * P, 32, 2, 0);
      dmaMapPhys(r.dev, pfn * P + 32, 32, 2, 0);
    },
  },
  {
    what: 'an unmap that clears less than it was asked to',
    rules: ['I29'],
    run(r) {
      const { s } = linked(r, 4, [0, 1]);
      patch(r.dev.domain!, 'unmapRange', (unmap) => (page, pages, gather) => unmap(page, pages - 1, gather));
      dmaIovaUnlink(r.dev, s, 0, 2 * P, 0, 0);
    },
  },
  {
    what: 'a sync that leaves the reservation',
    rules: ['I30'],
    run(r) {
      dmaIovaSync(r.dev, linked(r, 4, [0]).s, 0, 5 * P);
    },
  },
  {
    what: 'an access to a link that the sync left out',
    rules: ['I30'],
    run(r) {
      const { s, pfn } = linked(r, 4, []);
      dmaIovaLink(r.dev, s, pfn * P, 0, 2 * P, 0, 0);
      dmaIovaSync(r.dev, s, 0, P);
      r.dev.readTag(s.addr + P);
    },
  },
];

/** CVE-2026-31735 in small: the unmap clears a 2 MiB leaf, the invalidation covers a part of it. */
function staleAccess(r: Rig): void {
  const domain = r.dev.domain!;
  const pfn = allocated(r, 9);
  domain.mapRange(512, pfn, 512, IOMMU_READ | IOMMU_WRITE);
  r.dev.readTag(1000 * P);
  const gather = new IotlbGather();
  domain.unmapRange(512, 256, gather);
  gather.endPage = 512 + 256;
  domain.sync(gather);
  r.dev.readTag(1000 * P);
}

function race(r: Rig): void {
  const { s, pfn } = linked(r, 4, []);
  const mapper = function* (): Task<void> {
    dmaIovaLink(r.dev, s, pfn * P, 0, P, 0, 0);
    yield { kind: 'point', name: 'between link and sync' };
    dmaIovaSync(r.dev, s, 0, P);
  };
  const unmapper = function* (): Task<void> {
    dmaIovaUnlink(r.dev, s, 0, P, 0, 0);
    yield { kind: 'point', name: 'done' };
  };
  r.machine.spawn(mapper(), 'mapper');
  r.machine.spawn(unmapper(), 'unmapper');
  r.machine.drain();
}
