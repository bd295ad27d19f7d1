import { describe, expect, test } from 'vitest';
import { invoke } from '../src/invoke.ts';
import * as mock from '../src/uapi/iommufd-test.ts';
import { attached, type Attached } from './sim-device.ts';

const IOVA = 0x2000000;

function mapped(): Attached {
  const t = attached({ driver: 'mock' });
  t.ioas.map({ memory: t.arena.memory, offsetBytes: t.arena.offsetOf(0), lengthBytes: 8 * 4096, iova: IOVA });
  return t;
}

const address = (t: Attached, page: number): bigint =>
  t.arena.memory.address + BigInt(t.arena.offsetOf(page));

describe('the mock device', () => {
  test('checks what is mapped, and how often it is pinned', () => {
    using t = mapped();
    const check = (uptr: bigint): number =>
      invoke(t.sys, t.iommufd.fd, mock.TEST_CHECK_MAP, {
        op: mock.IOMMU_TEST_OP_MD_CHECK_MAP,
        id: t.mock.hwptId,
        iova: IOVA,
        length: 8 * 4096,
        uptr,
      }).result;
    expect([check(address(t, 0)), check(address(t, 1)), check(8n)]).toEqual([0, -22, -22]);
    const refs = (count: number): number =>
      invoke(t.sys, t.iommufd.fd, mock.TEST_CHECK_REFS, {
        op: mock.IOMMU_TEST_OP_MD_CHECK_REFS,
        length: 8 * 4096,
        uptr: address(t, 0),
        refs: count,
      }).result;
    expect([refs(1), refs(2)]).toEqual([0, -5]);
    t.ioas.map({
      memory: t.arena.memory,
      offsetBytes: t.arena.offsetOf(0),
      lengthBytes: 8 * 4096,
      iova: IOVA * 2,
    });
    expect(refs(2)).toBe(0);
  });

  test('records writes: each dirty page is reported once, with the bits that were asked for', () => {
    using t = mapped();
    const hwpt = t.ioas.allocHwpt({ id: t.mock.deviceId }, { dirtyTracking: true });
    hwpt.dirty.enable();
    const scratch = t.sys.mmap({ lengthBytes: 4096 });
    if (typeof scratch === 'number') throw new Error('mmap');
    scratch.bytes[0] = 0b101;
    const { out } = invoke(t.sys, t.iommufd.fd, mock.TEST_DIRTY, {
      op: mock.IOMMU_TEST_OP_DIRTY,
      id: hwpt.id,
      iova: IOVA,
      length: 8 * 4096,
      page_size: 2048,
      uptr: scratch.address,
    });
    expect(out.out_nr_dirty).toBe(2n);
    expect(hwpt.dirty.read(IOVA, 8 * 4096, 2048, true)).toEqual([0, 2]);
    expect(hwpt.dirty.read(IOVA, 8 * 4096, 4096)).toEqual([0, 1]);
    expect(hwpt.dirty.read(IOVA, 8 * 4096, 2048)).toEqual([]);
    hwpt.dirty.enable(false);
    expect(() => t.ioas.allocHwpt({ id: t.mock.deviceId }).dirty).toThrow('without dirtyTracking');
  });

  test('sends page requests to the queue of its page table, which are answered by cookie', async () => {
    using t = mapped();
    const queue = t.iommufd.allocFaultQueue();
    const hwpt = t.ioas.allocHwpt({ id: t.mock.deviceId }, { faultQueue: queue });
    const replaced = invoke(t.sys, t.iommufd.fd, mock.TEST_MOCK_DOMAIN_REPLACE, {
      op: mock.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
      id: t.mock.stdevId,
      pt_id: hwpt.id,
    });
    expect(replaced.out.pt_id).toBe(hwpt.id);
    for (const addr of [0x1000n, 0x2000n])
      invoke(t.sys, t.iommufd.fd, mock.TEST_TRIGGER_IOPF, {
        op: mock.IOMMU_TEST_OP_TRIGGER_IOPF,
        dev_id: t.mock.deviceId,
        grpid: 7,
        perm: 1,
        addr,
      });
    expect(await queue.wait(1000)).toBe(true);
    const requests = queue.read();
    expect(requests.map(({ addr, grpid, dev_id }) => [addr, grpid, dev_id])).toEqual([
      [0x1000n, 7, t.mock.deviceId],
      [0x2000n, 7, t.mock.deviceId],
    ]);
    for (const { cookie } of requests) queue.respond(cookie, true);
    expect(() => queue.respond(requests[0]!.cookie, true)).toThrow('EINVAL');
    expect([queue.read(), await queue.wait(1)]).toEqual([[], false]);
    // Leaving the page table releases the queue; the selftest's device is destroyed by its own object.
    invoke(t.sys, t.iommufd.fd, mock.TEST_MOCK_DOMAIN_REPLACE, {
      op: mock.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
      id: t.mock.stdevId,
      pt_id: t.ioas.id,
    });
  });

  test('an access pins pages without a domain, and lets go when they are unmapped', () => {
    using t = attached({ driver: 'mock', memlockBytes: 100 * 4096 });
    const ioas = t.iommufd.allocIoas();
    const memory = t.arena.memory;
    ioas.map({ memory, offsetBytes: t.arena.offsetOf(0), lengthBytes: 8 * 4096, iova: IOVA });
    const { out } = invoke(t.sys, t.iommufd.fd, mock.TEST_CREATE_ACCESS, {
      op: mock.IOMMU_TEST_OP_CREATE_ACCESS,
      id: ioas.id,
      flags: mock.MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
    });
    expect(ioas.ranges().alignmentBytes).toBe(4096);
    const pin = (iova: number, length: number): number =>
      invoke(t.sys, t.iommufd.fd, mock.TEST_ACCESS_PAGES, {
        op: mock.IOMMU_TEST_OP_ACCESS_PAGES,
        id: out.out_access_fd,
        iova,
        length,
      }).result;
    expect([pin(IOVA, 4 * 4096), pin(IOVA + 2 * 4096, 4096), pin(0, 4096)]).toEqual([0, 0, -2]);
    expect(t.sys.memlock.lockedPages).toBe(4);
    const dropped = invoke(t.sys, t.iommufd.fd, mock.TEST_DESTROY_ACCESS_PAGES, {
      op: mock.IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
      id: out.out_access_fd,
      access_pages_id: 0,
    });
    expect([dropped.result, t.sys.memlock.lockedPages]).toEqual([0, 1]);
    expect(ioas.unmap(IOVA, 8 * 4096)).toBe(8 * 4096);
    expect(t.sys.memlock.lockedPages).toBe(0);
    t.sys.close(out.out_access_fd);
    expect(ioas.ranges().alignmentBytes).toBe(1);
  });
});
