import { iommuMap, iommuUnmap, IotlbGather } from '@gpusvm/dma-iova';
import { MARKER_IOVA_BYTES } from '../trace/qemu-trace.ts';
import { hex } from './oracle-model.ts';
import type { OracleOp } from './oracle-op.ts';

/** iommu_map, iommu_unmap and markers: raw.c of the module. */
export const rawOps: Readonly<Record<string, OracleOp>> = {
  iommu_map: {
    min: 4,
    max: 4,
    call: (model, [iova, phys, size, prot]) => {
      const { domain } = model;
      if (domain === null) return 'skip';
      model.noteRange(iova!, size!);
      const err = model.withFailure(() => iommuMap(domain, iova!, model.phys(phys!), size!, prot!));
      return String(err);
    },
  },
  iommu_unmap: {
    min: 2,
    max: 2,
    call: (model, [iova, size]) => {
      const { domain } = model;
      if (domain === null) return 'skip';
      return hex(iommuUnmap(domain, iova!, size!));
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
