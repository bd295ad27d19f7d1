import { DmaDevice } from '@gpusvm/dma-iova';
import { EFAULT, ENOMEM, EOPNOTSUPP, type Errno, random } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  type DrmGpusvmCtx,
  drmGpusvmRangeEvict,
  drmGpusvmScanMm,
  DrmGpusvmScanResult,
  GPUSVM_RANGE_EVICT,
  type RangeEvictEvent,
} from '../src/index.ts';
import { Driver, type DriverRange } from './support/driver.ts';
import { FakeGpu } from './support/fake-gpu.ts';
import { Host, type HostOptions } from './support/host.ts';

interface Rig {
  readonly host: Host;
  readonly gpu: FakeGpu;
  readonly peer: FakeGpu;
  readonly driver: Driver;
  readonly range: DriverRange;
  /** Parameters of a driver that has device memory. */
  readonly own: Partial<DrmGpusvmCtx>;
  tearDown(): string[];
}

/** A range of 16 written pages; our GPU and a peer of the same owner. */
function setUp(o: HostOptions = {}): Rig {
  const host = new Host(o);
  const owner = {};
  const gpu = new FakeGpu(host, owner);
  const peer = new FakeGpu(
    host,
    owner,
    new DmaDevice(host.machine, host.memory, { name: 'peer', iommu: 'strict' }),
  );
  const driver = new Driver(host, { chunkPages: [16, 1], deviceTag: (addr) => gpu.vram[addr / 4096]! });
  host.mmap(
    0,
    64,
    Array.from({ length: 16 }, (_, i) => 16 + i),
  );
  const own = { devicePrivatePageOwner: owner, devmemPossible: true };
  const range = host.run(driver.findOrInsert(20, own)) as DriverRange;
  return {
    host,
    gpu,
    peer,
    driver,
    range,
    own,
    tearDown() {
      host.run(driver.fini());
      host.run(host.mm.exit());
      host.machine.drain();
      gpu.tearDown();
      peer.tearDown();
      return host.tearDown();
    },
  };
}

const protos = ({ range }: Rig): number[] => [
  ...range.pages.addrs.proto.subarray(0, range.pages.addrs.count),
];

