import { EBUSY, EINVAL, EMSGSIZE, ENOENT, EOPNOTSUPP, EOVERFLOW, EPERM, type Errno } from '@gpusvm/kernel';
import * as uapi from '../uapi/iommufd.ts';
import { decode, encoded, sizeOf } from '../uapi/layout.ts';
import { dropAccesses } from './sim-access.ts';
import type { SimSlice } from './sim-area.ts';
import type { SimContext } from './sim-context.ts';
import type { SimRange } from './sim-driver.ts';
import { SimIoas, U64_MAX } from './sim-ioas.ts';
import type { SimCallEntry, SimFields, SimIoasObject } from './sim-objects.ts';
import { SimPages } from './sim-pages.ts';

/*
 * Calls on address spaces (drivers/iommu/iommufd/ioas.c and main.c). Checks stand in the order of the kernel's:
 * that order decides which errno a doubly wrong call gets.
 */

/** @internal Flags of a map. */
export const MAP_FLAGS: number =
  uapi.IOMMU_IOAS_MAP_FIXED_IOVA | uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE;
/** @internal What a device may do: one of them is needed. */
export const MAP_RW: number = uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE;

/** The part of main.c's table that is about address spaces. */
export const SIM_IOAS_CALLS: readonly SimCallEntry[] = [
  { call: uapi.IOMMU_DESTROY, run: destroy },
  { call: uapi.IOMMU_IOAS_ALLOC, run: ioasAlloc },
  { call: uapi.IOMMU_IOAS_ALLOW_IOVAS, run: allowIovas },
  { call: uapi.IOMMU_IOAS_COPY, run: copy },
  { call: uapi.IOMMU_IOAS_IOVA_RANGES, run: iovaRanges },
  { call: uapi.IOMMU_IOAS_MAP, run: map },
  { call: uapi.IOMMU_IOAS_UNMAP, run: unmap },
  { call: uapi.IOMMU_OPTION, run: option },
];

/** The fields are numbers or bigints by their type in the table. */
const num = (value: number | bigint | undefined): number => Number(value);
const big = (value: number | bigint | undefined): bigint => BigInt(value ?? 0);

function destroy(ctx: SimContext, f: SimFields): Errno {
  const object = ctx.objects.get(num(f['id']));
  const err = ctx.objects.remove(num(f['id']));
  if (err === 0 && object !== null) ctx.destroy(object);
  return err;
}

function ioasAlloc(ctx: SimContext, f: SimFields): Errno {
  if (f['flags'] !== 0) return -EOPNOTSUPP;
  const ioas = new SimIoas();
  const object: SimIoasObject = { kind: 'ioas', id: ctx.objects.nextId(), users: 0, ioas, hwpts: [] };
  ioas.onUnmap = (area) => dropAccesses(ctx, object, area);
  ctx.objects.add(object);
  f['out_ioas_id'] = object.id;
  return 0;
}

function allowIovas(ctx: SimContext, f: SimFields): Errno {
  if (f['__reserved'] !== 0) return -EOPNOTSUPP;
  const ioas = ctx.objects.find(num(f['ioas_id']), 'ioas');
  if (ioas === null) return -ENOENT;
  const ranges: SimRange[] = [];
  const size = sizeOf(uapi.IOMMU_IOVA_RANGE);
  for (let i = 0; i < num(f['num_iovas']); i++) {
    const bytes = ctx.host.space.copyFromUser(big(f['allowed_iovas']) + BigInt(i * size), size);
    if (typeof bytes === 'number') return bytes;
    const { start, last } = decode(uapi.IOMMU_IOVA_RANGE, bytes);
    if (start >= last || ranges.some((r) => r.start <= last && r.last >= start)) return -EINVAL;
    ranges.push({ start, last });
  }
  ranges.sort((a, b) => (a.start < b.start ? -1 : 1));
  return ioas.ioas.allow(ranges);
}

function iovaRanges(ctx: SimContext, f: SimFields): Errno {
  if (f['__reserved'] !== 0) return -EOPNOTSUPP;
  const ioas = ctx.objects.find(num(f['ioas_id']), 'ioas');
  if (ioas === null) return -ENOENT;
  const room = num(f['num_iovas']);
  const ranges = ioas.ioas.freeRanges();
  const size = sizeOf(uapi.IOMMU_IOVA_RANGE);
  for (const [i, { start, last }] of ranges.slice(0, room).entries()) {
    const bytes = encoded(uapi.IOMMU_IOVA_RANGE, { start, last });
    const err = ctx.host.space.copyToUser(big(f['allowed_iovas']) + BigInt(i * size), bytes);
    if (err !== 0) return err;
  }
  f['num_iovas'] = ranges.length;
  f['out_iova_alignment'] = ioas.ioas.alignment;
  return ranges.length > room ? -EMSGSIZE : 0;
}

