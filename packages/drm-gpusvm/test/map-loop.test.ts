import { MAP_STRATEGIES, mapStrategy, PagemapAddrs, type MapStrategyName } from '@gpusvm/drm-pagemap';
import { HMM_PFN_VALID, HMM_PFN_WRITE, HmmPfns } from '@gpusvm/hmm';
import { EAGAIN, EFAULT, EOPNOTSUPP, type Errno, errnoName } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import { type DrmGpusvm, type DrmGpusvmCtx, drmGpusvmInit, DrmGpusvmPages } from '../src/index.ts';
import { mapPages } from '../src/map-loop.ts';
import { unmapPagesLocked } from '../src/unmap-pages.ts';
import { CTX, Host, type HostOptions, readThrough, Vram } from './support/host.ts';

/** What a page can be: RAM; two allocations of our device; a peer; foreign zone-device memory; a page without data. */
const KINDS = ['system', 'own', 'own2', 'peer', 'foreign', 'nodata'] as const;
type Kind = (typeof KINDS)[number];

interface Rig {
  readonly host: Host;
  readonly own: Vram;
  readonly peer: Vram;
  readonly gpusvm: DrmGpusvm;
  readonly pages: DrmGpusvmPages;
  map(pfns: HmmPfns, npages: number, ctx?: Partial<DrmGpusvmCtx>): Errno;
  unmap(): void;
}

function rig(o: HostOptions = {}): Rig {
  const host = new Host(o);
  const own = new Vram(host, 'own');
  const peer = new Vram(host, 'peer');
  const simple = { mm: null, startPage: 0, pages: 0, notifierPages: 0, ops: null, chunkPages: [] };
  const gpusvm = drmGpusvmInit(host.machine, { name: 'svm', ...simple });
  const pages = new DrmGpusvmPages(host.device, mapStrategy(host.strategyName));
  return {
    host,
    own,
    peer,
    gpusvm,
    pages,
    map(pfns, npages, ctx = {}) {
      pages.addrs = new PagemapAddrs(npages);
      gpusvm.reserveSystemPages(npages);
      return mapPages(gpusvm, pages, host.folios, pfns, npages, { ...CTX, ...ctx });
    },
    unmap: () => unmapPagesLocked(gpusvm, pages),
  };
}

/** Every device leaf, reservation and pagemap reference that belongs to the pages object is gone. */
function expectUnmapped({ host, own, peer, pages }: Rig): void {
  expect(host.mappings).toEqual([]);
  expect(own.dpagemap.ref.describe()).not.toContain('gpusvm pages');
  expect(peer.dpagemap.ref.describe()).not.toContain('gpusvm pages');
  expect(pages.dpagemap).toBeNull();
  expect(pages.flags).toEqual({ unmapped: false, hasDevmemPages: false, hasDmaMapping: false });
  expect([pages.npages, pages.systemEntries, pages.state.active]).toEqual([0, 0, false]);
}

/** The table of the specification, page by page. */
function oracle(kinds: readonly Kind[], ctx: DrmGpusvmCtx): Errno {
  let pagemap = '';
  let zdd = '';
  for (const [i, kind] of kinds.entries()) {
    if (kind === 'system') {
      if (pagemap !== '' && !ctx.allowMixed) return -EOPNOTSUPP;
      if (ctx.devmemOnly) return -EFAULT;
      zdd = '';
      continue;
    }
    if (kind === 'nodata') return -EAGAIN;
    if (kind === 'foreign') return -EOPNOTSUPP;
    if (!ctx.allowMixed && i > 0 && kind !== zdd) return -EOPNOTSUPP;
    const provider = kind === 'peer' ? 'peer' : 'own';
    if (pagemap !== '' && pagemap !== provider) return -EOPNOTSUPP;
    pagemap = provider;
    zdd = kind;
  }
  return 0;
}

const NOTHING_MAPPED = { flags: [false, false], dpagemap: null, devices: 0, usesIova: false, entries: [] };

/** What is mapped; a system entry by what the device reads through it. */
function summary({ host, own, peer, pages }: Rig): unknown {
  const { addrs, flags, state, dpagemap } = pages;
  return {
    flags: [flags.hasDevmemPages, flags.hasDmaMapping],
    dpagemap: dpagemap?.name ?? null,
    devices: own.mapped + peer.mapped,
    // Only a system page in front lets the strategy try an IOVA reservation (cliff L4).
    usesIova: state.usesIova,
    entries: Array.from({ length: addrs.count }, (_, j) => [
      addrs.proto[j] === 0 ? host.device.readTag(addrs.addr[j]!) : 'device',
      addrs.order[j],
      addrs.dir[j],
    ]),
  };
}

function expectedSummary({ own, peer }: Rig, kinds: readonly Kind[]): unknown {
  const devices = kinds.filter((kind) => kind !== 'system');
  const provider = devices.includes('peer') ? peer : own;
  return {
    flags: [devices.length > 0, true],
    dpagemap: devices.length > 0 ? provider.dpagemap.name : null,
    devices: devices.length,
    usesIova: kinds[0] === 'system',
    entries: kinds.map((kind, j) => [kind === 'system' ? 50 + j : 'device', 0, 0]),
  };
}

