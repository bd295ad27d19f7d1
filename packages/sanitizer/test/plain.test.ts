import {
  type DmaDataDirection,
  type DmaDevice,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaUnmapPhys,
  type TagMemory,
} from '@gpusvm/dma-iova';
import fc from 'fast-check';
import { afterAll, expect, it, vi } from 'vitest';

/** The sanitizer as it is, and one that asks every rule about every call. */
const quick = await import('./rig.ts');
vi.resetModules();
vi.doMock('../src/quick.ts', () => ({ QUICK: false }));
const thorough = await import('./rig.ts');
afterAll(() => vi.doUnmock('../src/quick.ts'));

type Call = readonly [kind: number, a: number, b: number, c: number];
const small = fc.nat(9);
const calls = fc.array(fc.tuple(fc.nat(9), small, small, small), { minLength: 4, maxLength: 24 });

/** Calls without any care: most of them break a rule, and each is made on the layer as it is. */
function careless(dev: DmaDevice, memory: TagMemory, program: readonly Call[]): void {
  const states = [new DmaIovaState(), new DmaIovaState()];
  const pfn = memory.allocPages(4);
  const mapped = [0, 0];
  for (const [kind, a, b, c] of program) {
    const s = states[a & 1]!;
    const dir = (c % 3) as DmaDataDirection;
    if (kind === 0) dmaIovaTryAlloc(dev, s, 0, (1 + b) * 4096);
    else if (kind <= 2) dmaIovaLink(dev, s, (pfn + b) * 4096, b * 4096, (1 + (c & 3)) * 4096, dir, 0);
    else if (kind === 3) dmaIovaSync(dev, s, 0, (1 + b) * 4096);
    else if (kind === 4) dmaIovaUnlink(dev, s, b * 4096, (1 + c) * 4096, dir, 0);
    else if (kind === 5) dmaIovaFree(dev, s);
    else if (kind === 6) dmaIovaDestroy(dev, s, b * 4096, dir, 0);
    else if (kind === 7) mapped[a & 1] = dmaMapPhys(dev, (pfn + b) * 4096, (1 + (c & 3)) * 4096, dir, 0);
    else if (kind === 8) dmaUnmapPhys(dev, mapped[a & 1]!, (1 + (c & 3)) * 4096, dir, 0);
    else if (b & 1) dev.writeTag(s.addr + c * 4096, 1);
    else dev.readTag(mapped[a & 1]!);
  }
}

it.each(quick.MODES)('the quick answers for plain calls are those of the rules, in mode %s', (mode) => {
  fc.assert(
    fc.property(calls, (program) => {
      const [one, all] = [quick, thorough].map(({ rig }) => {
        const r = rig(mode, mode === 'strict' ? { ioPageTable: 'amdv1' } : {});
        careless(r.dev, r.memory, program);
        r.sanitizer.releaseDevice(r.dev);
        return r.sanitizer.finish().map((report) => `${report.rule} ${report.range!.addrBytes}`);
      });
      expect(one).toEqual(all);
    }),
    { numRuns: 400 },
  );
});
