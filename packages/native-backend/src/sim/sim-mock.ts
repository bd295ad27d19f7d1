import { EFAULT, EINVAL, EIO, ENOENT, EOPNOTSUPP, type Errno } from '@gpusvm/kernel';
import { EBADFD } from '../errno.ts';
import * as uapi from '../uapi/iommufd-test.ts';
import * as virtual from '../uapi/iommufd-test-virtual.ts';
import { decode, encode, encoded, type Layout } from '../uapi/layout.ts';
import type { SimRegion } from './address-space.ts';
import { accessPages, unpinAccess } from './sim-access.ts';
import { attach } from './sim-attach.ts';
import type { SimContext } from './sim-context.ts';
import { SIM_MOCK_VIRTUAL, type SimMockOperation } from './sim-mock-virtual.ts';
import type { SimAccessObject, SimFields, SimFile, SimHwptObject } from './sim-objects.ts';

/** By operation: the union's meaning, and what is done. After drivers/iommu/iommufd/selftest.c. */
const OPERATIONS: Readonly<Record<number, SimMockOperation>> = {
  [uapi.IOMMU_TEST_OP_MOCK_DOMAIN]: {
    layout: uapi.TEST_MOCK_DOMAIN.fields,
    run: (ctx, f) => mockDomain(ctx, f, 0),
  },
  [uapi.IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS]: {
    layout: virtual.TEST_MOCK_DOMAIN_FLAGS.fields,
    run: (ctx, f) => mockDomain(ctx, f, Number(f['dev_flags'])),
  },
  [uapi.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE]: {
    layout: uapi.TEST_MOCK_DOMAIN_REPLACE.fields,
    run: mockReplace,
  },
  [uapi.IOMMU_TEST_OP_MD_CHECK_MAP]: { layout: uapi.TEST_CHECK_MAP.fields, run: checkMap },
  [uapi.IOMMU_TEST_OP_MD_CHECK_REFS]: { layout: uapi.TEST_CHECK_REFS.fields, run: checkRefs },
  [uapi.IOMMU_TEST_OP_CREATE_ACCESS]: { layout: uapi.TEST_CREATE_ACCESS.fields, run: createAccess },
  [uapi.IOMMU_TEST_OP_ACCESS_PAGES]: { layout: uapi.TEST_ACCESS_PAGES.fields, run: pinAccess },
  [uapi.IOMMU_TEST_OP_DESTROY_ACCESS_PAGES]: {
    layout: uapi.TEST_DESTROY_ACCESS_PAGES.fields,
    run: destroyAccessPages,
  },
  [uapi.IOMMU_TEST_OP_DIRTY]: { layout: uapi.TEST_DIRTY.fields, run: dirty },
  [uapi.IOMMU_TEST_OP_TRIGGER_IOPF]: { layout: uapi.TEST_TRIGGER_IOPF.fields, run: triggerIopf },
  ...SIM_MOCK_VIRTUAL,
};

/** IOMMU_TEST_CMD. The fields come in the layout of MOCK_DOMAIN and are read again in that of the operation. */
export function mockCommand(ctx: SimContext, fields: SimFields): Errno {
  const operation = OPERATIONS[Number(fields['op'])];
  if (operation === undefined) return -EOPNOTSUPP;
  if (operation.since !== undefined && !ctx.host.kernel.virtualization) return -EOPNOTSUPP;
  const raw = encoded(uapi.TEST_MOCK_DOMAIN.fields as Layout, fields);
  const own = decode(operation.layout, raw) as SimFields;
  const result = operation.run(ctx, own);
  encode(operation.layout, own, raw);
  Object.assign(fields, decode(uapi.TEST_MOCK_DOMAIN.fields, raw));
  return result;
}

