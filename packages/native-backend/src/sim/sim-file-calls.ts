import { EINVAL, ENODEV, ENOENT, EOPNOTSUPP, EOVERFLOW, type Errno } from '@gpusvm/kernel';
import { EBADF } from '../errno.ts';
import * as uapi from '../uapi/iommufd.ts';
import * as file from '../uapi/iommufd-file.ts';
import type { SimContext } from './sim-context.ts';
import { U64_MAX } from './sim-ioas.ts';
import { MAP_FLAGS, MAP_RW, place } from './sim-ioas-calls.ts';
import { SimMemfd } from './sim-memfd.ts';
import type { SimCallEntry, SimFields } from './sim-objects.ts';
import { SimPages } from './sim-pages.ts';

/* Mappings of files, and whose memory they count as (drivers/iommu/iommufd/ioas.c, vfio_compat.c). */

/** The part of main.c's table that is about files, the VFIO container and systems without an IOMMU. */
export const SIM_FILE_CALLS: readonly SimCallEntry[] = [
  { call: file.IOMMU_IOAS_MAP_FILE, since: '7.3', run: mapFile },
  { call: file.IOMMU_IOAS_CHANGE_PROCESS, since: '7.3', run: changeProcess },
  { call: file.IOMMU_VFIO_IOAS, run: vfioIoas },
  // Without CONFIG_IOMMUFD_NOIOMMU.
  { call: file.IOMMU_IOAS_NOIOMMU_GET_PA, since: '7.3', run: () => -EOPNOTSUPP },
];

function mapFile(ctx: SimContext, f: SimFields): Errno {
  const flags = Number(f['flags']);
  if ((flags & ~MAP_FLAGS) !== 0) return -EOPNOTSUPP;
  const length = BigInt(f['length']!);
  if (f['iova'] === U64_MAX || length === U64_MAX) return -EOVERFLOW;
  if ((flags & MAP_RW) === 0) return -EINVAL;
  const ioas = ctx.objects.find(Number(f['ioas_id']), 'ioas');
  if (ioas === null) return -ENOENT;
  const start = BigInt(f['start']!);
  if (length === 0n) return -EINVAL;
  if (start + length - 1n > U64_MAX) return -EOVERFLOW;
  const target = ctx.host.fileOf(Number(f['fd']));
  if (target === null) return -EBADF;
  const writable = (flags & uapi.IOMMU_IOAS_MAP_WRITEABLE) !== 0;
  const memory = target instanceof SimMemfd ? target.region : null;
  const pages = new SimPages(ctx.host.space, ctx.host.memlock, start, length, writable, { memory });
  return place(ioas, f, 'iova', [{ pages, startByte: start - pages.start, length }]);
}

/** Every mapping has to be one of a file: other memory belongs to the process that mapped it. */
function changeProcess(ctx: SimContext, f: SimFields): Errno {
  if (f['__reserved'] !== 0) return -EOPNOTSUPP;
  for (const object of ctx.objects.all()) {
    if (object.kind === 'ioas' && object.ioas.areas.some(({ pages }) => !pages.isFile)) return -EINVAL;
  }
  return 0;
}

function vfioIoas(ctx: SimContext, f: SimFields): Errno {
  if (f['__reserved'] !== 0) return -EOPNOTSUPP;
  if (f['op'] === file.IOMMU_VFIO_IOAS_GET) {
    if (ctx.vfioIoas === null) return -ENODEV;
    f['ioas_id'] = ctx.vfioIoas.id;
    return 0;
  }
  if (f['op'] === file.IOMMU_VFIO_IOAS_SET) {
    const ioas = ctx.objects.find(Number(f['ioas_id']), 'ioas');
    if (ioas === null) return -ENOENT;
    ctx.vfioIoas = ioas;
    return 0;
  }
  if (f['op'] !== file.IOMMU_VFIO_IOAS_CLEAR) return -EOPNOTSUPP;
  ctx.vfioIoas = null;
  return 0;
}
