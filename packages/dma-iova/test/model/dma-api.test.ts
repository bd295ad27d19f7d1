import { Machine } from '@gpusvm/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { same } from '../../src/contract/index.ts';
import {
  DMA_BIDIRECTIONAL,
  DMA_MAPPING_ERROR,
  DmaDevice,
  type DmaDeviceOptions,
  dmaIovaDestroy,
  dmaIovaDestroyHoles,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPage,
  dmaUnmapPage,
  TagMemory,
} from '../../src/index.ts';

const PAGE = 4096;
const PAGES = 256;
const BASE = 1024;

type End = 'unlink' | 'destroy' | 'holes' | 'per-slot';

/** One buffer: which pages at which slots, how it ends. Without an IOVA every page is mapped by itself. */
interface Program {
  readonly slots: readonly number[];
  readonly end: End;
}

class Buffer {
  readonly state = new DmaIovaState();
  readonly addrs = new Map<number, number>();
  usesIova = false;
}

function start(dev: DmaDevice, p: Program): Buffer | null {
  const buffer = new Buffer();
  const reserved = Math.max(...p.slots) + 1;
  buffer.usesIova = dmaIovaTryAlloc(dev, buffer.state, 0, reserved * PAGE);
  for (const slot of p.slots) {
    const pfn = BASE + ((slot * 37) % PAGES);
    if (buffer.usesIova) {
      const err = dmaIovaLink(dev, buffer.state, pfn * PAGE, slot * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
      if (err !== 0) {
        dmaIovaDestroyHoles(dev, buffer.state, DMA_BIDIRECTIONAL, 0);
        return null;
      }
      buffer.addrs.set(slot, buffer.state.addr + slot * PAGE);
    } else {
      const addr = dmaMapPage(dev, pfn, 0, PAGE, DMA_BIDIRECTIONAL, 0);
      if (addr === DMA_MAPPING_ERROR) {
        for (const done of buffer.addrs.values()) dmaUnmapPage(dev, done, PAGE, DMA_BIDIRECTIONAL, 0);
        return null;
      }
      buffer.addrs.set(slot, addr);
    }
  }
  if (buffer.usesIova) dmaIovaSync(dev, buffer.state, 0, reserved * PAGE);
  return buffer;
}

function finish(dev: DmaDevice, p: Program, buffer: Buffer): void {
  if (!buffer.usesIova) {
    for (const addr of buffer.addrs.values()) dmaUnmapPage(dev, addr, PAGE, DMA_BIDIRECTIONAL, 0);
    return;
  }
  const { state } = buffer;
  const dense = p.slots.length === Math.max(...p.slots) + 1;
  const end: End = dense ? p.end : p.end === 'per-slot' ? 'per-slot' : 'holes';
  if (end === 'holes') {
    const report = dmaIovaDestroyHoles(dev, state, DMA_BIDIRECTIONAL, 0);
    same([report.clearedPages, report.holes > 0], [p.slots.length, !dense], 'report of the destroy');
    return;
  }
  if (end === 'destroy') {
    dmaIovaDestroy(dev, state, state.size, DMA_BIDIRECTIONAL, 0);
    return;
  }
  if (end === 'unlink') dmaIovaUnlink(dev, state, 0, state.size, DMA_BIDIRECTIONAL, 0);
  else for (const slot of p.slots) dmaIovaUnlink(dev, state, slot * PAGE, PAGE, DMA_BIDIRECTIONAL, 0);
  dmaIovaFree(dev, state);
}

const program: fc.Arbitrary<Program> = fc.record({
  slots: fc.oneof(
    fc.uniqueArray(fc.nat(40), { minLength: 1, maxLength: 30 }),
    fc.integer({ min: 1, max: 60 }).map((n) => Array.from({ length: n }, (_, i) => i)),
  ),
  end: fc.constantFrom<End>('unlink', 'destroy', 'holes', 'per-slot'),
});

const configurations: readonly Partial<DmaDeviceOptions>[] = [
  { iommu: 'none' },
  { iommu: 'swiotlb' },
  { iommu: 'strict', ioPageTable: 'vtd' },
  { iommu: 'strict', ioPageTable: 'amdv1' },
  { iommu: 'strict', ioPageTable: 'arm-lpae', coherent: false },
  { iommu: 'strict', iovaAllocator: 'segment-tree', cachingMode: true },
  { iommu: 'lazy', ioPageTable: 'vtd' },
  { iommu: 'lazy', ioPageTable: 'amdv1', untrusted: true },
];

function setup(options: Partial<DmaDeviceOptions>) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 4096 });
  memory.claimPages(BASE, 8);
  return { machine, memory, dev: new DmaDevice(machine, memory, { name: 'dut', iommu: 'none', ...options }) };
}

describe('legal programs of the DMA API', () => {
  for (const options of configurations) {
    const name = JSON.stringify(options);
    it(`${name}: data arrives, nothing warns, nothing is left`, () => {
      fc.assert(
        fc.property(fc.array(program, { minLength: 1, maxLength: 6 }), (programs) => {
          const { machine, memory, dev } = setup(options);
          for (const p of programs) {
            const buffer = start(dev, p)!;
            for (const [slot, addr] of buffer.addrs) expect(dev.writeTag(addr, slot + 500)).toBe(true);
            finish(dev, p, buffer);
            for (const slot of p.slots) expect(memory.readTag(BASE + ((slot * 37) % PAGES))).toBe(slot + 500);
          }
          expect(machine.warnings).toBe(0);
          dev.destroy();
          memory.freePagesBlock(BASE, 8);
          expect(machine.ledger.live()).toEqual([]);
        }),
        { numRuns: 40, seed: 99 },
      );
      expect(configurations).toContain(options);
    });

    it(`${name}: a failure at the k-th allocation, for every k, leaves nothing`, () => {
      const p: Program = { slots: [0, 1, 2, 5, 600, 601], end: 'holes' };
      let failures = 0;
      for (let k = 1; k < 40; k++) {
        const { machine, memory, dev } = setup(options);
        machine.faultInjection.failAnyNth(k);
        const buffer = start(dev, p);
        machine.faultInjection.reset();
        if (buffer !== null) finish(dev, p, buffer);
        else failures++;
        expect(machine.warnings).toBe(0);
        dev.destroy();
        memory.freePagesBlock(BASE, 8);
        expect(machine.ledger.live()).toEqual([]);
      }
      expect(failures > 0).toBe(options.iommu !== 'none');
    });
  }
});
