import {
  DMA_ATTR_MMIO,
  DMA_IOVA_LINK,
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
  IOMMU_MAP,
  type TagMemory,
} from '@gpusvm/dma-iova';
import { ENOMEM } from '@gpusvm/kernel';
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
const calls = fc.array(fc.tuple(fc.nat(12), small, small, small), { minLength: 4, maxLength: 24 });

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
    else if (kind === 9 && b & 1) dev.writeTag(s.addr + c * 4096, 1);
    else if (kind === 9) dev.readTag(mapped[a & 1]!);
    else row(dev, s, { pfn, from: a >> 1, disturbed: b, how: c, dir: (a & 1) as DmaDataDirection }, memory);
  }
}

interface Row {
  readonly pfn: number;
  readonly from: number;
  /** After how many links, and what. */
  readonly disturbed: number;
  readonly how: number;
  readonly dir: DmaDataDirection;
}

/** Links of one page each in a row, which something comes between. */
function row(dev: DmaDevice, s: DmaIovaState, r: Row, memory: TagMemory): void {
  const link = (state: DmaIovaState, page: number, pfn: number, dir = r.dir): number =>
    dmaIovaLink(dev, state, pfn * 4096, page * 4096, 4096, dir, 0);
  const freed = memory.allocPages(0);
  memory.freePagesBlock(freed, 0);
  if (s.size === 0) dmaIovaTryAlloc(dev, s, 0, 10 * 4096);
  for (let i = 0; i < 6; i++) {
    const page = r.from + i;
    const pfn = r.pfn + ((page * 7) & 15);
    if (i === r.disturbed % 6) {
      if (r.how === 0) dev.domain?.mapRange(s.addr / 4096 + page, pfn, 1, 3);
      else if (r.how === 1) link(s, page, pfn, 2);
      else if (r.how === 2) link(s, page - 1, pfn);
      else if (r.how === 3) link(Object.assign(new DmaIovaState(), s), page, pfn);
      else if (r.how === 4) dev.writeTag(s.addr + (page - 1) * 4096, 1);
      else if (r.how === 5) link(s, page, memory.totalPages - 1);
      else if (r.how === 6) link(s, page, freed);
      else if (r.how === 7) dmaIovaSync(dev, s, 0, page * 4096);
      else if (r.how === 8) dmaIovaUnlink(dev, s, (page - 1) * 4096, 4096, r.dir, 0);
      else dmaMapPhys(dev, pfn * 4096, 4096, r.dir, 0);
    }
    link(s, page, pfn);
  }
}

it.each(quick.MODES)('the quick answers for plain calls are those of the rules, in mode %s', (mode) => {
  fc.assert(
    fc.property(calls, (program) => {
      const [one, all] = [quick, thorough].map(({ rig }) => {
        const r = rig(mode, mode === 'strict' ? { ioPageTable: 'amdv1' } : {});
        careless(r.dev, r.memory, program);
        r.sanitizer.releaseDevice(r.dev);
        return r.sanitizer
          .finish()
          .map((report) => `${report.rule} ${report.range!.addrBytes} ${report.message}`);
      });
      expect(one).toEqual(all);
    }),
    { numRuns: 400 },
  );
});

/** In which the page table's event and the call that follows it do not agree, as with a layer that has a bug. */
const LIES = [
  'page',
  'frame',
  'direction',
  'state',
  'size',
  'error',
  'attributes',
  'no call',
  'occupied',
  'freed',
] as const;

it.each(LIES)('a row of links that the page table contradicts is as without a row: %s', (lie) => {
  for (const at of [1, 2, 3]) {
    const [one, all] = [quick, thorough].map(({ rig }) => {
      const { dev, machine, memory, sanitizer } = rig('strict');
      const s = new DmaIovaState();
      const pfn = memory.allocPages(4);
      const map = machine.trace.point(IOMMU_MAP);
      const link = machine.trace.point(DMA_IOVA_LINK);
      dmaIovaTryAlloc(dev, s, 0, 8 * 4096);
      const other = Object.assign(new DmaIovaState(), s);
      const freed = memory.allocPages(0);
      memory.freePagesBlock(freed, 0);
      if (lie === 'occupied') dmaIovaLink(dev, s, (pfn + 2 * at) * 4096, at * 4096, 4096, 0, 0);
      for (let i = 0; i < 5; i++) {
        if (i !== at) {
          dmaIovaLink(dev, s, (pfn + 2 * i) * 4096, i * 4096, 4096, 0, 0);
          continue;
        }
        if (lie === 'freed') {
          dmaIovaLink(dev, s, freed * 4096, i * 4096, 4096, 0, 0);
          continue;
        }
        map.emit('gpu0', s.addr / 4096 + i, pfn + 2 * i, 1, 7);
        if (lie === 'no call') continue;
        link.emit(
          dev,
          lie === 'state' ? other : s,
          (pfn + 2 * i + (lie === 'frame' ? 1 : 0)) * 4096,
          (lie === 'page' ? i + 1 : i) * 4096,
          lie === 'size' ? 8192 : 4096,
          lie === 'direction' ? 1 : 0,
          lie === 'attributes' ? DMA_ATTR_MMIO : 0,
          lie === 'error' ? -ENOMEM : 0,
        );
      }
      dmaIovaSync(dev, s, 0, 8 * 4096);
      dmaIovaUnlink(dev, s, 0, 5 * 4096, 0, 0);
      sanitizer.releaseDevice(dev);
      return sanitizer
        .finish()
        .map((report) => `${report.rule} ${report.range!.addrBytes} ${report.message}`);
    });
    expect(one).toEqual(all);
    expect(one!.length).toBeGreaterThan(0);
  }
});
