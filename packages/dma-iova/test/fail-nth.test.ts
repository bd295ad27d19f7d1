import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  DMA_ATTR_FORCE_CONTIGUOUS,
  DMA_ATTR_MMIO,
  DMA_BIDIRECTIONAL,
  DMA_FROM_DEVICE,
  DMA_MAPPING_ERROR,
  DmaDevice,
  type DmaDeviceOptions,
  dmaAllocCoherent,
  dmaFreeCoherent,
  dmaIovaDestroy,
  dmaIovaDestroyHoles,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaIovaUnlinkRuns,
  dmaMapPhys,
  dmaMapResource,
  dmaMapSg,
  dmaUnmapPhys,
  dmaUnmapResource,
  dmaUnmapSg,
  PeerMemory,
  ScatterList,
  TagMemory,
} from '../src/index.ts';

const PAGE = 4096;
const PFN = 1024;
const BAR = 2 ** 40;

/** Run to the end or to the first failure, and undo everything in both cases. */
type Scenario = (dev: DmaDevice, gpu: PeerMemory) => void;

/** As a driver does it: on failure destroy what is mapped. */
function linkAll(dev: DmaDevice, pieces: readonly (readonly [phys: number, bytes: number])[]): void {
  const state = new DmaIovaState();
  const total = pieces.reduce((sum, [, bytes]) => sum + bytes, 0);
  if (!dmaIovaTryAlloc(dev, state, pieces[0]![0], total)) return;
  let mapped = 0;
  for (const [phys, bytes] of pieces) {
    if (dmaIovaLink(dev, state, phys, mapped, bytes, DMA_BIDIRECTIONAL, 0) !== 0) break;
    mapped += bytes;
  }
  dmaIovaSync(dev, state, 0, mapped);
  dmaIovaDestroy(dev, state, mapped, DMA_BIDIRECTIONAL, 0);
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'classic mappings of several sizes': (dev) => {
    const sizes = [PAGE, 100, 3 * PAGE, 40 * PAGE, 512 * PAGE, PAGE];
    const addrs = sizes.map((size, i) =>
      dmaMapPhys(dev, (PFN + i) * PAGE + (i % 2) * 8, size, DMA_BIDIRECTIONAL, 0),
    );
    addrs.forEach((addr, i) => {
      if (addr !== DMA_MAPPING_ERROR) dmaUnmapPhys(dev, addr, sizes[i]!, DMA_BIDIRECTIONAL, 0);
    });
  },
  'MMIO of a peer': (dev) => {
    const addr = dmaMapResource(dev, BAR + 5 * PAGE, 700 * PAGE, DMA_BIDIRECTIONAL, 0);
    if (addr !== DMA_MAPPING_ERROR) dmaUnmapResource(dev, addr, 700 * PAGE, DMA_BIDIRECTIONAL, 0);
  },
  'a scatter list with gaps, offsets and peer memory': (dev, gpu) => {
    const sg = new ScatterList(6);
    sg.push(PFN * PAGE, PAGE);
    sg.push((PFN + 700) * PAGE, 3 * PAGE);
    sg.push(BAR, 2 * PAGE, gpu);
    sg.push((PFN + 9) * PAGE + 100, 20);
    sg.push(BAR + 9 * PAGE, PAGE, gpu);
    sg.push((PFN + 512) * PAGE, 512 * PAGE);
    if (dmaMapSg(dev, sg, DMA_FROM_DEVICE, 0) > 0) dmaUnmapSg(dev, sg, DMA_FROM_DEVICE, 0);
  },
  'coherent memory, scattered and contiguous': (dev) => {
    for (const attrs of [0, DMA_ATTR_FORCE_CONTIGUOUS]) {
      const buffer = dmaAllocCoherent(dev, 600 * PAGE, attrs);
      if (buffer !== null) dmaFreeCoherent(dev, buffer);
    }
  },
  'two steps over table borders': (dev) => {
    linkAll(dev, [
      [PFN * PAGE, 320 * PAGE],
      [(PFN + 400) * PAGE, 320 * PAGE],
      [PFN * PAGE + dev.granuleBytes, 704 * PAGE],
    ]);
  },
  'two steps with a head and a tail that are bounced': (dev) => {
    const g = dev.granuleBytes;
    linkAll(dev, [[PFN * PAGE + g - 100, 100 + 5 * g + 33]]);
    linkAll(dev, [[PFN * PAGE + 50, 20]]);
    linkAll(dev, [
      [PFN * PAGE + g - 7, 7],
      [PFN * PAGE + 2 * g, g],
      [PFN * PAGE + 7 * g, 99],
    ]);
  },
  'links with holes, destroyed as a whole': (dev) => {
    const g = dev.granuleBytes;
    const state = new DmaIovaState();
    if (!dmaIovaTryAlloc(dev, state, 0, 1500 * g)) return;
    for (const slot of [3, 4, 600, 1100, 1499]) {
      if (dmaIovaLink(dev, state, PFN * PAGE + (slot % 7) * g, slot * g, g, DMA_BIDIRECTIONAL, 0) !== 0)
        break;
    }
    dmaIovaDestroyHoles(dev, state, DMA_BIDIRECTIONAL, 0);
  },
  'runs, unlinked with one invalidation': (dev) => {
    const g = dev.granuleBytes;
    const state = new DmaIovaState();
    if (!dmaIovaTryAlloc(dev, state, 0, 1200 * g)) return;
    const offsets = Float64Array.from([0, 40, 700, 1100], (slot) => slot * g);
    const sizes = Float64Array.from([2, 1, 30, 100], (slots) => slots * g);
    let done = 0;
    while (
      done < 4 &&
      dmaIovaLink(dev, state, PFN * PAGE, offsets[done]!, sizes[done]!, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO) ===
        0
    )
      done++;
    dmaIovaUnlinkRuns(dev, state, offsets, sizes, done, DMA_BIDIRECTIONAL, DMA_ATTR_MMIO);
    dmaIovaFree(dev, state);
  },
  'HMM: link and sync a page, unlink a page': (dev) => {
    const g = dev.granuleBytes;
    const state = new DmaIovaState();
    if (!dmaIovaTryAlloc(dev, state, 0, 600 * g)) return;
    const linked: number[] = [];
    for (let i = 0; i < 600; i += 37) {
      if (dmaIovaLink(dev, state, PFN * PAGE + (i % 5) * g, i * g, g, DMA_BIDIRECTIONAL, 0) === 0) {
        dmaIovaSync(dev, state, i * g, g);
        linked.push(i);
      }
    }
    for (const i of linked) dmaIovaUnlink(dev, state, i * g, g, DMA_BIDIRECTIONAL, 0);
    dmaIovaFree(dev, state);
  },
};

