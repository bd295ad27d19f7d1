import { DMA_IOVA_UNLINK } from '@gpusvm/dma-iova';
import { MIGRATE } from '@gpusvm/hmm';
import { EBUSY, KERNEL_PROFILES, type KernelProfileName } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { drmPagemapEvictToRam } from '../src/evict-to-ram.ts';
import { type FakeDevmem, type FakeGpu, Host } from './fake-gpu.ts';

function onDevice(profile: ConstructorParameters<typeof Host>[0]): {
  host: Host;
  gpu: FakeGpu;
  devmem: FakeDevmem;
} {
  const host = new Host(profile);
  const gpu = host.gpu();
  host.mmap(512, 4, [512, 513, 514, 515]);
  const devmem = gpu.alloc(4)!;
  expect(host.run(gpu.migrate(512, 516, {}, devmem))).toBe(0);
  return { host, gpu, devmem };
}

test.each([
  ['linux-7.2', ['setup', 'pages', 'finalize', 'unlink']],
  ['linux-7.3', ['setup', 'unlink', 'pages', 'finalize']],
] as const)('%s undoes the mapping of a CPU fault in this order', (profile, order) => {
  const { host } = onDevice({ profile: profile satisfies KernelProfileName });
  const seen: string[] = [];
  host.machine.trace.on(MIGRATE, (event) => seen.push(event.phase));
  host.machine.trace.on(DMA_IOVA_UNLINK, () => seen.push('unlink'));
  expect(host.run(host.mm.cpuRead(512))).toBe(612);
  expect(seen).toEqual(order);
});

/** A CPU fault moves everything to RAM, but somebody holds the first device page across its last put. */
function moveWithStrayReference(profile: ConstructorParameters<typeof Host>[0]): ReturnType<
  typeof onDevice
> & {
  head: number;
} {
  const scene = onDevice(profile);
  const { host, gpu } = scene;
  const head = host.mm.pfnAt(512);
  const stop = host.machine.trace.on(MIGRATE, (event) => {
    if (event.phase === 'pages') host.folios.get(head);
  });
  expect(host.run(host.mm.cpuRead(513))).toBe(613);
  stop();
  gpu.copies.length = 0;
  return { ...scene, head };
}

test('a device page that moved already is not migrated again while somebody still holds it', () => {
  const { host, gpu, devmem, head } = moveWithStrayReference({});
  expect(host.run(drmPagemapEvictToRam(devmem))).toBe(-EBUSY);
  expect(gpu.copies).toEqual([]);
  expect(devmem.detached.isDone).toBe(false);
  host.folios.put(head);
  expect([devmem.detached.isDone, devmem.released]).toEqual([true, true]);
  host.tearDown();
  expect(host.machine.ledger.live()).toEqual([]);
});

test('a kernel without retired folios copies it a second time', () => {
  const base = KERNEL_PROFILES['linux-7.3'];
  const profile = { ...base, pagemap: { ...base.pagemap, retiredFolios: false } };
  const { host, gpu, devmem } = moveWithStrayReference({ profile });
  host.run(drmPagemapEvictToRam(devmem));
  expect(gpu.copies.length).toBeGreaterThan(0);
});

test('a page that is handed out again is no longer retired', () => {
  const { host, gpu, devmem } = onDevice({});
  expect(host.run(drmPagemapEvictToRam(devmem))).toBe(0);
  const again = gpu.alloc(4)!;
  expect(host.run(gpu.migrate(512, 516, {}, again))).toBe(0);
  expect(gpu.pagemap.isRetired(host.mm.pfnAt(512))).toBe(false);
  expect(host.run(drmPagemapEvictToRam(again))).toBe(0);
  expect(host.mm.devicePages).toBe(0);
  host.tearDown();
  expect(host.machine.ledger.live()).toEqual([]);
});