function mockDomain(ctx: SimContext, f: SimFields, flags: number): Errno {
  const { kernel } = ctx.host;
  const pasid = kernel.virtualization ? virtual.MOCK_FLAGS_DEVICE_PASID : 0;
  // 6.12 has a flag for another page table instead, which is not modelled.
  if ((flags & ~(virtual.MOCK_FLAGS_DEVICE_NO_DIRTY | pasid)) !== 0) return -EINVAL;
  // Behind a real driver the mock device gets that driver's operations and fails to attach.
  if (!ctx.host.driver.mockDevices) return -EINVAL;
  // The id is taken first; the device gets the next one.
  const id = ctx.objects.reserveId();
  const device = ctx.addDevice({
    noDirty: (flags & virtual.MOCK_FLAGS_DEVICE_NO_DIRTY) !== 0,
    pasids: (flags & pasid) === 0 ? 1 : virtual.MOCK_PASIDS,
    cache: new Uint32Array(virtual.MOCK_IOTLB_ENTRIES).fill(virtual.IOMMU_TEST_DEV_CACHE_DEFAULT),
    viommu: null,
    virtId: 0n,
    refusesNext: false,
  });
  const hwpt = attach(ctx, device, Number(f['id']));
  if (hwpt < 0) {
    ctx.removeDevice(device);
    ctx.objects.releaseId(id);
    return hwpt;
  }
  ctx.objects.add({ kind: 'selftest', id, users: 0, device });
  f['out_stdev_id'] = id;
  f['out_hwpt_id'] = hwpt;
  f['out_idev_id'] = device.id;
  return 0;
}

function mockReplace(ctx: SimContext, f: SimFields): Errno {
  const object = ctx.objects.find(Number(f['id']), 'selftest');
  if (object === null) return -ENOENT;
  const hwpt = attach(ctx, object.device, Number(f['pt_id']), 0, 'replace');
  if (hwpt < 0) return hwpt;
  f['pt_id'] = hwpt;
  return 0;
}

/** Every IO page of a range translates to the memory at a user address. */
function checkMap(ctx: SimContext, f: SimFields): Errno {
  const hwpt = mockHwpt(ctx, f);
  if (hwpt === null) return -EINVAL;
  const page = hwpt.ioPageBytes;
  const [iova, length, uptr] = [BigInt(f['iova']!), BigInt(f['length']!), BigInt(f['uptr']!)];
  if (iova % page !== 0n || length % page !== 0n || uptr % page !== 0n) return -EINVAL;
  for (let done = 0n; done < length; done += page) {
    const there = ctx.host.space.find(Number(uptr + done), Number(page));
    if (there === null) return -EFAULT;
    const area = hwpt.parent.ioas.areaAt(iova + done);
    if (area === null) return -EINVAL;
    const { region, at } = area.pages.locate(Number(area.startByte + iova + done - area.iova));
    if (!samePages(region, at, there, Number(uptr + done) - there.start)) return -EINVAL;
  }
  return 0;
}

/** Two mappings of a file may share what is at different places of theirs. */
function samePages(one: SimRegion, at: number, other: SimRegion, otherAt: number): boolean {
  const [a, b] = [one.backing, other.backing];
  return a.buffer === b.buffer && a.byteOffset + at === b.byteOffset + otherAt;
}

function checkRefs(ctx: SimContext, f: SimFields): Errno {
  const [length, uptr] = [Number(f['length']), Number(f['uptr'])];
  if (length % 4096 !== 0 || uptr % 4096 !== 0) return -EINVAL;
  for (let at = uptr; at < uptr + length; at += 4096) {
    if (ctx.host.space.find(at, 4096) === null) return -EFAULT;
    if (pinsOf(ctx, at) !== Number(f['refs'])) return -EIO;
  }
  return 0;
}

/** Pieces of user memory that hold the page at an address, over all mappings; a piece pins a page once. */
function pinsOf(ctx: SimContext, address: number): number {
  const holders = new Set<object>();
  for (const object of ctx.objects.all()) {
    if (object.kind !== 'ioas') continue;
    for (const { pages } of object.ioas.areas) {
      const page = (address - Number(pages.start)) / 4096;
      if (page >= 0 && page < pages.pages && pages.isPinned(page)) holders.add(pages);
    }
  }
  return holders.size;
}

function createAccess(ctx: SimContext, f: SimFields): Errno {
  const parent = ctx.objects.find(Number(f['id']), 'ioas');
  if ((Number(f['flags']) & ~uapi.MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES) !== 0) return -EOPNOTSUPP;
  if (parent === null) return -ENOENT;
  const pins = (Number(f['flags']) & uapi.MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES) !== 0;
  const alignment = pins ? 4096n : 1n;
  const err = parent.ioas.addAccess(alignment);
  if (err !== 0) return err;
  const access: SimAccessObject = {
    kind: 'access',
    id: ctx.objects.nextId(),
    users: 1,
    parent,
    alignment,
    items: new Map(),
    nextItem: 0,
  };
  parent.users++;
  ctx.objects.add(access);
  f['out_access_fd'] = ctx.host.installFile(new AccessFile(ctx, access));
  return 0;
}