describe.each(['linux-7.3', 'linux-7.2'] as const)('device memory under %s', (profile) => {
  it('is bound by its device addresses, and comes back when the CPU looks', () => {
    const rig = setUp({ profile });
    const { host, gpu, driver, range, own } = rig;
    expect(host.run(gpu.migrate(16, 32))).toBe(0);
    expect(host.run(driver.fault(20, own))).toBe(0);
    expect(range.pages.flags).toEqual({ unmapped: false, hasDevmemPages: true, hasDmaMapping: true });
    expect(range.pages.dpagemap).toBe(gpu.dpagemap);
    expect(protos(rig)).toEqual(Array.from({ length: 16 }, () => 1));
    expect([driver.read(16), driver.read(31)]).toEqual([116, 131]);
    expect(gpu.mapped).toBe(16);
    expect(host.run(host.mm.cpuRead(20))).toBe(120);
    expect(gpu.mapped).toBe(0);
    expect(range.pages.dpagemap).toBeNull();
    expect(driver.table.size).toBe(0);
    expect(driver.events.map(({ event }) => event)).toContain('MIGRATE');
    expect(host.run(driver.fault(20, own))).toBe(0);
    expect(driver.read(31)).toBe(131);
    expect(rig.tearDown()).toEqual([]);
  });

  it('goes back to system memory for a caller that owns none', () => {
    const rig = setUp({ profile });
    const { host, gpu, driver } = rig;
    host.run(gpu.migrate(16, 32));
    expect(host.run(driver.fault(20))).toBe(0);
    expect(protos(rig)).toEqual(Array.from({ length: 16 }, () => 0));
    expect(host.mm.devicePages).toBe(0);
    expect([driver.read(16), driver.read(31)]).toEqual([116, 131]);
    expect(rig.tearDown()).toEqual([]);
  });

  it('is refused beside system pages, evicted, and then bound from system memory', () => {
    const rig = setUp({ profile });
    const { host, gpu, driver, range, own } = rig;
    host.run(gpu.migrate(24, 32));
    expect(host.run(driver.getPages(range, own))).toBe(-EOPNOTSUPP);
    expect(host.mappings).toEqual([]);
    expect(host.run(driver.fault(20, own))).toBe(0);
    expect(host.mm.devicePages).toBe(0);
    expect(driver.read(31)).toBe(131);
    expect(rig.tearDown()).toEqual([]);
  });

  it('is mixed with system pages where that is allowed, whoever comes first (G11)', () => {
    for (const [from, iova] of [
      [24, true],
      [16, false],
    ] as const) {
      const rig = setUp({ profile });
      const { host, gpu, driver, range, own } = rig;
      host.run(gpu.migrate(from, from + 8));
      expect(host.run(driver.fault(20, { ...own, allowMixed: true }))).toBe(0);
      expect(protos(rig).filter((proto) => proto === 1)).toHaveLength(8);
      expect(range.pages.systemEntries).toBe(8);
      expect(range.pages.state.usesIova).toBe(iova);
      for (let page = 16; page < 32; page++) expect(driver.read(page)).toBe(100 + page);
      expect(rig.tearDown()).toEqual([]);
    }
  });

  it('of a peer is used through the peer, but not together with our own', () => {
    const rig = setUp({ profile });
    const { host, gpu, peer, driver, range, own } = rig;
    host.run(peer.migrate(16, 32));
    expect(host.run(driver.getPages(range, own))).toBe(0);
    expect(protos(rig)).toEqual(Array.from({ length: 16 }, () => 2));
    expect(range.pages.dpagemap).toBe(peer.dpagemap);
    host.run(host.mm.cpuRead(16));
    host.run(drmGpusvmRangeEvict(driver.gpusvm, range));
    host.run(peer.migrate(16, 24));
    host.run(gpu.migrate(24, 32));
    expect(host.run(driver.getPages(range, { ...own, allowMixed: true }))).toBe(-EOPNOTSUPP);
    expect([gpu.mapped, peer.mapped]).toEqual([0, 0]);
    expect(rig.tearDown()).toEqual([]);
  });

  it('of 2 MiB is one entry of order 9, and one system page beside it makes many', () => {
    const host = new Host({ profile });
    const owner = {};
    const gpu = new FakeGpu(host, owner);
    const driver = new Driver(host, { deviceTag: (addr) => gpu.vram[addr / 4096]! });
    host.mmap(512, 512, [600, 1000], { hugepage: true });
    const own = { devicePrivatePageOwner: owner, devmemPossible: true };
    const range = host.run(driver.findOrInsert(600, own)) as DriverRange;
    expect(host.run(driver.fault(600, own))).toBe(0);
    expect([range.pages.addrs.count, range.pages.addrs.order[0], range.pages.systemEntries]).toEqual([
      1, 9, 1,
    ]);
    expect([driver.read(600), driver.read(601), driver.read(1000)]).toEqual([700, 0, 1100]);
    host.run(gpu.migrate(512, 1024));
    expect(driver.table.size).toBe(0);
    expect(host.run(driver.fault(600, own))).toBe(0);
    expect([range.pages.addrs.count, range.pages.addrs.order[0], range.pages.systemEntries]).toEqual([
      1, 9, 0,
    ]);
    expect([driver.read(600), driver.read(601), driver.read(1000)]).toEqual([700, 0, 1100]);
    host.run(host.mm.madviseDontneed(513, 1));
    expect(host.run(driver.fault(600, { ...own, allowMixed: true }))).toBe(0);
    const { addrs } = range.pages;
    let pages = 0;
    for (let j = 0; j < addrs.count; j++) pages += 1 << addrs.order[j]!;
    expect(pages).toBe(512);
    expect(addrs.count).toBeGreaterThan(1);
    expect([driver.read(513), driver.read(600), driver.read(1000)]).toEqual([0, 700, 1100]);
    host.run(driver.fini());
    host.run(host.mm.exit());
    gpu.tearDown();
    expect(host.tearDown()).toEqual([]);
  });

  it('is scanned as what it is', () => {
    const rig = setUp({ profile });
    const { host, gpu, peer, driver, range, own } = rig;
    const owner = own.devicePrivatePageOwner!;
    const scan = (): DrmGpusvmScanResult => host.run(drmGpusvmScanMm(range, owner, gpu.devPagemap));
    const { equal, other, system, mixed, mixedDevice, unpopulated } = DrmGpusvmScanResult;
    expect(scan()).toBe(system);
    host.run(gpu.migrate(16, 24));
    expect(scan()).toBe(mixed);
    expect(host.run(drmGpusvmScanMm(range, null, gpu.devPagemap))).toBe(unpopulated);
    expect(host.mm.devicePages).toBe(8);
    host.run(gpu.migrate(24, 32));
    expect(scan()).toBe(equal);
    host.run(drmGpusvmRangeEvict(driver.gpusvm, range));
    host.run(peer.migrate(16, 32));
    expect(scan()).toBe(other);
    host.run(drmGpusvmRangeEvict(driver.gpusvm, range));
    host.run(peer.migrate(16, 24));
    host.run(gpu.migrate(24, 32));
    expect(scan()).toBe(mixedDevice);
    expect(rig.tearDown()).toEqual([]);
  });
});

