import { IOMMU_READ, IOMMU_WRITE, IotlbGather } from '@gpusvm/dma-iova';
import { ENXIO } from '@gpusvm/kernel';
import { MARKER_IOVA_BYTES } from '../trace/qemu-trace.ts';
import { hex } from './oracle-model.ts';
import type { OracleOp } from './oracle-op.ts';

const RIGHTS = IOMMU_READ | IOMMU_WRITE;

/**
 * iommu_map, iommu_unmap and markers: raw.c of the module. The model's domain counts in pages; that no page size fits an
 * unaligned map is said here. An unmap's arguments are multiples of a page.
 */
export const rawOps: Readonly<Record<string, OracleOp>> = {
  iommu_map: {
    min: 4,
    max: 4,
    call: (model, [iova, phys, size, prot]) => {
      const { domain } = model;
      if (domain === null) return 'skip';
      model.noteRange(iova!, size!);
      const isAligned = iova! % 4096 === 0 && phys! % 4096 === 0 && size! % 4096 === 0;
      const fits = isAligned || (prot! & RIGHTS) === 0;
      const err = model.withFailure(() =>
        fits ? domain.mapRange(iova! / 4096, model.phys(phys!) / 4096, size! / 4096, prot!) : -ENXIO,
      );
      if (err === 0) domain.syncMap(iova! / 4096, size! / 4096);
      return String(err);
    },
  },
  iommu_unmap: {
    min: 2,
    max: 2,
    call: (model, [iova, size]) => {
      const { domain } = model;
      if (domain === null) return 'skip';
      const gather = new IotlbGather();
      const pages = domain.unmapRange(iova! / 4096, size! / 4096, gather);
      domain.sync(gather);
      return hex(pages * 4096);
    },
  },
  mark: {
    min: 1,
    max: 1,
    call: (model, [number]) => {
      const { domain } = model;
      if (domain === null) return 'skip';
      const page = MARKER_IOVA_BYTES / 4096 + number!;
      const gather = new IotlbGather();
      if (domain.mapRange(page, model.phys(0) / 4096, 1, 1) !== 0) return 'failed';
      domain.syncMap(page, 1);
      if (domain.unmapRange(page, 1, gather) !== 1) return 'failed';
      domain.sync(gather);
      return 'ok';
    },
  },
};