/** The descriptor of an access; the operations name it by its number. */
class AccessFile implements SimFile {
  readonly access: SimAccessObject;
  readonly #ctx: SimContext;

  constructor(ctx: SimContext, access: SimAccessObject) {
    this.#ctx = ctx;
    this.access = access;
  }

  ioctl(): number {
    return -EINVAL;
  }

  read(): number {
    return -EINVAL;
  }

  write(): number {
    return -EINVAL;
  }

  isReadable(): boolean {
    return false;
  }

  close(): void {
    for (const item of this.access.items.keys()) unpinAccess(this.access, item);
    this.access.users = 0;
    if (this.#ctx.objects.remove(this.access.id) === 0) this.#ctx.destroy(this.access);
  }
}

function accessOf(ctx: SimContext, fd: number): SimAccessObject | null {
  const file = ctx.host.fileOf(fd);
  return file instanceof AccessFile ? file.access : null;
}

function pinAccess(ctx: SimContext, f: SimFields): Errno {
  const access = accessOf(ctx, Number(f['id']));
  if (access === null) return -EBADFD;
  if (access.alignment === 1n) return -EOPNOTSUPP;
  const range = { start: BigInt(f['iova']!), last: BigInt(f['iova']!) + BigInt(f['length']!) - 1n };
  const slices = access.parent.ioas.slices(range.start, BigInt(f['length']!));
  if (typeof slices === 'number') return slices;
  const areas = access.parent.ioas.areas.filter((a) => a.iova <= range.last && a.last >= range.start);
  for (const [i, area] of areas.entries()) {
    const err = area.pages.pin(...accessPages(area, range));
    if (err === 0) continue;
    for (const undo of areas.slice(0, i)) undo.pages.unpin(...accessPages(undo, range));
    return err;
  }
  for (const area of areas) area.accesses++;
  f['out_access_pages_id'] = access.nextItem;
  access.items.set(access.nextItem++, range);
  return 0;
}

function destroyAccessPages(ctx: SimContext, f: SimFields): Errno {
  const access = accessOf(ctx, Number(f['id']));
  return access === null ? -EBADFD : unpinAccess(access, Number(f['access_pages_id']));
}

/** Set the dirty bit of the IO pages that a bitmap names. */
function dirty(ctx: SimContext, f: SimFields): Errno {
  const [iova, length, page] = [BigInt(f['iova']!), BigInt(f['length']!), BigInt(f['page_size']!)];
  if (page === 0n || length === 0n || iova % page !== 0n || length % page !== 0n || f['uptr'] === 0n)
    return -EINVAL;
  const hwpt = mockHwpt(ctx, f);
  if (hwpt === null || !hwpt.dirtyTracking) return -EINVAL;
  const count = Number(length / page);
  const bitmap = ctx.host.space.copyFromUser(BigInt(f['uptr']!), Math.ceil(count / 8));
  if (typeof bitmap === 'number') return bitmap;
  let marked = 0n;
  for (let i = 0; i < count; i++) {
    if ((bitmap[i >> 3]! & (1 << (i & 7))) === 0) continue;
    const at = iova + BigInt(i) * page;
    if (hwpt.parent.ioas.areaAt(at) !== null) hwpt.dirty.add(at / hwpt.dirtyBytes);
    marked++;
  }
  f['out_nr_dirty'] = marked;
  return 0;
}

function triggerIopf(ctx: SimContext, f: SimFields): Errno {
  const device = ctx.objects.find(Number(f['dev_id']), 'device');
  if (device === null) return -ENOENT;
  device.hwpt?.fault?.queue.report({
    flags: 2,
    dev_id: device.id,
    pasid: Number(f['pasid']),
    grpid: Number(f['grpid']),
    perm: Number(f['perm']),
    addr: BigInt(f['addr']!),
    length: 0,
  });
  return 0;
}

function mockHwpt(ctx: SimContext, f: SimFields): SimHwptObject | null {
  return ctx.objects.find(Number(f['id']), 'hwpt');
}