describe.each(['linux-7.3', 'linux-7.2'] as const)('drmGpusvmRangeEvict of %s', (profile) => {
  it('brings every page back with its content, invalidating what the GPU has', () => {
    const rig = setUp({ profile });
    const { host, gpu, driver, range, own } = rig;
    const events: RangeEvictEvent[] = [];
    host.machine.trace.on(GPUSVM_RANGE_EVICT, (event) => events.push(event));
    host.run(gpu.migrate(16, 32));
    host.run(driver.fault(20, own));
    for (let page = 16; page < 32; page++) gpu.vram[driver.table.get(page)!.addr / 4096] = 200 + page;
    expect(host.run(drmGpusvmRangeEvict(driver.gpusvm, range))).toBe(0);
    expect(host.mm.devicePages).toBe(0);
    expect(driver.table.size).toBe(0);
    for (let page = 16; page < 32; page++) expect(host.mm.tryReadTag(page)).toBe(200 + page);
    expect(events).toEqual([{ gpusvm: 'svm', startPage: 16, endPage: 32, err: 0 }]);
    expect(rig.tearDown()).toEqual([]);
  });

  it('gives the mm back when it has no memory (G4), and fails for a dying one', () => {
    const rig = setUp({ profile });
    const { host, driver, range } = rig;
    host.machine.faultInjection.failNth('gpusvm.alloc_pfns', 1);
    expect(host.run(drmGpusvmRangeEvict(driver.gpusvm, range))).toBe(-ENOMEM);
    expect(host.mm.users).toBe(1);
    host.run(host.mm.exit());
    expect(host.run(drmGpusvmRangeEvict(driver.gpusvm, range))).toBe(-EFAULT);
    expect(host.live('gpusvm pfn array')).toEqual([]);
  });
});

describe('random interleavings with migrations', () => {
  it('keep GPU and CPU at one mind about every page', () => {
    const results = new Set<Errno>();
    for (let seed = 1; seed <= 40; seed++) {
      const rig = setUp({ seed, scheduling: random() });
      const { host, gpu, driver, own } = rig;
      const { mm, machine } = host;
      const calls = [
        machine.spawn(driver.fault(20, own, 8), 'gpu 1'),
        machine.spawn(gpu.migrate(16, 32), 'migrate'),
        machine.spawn(driver.fault(28, { ...own, allowMixed: true }, 8), 'gpu 2'),
      ];
      machine.spawn(mm.cpuRead(18), 'cpu read');
      machine.spawn(mm.cpuWrite(30, 5), 'cpu write');
      machine.spawn(mm.madviseDontneed(24, 2), 'cpu zap');
      machine.drain();
      for (const { result } of calls) results.add(result!);
      const gpuSees = new Map([...driver.table.keys()].map((page) => [page, driver.read(page)]));
      // Reading by the CPU moves device pages, so it comes last.
      for (const [page, tag] of gpuSees) expect([page, host.run(mm.cpuRead(page))]).toEqual([page, tag]);
      expect(host.run(mm.cpuRead(30))).toBe(5);
      expect(host.run(mm.cpuRead(16))).toBe(116);
      expect(rig.tearDown()).toEqual([]);
    }
    expect(results.has(0)).toBe(true);
  });
});