function map(ctx: SimContext, f: SimFields): Errno {
  const flags = num(f['flags']);
  if ((flags & ~MAP_FLAGS) !== 0 || f['__reserved'] !== 0) return -EOPNOTSUPP;
  const length = big(f['length']);
  if (f['iova'] === U64_MAX || length === U64_MAX) return -EOVERFLOW;
  if ((flags & MAP_RW) === 0) return -EINVAL;
  const ioas = ctx.objects.find(num(f['ioas_id']), 'ioas');
  if (ioas === null) return -ENOENT;
  const address = big(f['user_va']);
  if (address + length > U64_MAX) return -EOVERFLOW;
  if (length === 0n || length > U64_MAX - 4096n) return -EINVAL;
  const writable = (flags & uapi.IOMMU_IOAS_MAP_WRITEABLE) !== 0;
  const { space, memlock } = ctx.host;
  const pages = new SimPages(space, memlock, address, length, writable);
  return place(ioas, f, 'iova', [{ pages, startByte: address - pages.start, length }]);
}

/** @internal Map slices by the flags of the structure; the address goes into its field. */
export function place(ioas: SimIoasObject, f: SimFields, field: string, slices: readonly SimSlice[]): Errno {
  const flags = num(f['flags']);
  const fixed = (flags & uapi.IOMMU_IOAS_MAP_FIXED_IOVA) !== 0 ? big(f[field]) : null;
  const readable = (flags & uapi.IOMMU_IOAS_MAP_READABLE) !== 0;
  const writable = (flags & uapi.IOMMU_IOAS_MAP_WRITEABLE) !== 0;
  const iova = ioas.ioas.map(slices, fixed, readable, writable);
  if (typeof iova === 'number') return iova;
  f[field] = iova;
  return 0;
}

function copy(ctx: SimContext, f: SimFields): Errno {
  const flags = num(f['flags']);
  if ((flags & ~MAP_FLAGS) !== 0) return -EOPNOTSUPP;
  if ([f['length'], f['src_iova'], f['dst_iova']].includes(U64_MAX)) return -EOVERFLOW;
  if ((flags & MAP_RW) === 0) return -EINVAL;
  const source = ctx.objects.find(num(f['src_ioas_id']), 'ioas');
  if (source === null) return -ENOENT;
  const slices = source.ioas.slices(big(f['src_iova']), big(f['length']));
  if (typeof slices === 'number') return slices;
  const target = ctx.objects.find(num(f['dst_ioas_id']), 'ioas');
  if (target === null) return -ENOENT;
  return place(target, f, 'dst_iova', slices);
}

function unmap(ctx: SimContext, f: SimFields): Errno {
  const ioas = ctx.objects.find(num(f['ioas_id']), 'ioas');
  if (ioas === null) return -ENOENT;
  const iova = big(f['iova']);
  const length = big(f['length']);
  if (iova === 0n && length === U64_MAX) {
    const all = ioas.ioas.unmap(0n, U64_MAX);
    if (typeof all === 'number') return all;
    f['length'] = all;
    return 0;
  }
  if (iova === U64_MAX || length === U64_MAX) return -EOVERFLOW;
  if (length === 0n) return -EINVAL;
  if (iova + length - 1n > U64_MAX) return -EOVERFLOW;
  const unmapped = ioas.ioas.unmap(iova, iova + length - 1n);
  if (typeof unmapped === 'number') return unmapped;
  if (unmapped === 0n) return -ENOENT;
  f['length'] = unmapped;
  return 0;
}

function option(ctx: SimContext, f: SimFields): Errno {
  if (f['__reserved'] !== 0) return -EOPNOTSUPP;
  if (f['option_id'] === uapi.IOMMU_OPTION_RLIMIT_MODE) return rlimitMode(ctx, f);
  if (f['option_id'] !== uapi.IOMMU_OPTION_HUGE_PAGES) return -EOPNOTSUPP;
  const ioas = ctx.objects.find(num(f['object_id']), 'ioas');
  if (ioas === null) return -ENOENT;
  if (f['op'] === uapi.IOMMU_OPTION_OP_GET) {
    f['val64'] = ioas.ioas.hugePages ? 1n : 0n;
    return 0;
  }
  if (f['op'] !== uapi.IOMMU_OPTION_OP_SET) return -EOPNOTSUPP;
  if (f['val64'] !== 0n && f['val64'] !== 1n) return -EINVAL;
  return ioas.ioas.setHugePages(f['val64'] === 1n);
}

function rlimitMode(ctx: SimContext, f: SimFields): Errno {
  if (f['object_id'] !== 0) return -EOPNOTSUPP;
  if (f['op'] === uapi.IOMMU_OPTION_OP_GET) {
    f['val64'] = ctx.perProcessAccounting ? 1n : 0n;
    return 0;
  }
  if (f['op'] !== uapi.IOMMU_OPTION_OP_SET) return -EOPNOTSUPP;
  if (!ctx.host.privileged) return -EPERM;
  if (!ctx.objects.isEmpty) return -EBUSY;
  if (f['val64'] !== 0n && f['val64'] !== 1n) return -EINVAL;
  ctx.perProcessAccounting = f['val64'] === 1n;
  return 0;
}