const DEVICES: readonly Partial<DmaDeviceOptions>[] = [
  { iommu: 'none' },
  { iommu: 'none', coherent: false, kmallocAlignBytes: 64 },
  { iommu: 'swiotlb' },
  { iommu: 'strict' },
  { iommu: 'strict', coherent: false },
  { iommu: 'strict', untrusted: true },
  { iommu: 'strict', ioPageTable: 'amdv1', forcedac: true, cachingMode: true },
  { iommu: 'strict', ioPageTable: 'arm-lpae-16k', untrusted: true, coherent: false },
  { iommu: 'strict', ioPageTable: 'arm-lpae-64k', iovaAllocator: 'segment-tree' },
  { iommu: 'lazy' },
  { iommu: 'lazy', untrusted: true, iovaAllocator: 'segment-tree' },
];

function rig(options: Partial<DmaDeviceOptions>) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 5120 });
  memory.claimPages(PFN, 10);
  memory.claimPages(PFN + 1024, 10);
  for (let i = 0; i < 2048; i++) memory.writeTag(PFN + i, 1000 + i);
  const dev = new DmaDevice(machine, memory, { name: 'dut', iommu: 'none', ...options });
  const gpu = new PeerMemory({ name: 'gpu', physBytes: BAR, pages: 1024, upstreamBridge: 'sw' });
  dev.connectPeer(gpu);
  return { machine, memory, dev, gpu };
}

/** What is left after everything was undone. */
const CLEAN = { mapped: 0, tags: true, warnings: 0, live: [], free: 5119 };

/** Run with the k-th allocation failing (0 = none); what is left is compared. Returns how many were asked for. */
function runOnce(options: Partial<DmaDeviceOptions>, scenario: Scenario, k: number): number {
  const { machine, memory, dev, gpu } = rig(options);
  machine.faultInjection.failAnyNth(k);
  scenario(dev, gpu);
  machine.faultInjection.reset();
  const asked = machine.faultInjection.sites().reduce((sum, site) => sum + site.calls, 0);
  // Everything works again afterwards.
  scenario(dev, gpu);
  const mapped = dev.domain?.mappedPages ?? 0;
  dev.destroy();
  let tags = true;
  for (let i = 0; i < 2048; i++) tags &&= memory.readTag(PFN + i) === 1000 + i;
  memory.freePagesBlock(PFN, 10);
  memory.freePagesBlock(PFN + 1024, 10);
  const left = {
    mapped,
    tags,
    warnings: machine.warnings,
    live: machine.ledger.live(),
    free: memory.freePages,
  };
  if (JSON.stringify(left) !== JSON.stringify(CLEAN))
    throw new Error(`k = ${k}: ${JSON.stringify(left)} is left`);
  return asked;
}

describe('failure of the k-th allocation, for every k, leaves nothing behind and no data changed', () => {
  for (const options of DEVICES) {
    for (const [name, scenario] of Object.entries(SCENARIOS)) {
      it(`${name}, ${JSON.stringify(options)}`, () => {
        const asked = runOnce(options, scenario, 0);
        for (let k = 1; k <= asked + 1; k++) expect(runOnce(options, scenario, k)).toBeGreaterThanOrEqual(0);
      });
    }
  }
});