describe('mapPages', () => {
  it('accepts and refuses every mixture of three pages as the table says, and leaves nothing of a refused one', () => {
    const r = rig();
    const { host, own, peer, pages } = r;
    const ram = [0, 1, 2].map((i) => {
      const pfn = host.memory.allocPages(0);
      host.memory.writeTag(pfn, 50 + i);
      return pfn;
    });
    const zdds = {
      own: own.newZdd(),
      own2: own.newZdd(),
      peer: peer.newZdd(),
      foreign: { not: 'ours' },
      nodata: null,
    };
    let offset = 0;
    const folio = (kind: Exclude<Kind, 'system'>): number =>
      (kind === 'peer' ? peer : own).folio(offset++, 0, zdds[kind]);
    const devicePfns = new Map(
      (['own', 'own2', 'peer', 'foreign', 'nodata'] as const).map((kind) => [
        kind,
        [0, 1, 2].map(() => folio(kind)),
      ]),
    );
    const pfns = new HmmPfns(3);
    pfns.flags.fill(HMM_PFN_VALID | HMM_PFN_WRITE);
    const results = new Map<string, number>();
    for (const a of KINDS) {
      for (const b of KINDS) {
        for (const c of KINDS) {
          const kinds = [a, b, c];
          kinds.forEach((kind, i) => {
            pfns.pfn[i] = kind === 'system' ? ram[i]! : devicePfns.get(kind)![i]!;
          });
          for (const allowMixed of [false, true]) {
            for (const devmemOnly of [false, true]) {
              const ctx = { ...CTX, allowMixed, devmemOnly };
              const expected = oracle(kinds, ctx);
              const err = r.map(pfns, 3, ctx);
              expect([kinds, ctx, errnoName(err)]).toEqual([kinds, ctx, errnoName(expected)]);
              results.set(errnoName(err), (results.get(errnoName(err)) ?? 0) + 1);
              expect(summary(r)).toEqual(err === 0 ? expectedSummary(r, kinds) : NOTHING_MAPPED);
              r.unmap();
              r.unmap();
              expectUnmapped(r);
            }
          }
        }
      }
    }
    expect([...results.keys()].sort()).toEqual(['-EAGAIN', '-EFAULT', '-EOPNOTSUPP', '0']);
    expect(pages.addrs.count).toBe(0);
    for (const pfn of ram) host.memory.freePagesBlock(pfn, 0);
    own.tearDown();
    peer.tearDown();
    expect(host.tearDown()).toEqual([]);
  });

  it.each(MAP_STRATEGIES)(
    'maps orders 0, 4 and 9 and a huge mapping entered in its middle: %s',
    (strategy: MapStrategyName) => {
      for (const [order, offset] of [
        [0, 0],
        [4, 0],
        [9, 0],
        [9, 5],
        [4, 3],
      ] as const) {
        const r = rig({ strategy });
        const { host, pages } = r;
        const base = host.memory.allocPages(10);
        for (let i = 0; i < 1024; i++) host.memory.writeTag(base + i, i);
        const pfns = new HmmPfns(512);
        for (let i = 0; i < 512; i++) {
          pfns.pfn[i] = base + offset + i;
          pfns.flags[i] = HMM_PFN_VALID | HMM_PFN_WRITE | (order << 8);
        }
        expect(r.map(pfns, 512)).toBe(0);
        const { addrs } = pages;
        let sum = 0;
        for (let j = 0; j < addrs.count; j++) sum += 1 << addrs.order[j]!;
        expect(sum).toBe(512);
        expect(addrs.count).toBe(order === 0 ? 512 : offset === 0 ? 512 >> order : addrs.count);
        expect(readThrough(host.device, addrs)).toEqual(Array.from({ length: 512 }, (_, i) => offset + i));
        r.unmap();
        expectUnmapped(r);
        host.memory.freePagesBlock(base, 10);
        r.own.tearDown();
        r.peer.tearDown();
        expect(host.tearDown()).toEqual([]);
      }
    },
  );

  it('gives dense entries whose address does not follow from their number when orders differ (RFC3-4)', () => {
    const r = rig();
    const { host, own } = r;
    const block = host.memory.allocPages(4);
    for (let i = 0; i < 16; i++) host.memory.writeTag(block + i, 10 + i);
    const zdd = own.newZdd();
    const device = own.folio(16, 4, zdd);
    const pfns = new HmmPfns(48);
    const put = (at: number, n: number, pfn: number, order: number): void => {
      for (let i = 0; i < n; i++) {
        pfns.pfn[at + i] = pfn + i;
        pfns.flags[at + i] = HMM_PFN_VALID | HMM_PFN_WRITE | (order << 8);
      }
    };
    put(0, 16, block, 4);
    put(16, 16, device, 4);
    put(32, 16, block, 0);
    expect(r.map(pfns, 48, { allowMixed: true })).toBe(0);
    const { addrs } = r.pages;
    expect(addrs.count).toBe(18);
    expect([...addrs.proto.subarray(0, 18)]).toEqual([0, 1, ...Array.from({ length: 16 }, () => 0)]);
    expect(readThrough(host.device, { addr: addrs.addr, order: addrs.order, count: 1 })).toEqual(
      Array.from({ length: 16 }, (_, i) => 10 + i),
    );
    for (let j = 2; j < 18; j++) expect(host.device.readTag(addrs.addr[j]!)).toBe(10 + j - 2);
    // Device pages take no address space: packed.
    expect(r.pages.state.offsetBytes).toBe(32 * 4096);
    r.unmap();
    expectUnmapped(r);
    host.memory.freePagesBlock(block, 4);
    own.tearDown();
    r.peer.tearDown();
    expect(host.tearDown()).toEqual([]);
  });

  it.each<[MapStrategyName, 'strict' | 'none']>([
    ...MAP_STRATEGIES.filter((name) => name !== 'iova-holes-one-destroy').map(
      (name): [MapStrategyName, 'strict'] => [name, 'strict'],
    ),
    ['iova-packed', 'none'],
  ])('leaves nothing when the k-th of anything fails: %s, IOMMU %s', (strategy, iommu) => {
    let failures = 0;
    for (let k = 1; ; k++) {
      const r = rig({ strategy, iommu });
      const { host, own } = r;
      const ram = Array.from({ length: 4 }, () => host.memory.allocPages(0));
      const zdd = own.newZdd();
      const vram = [0, 1, 2].map((i) => own.folio(i, 0, zdd));
      const pfns = new HmmPfns(7);
      [ram[0]!, vram[0]!, ram[1]!, ram[2]!, vram[1]!, vram[2]!, ram[3]!].forEach((pfn, i) => {
        pfns.pfn[i] = pfn;
        pfns.flags[i] = HMM_PFN_VALID | HMM_PFN_WRITE;
      });
      const before = host.machine.faultInjection.sites().reduce((sum, site) => sum + site.failures, 0);
      host.machine.faultInjection.failAnyNth(k);
      const err = r.map(pfns, 7, { allowMixed: true });
      host.machine.faultInjection.reset();
      const failed =
        host.machine.faultInjection.sites().reduce((sum, site) => sum + site.failures, 0) > before;
      failures += err === 0 ? 0 : 1;
      expect([host.mappings.length > 0, r.pages.flags.hasDmaMapping]).toEqual([err === 0, err === 0]);
      // Nothing is left of a failed try that would be in the way of the next one.
      expect(err === 0 ? 0 : r.map(pfns, 7, { allowMixed: true })).toBe(0);
      expect(r.pages.addrs.count).toBe(7);
      r.unmap();
      expectUnmapped(r);
      for (const pfn of ram) host.memory.freePagesBlock(pfn, 0);
      own.tearDown();
      r.peer.tearDown();
      expect(host.tearDown()).toEqual([]);
      if (!failed) break;
    }
    expect(failures).toBeGreaterThan(2);
  });

  it('leaks what lies behind a hole with the strategy that destroys across holes, and the ledger says so', () => {
    const r = rig({ strategy: 'iova-holes-one-destroy' });
    const { host, own } = r;
    const ram = [host.memory.allocPages(0), host.memory.allocPages(0)];
    const pfns = new HmmPfns(3);
    pfns.flags.fill(HMM_PFN_VALID | HMM_PFN_WRITE);
    [ram[0]!, own.folio(0, 0, own.newZdd()), ram[1]!].forEach((pfn, i) => {
      pfns.pfn[i] = pfn;
    });
    expect(r.map(pfns, 3, { allowMixed: true })).toBe(0);
    r.unmap();
    expect(host.mappings).toEqual([expect.stringContaining('io page table leaf 1')]);
  });

  it('maps for reading with TO_DEVICE, so that the device cannot write', () => {
    const r = rig();
    const pfn = r.host.memory.allocPages(0);
    const pfns = new HmmPfns(1);
    pfns.pfn[0] = pfn;
    pfns.flags[0] = HMM_PFN_VALID;
    expect(r.map(pfns, 1, { readOnly: true })).toBe(0);
    expect(r.pages.addrs.dir[0]).toBe(1);
    expect(r.host.device.readTag(r.pages.addrs.addr[0]!)).toBe(0);
    expect(r.host.device.writeTag(r.pages.addrs.addr[0]!, 9)).toBe(false);
    r.unmap();
    expectUnmapped(r);
  });

  it('refuses a driver that gives a device page a system address', () => {
    const r = rig();
    const { own } = r;
    const pfn = own.folio(0, 0, own.newZdd());
    const { ops } = own.dpagemap;
    const original = ops.deviceMap.bind(ops);
    ops.deviceMap = (dpagemap, dev, p, order, dir, out, i) => {
      original(dpagemap, dev, p, order, dir, out, i);
      out.proto[i] = 0;
    };
    const pfns = new HmmPfns(1);
    pfns.pfn[0] = pfn;
    pfns.flags[0] = HMM_PFN_VALID;
    expect(() => r.map(pfns, 1)).toThrow('returned a system address');
  });
});
