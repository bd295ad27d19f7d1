import { resultName } from '../errno.ts';
import { invoke } from '../invoke.ts';
import * as uapi from '../uapi/iommufd.ts';
import { IOMMU_IOAS_MAP_FILE } from '../uapi/iommufd-file.ts';
import { decode, encode } from '../uapi/layout.ts';
import { type Access, type Bytes, bytes } from './program.ts';
import { type RunState, type StepTable } from './run-state.ts';

const SCRATCH_BYTES = 4096;
const RANGE_BYTES = 16;
const ACCESS: Readonly<Record<Access, number>> = {
  none: 0,
  w: uapi.IOMMU_IOAS_MAP_WRITEABLE,
  r: uapi.IOMMU_IOAS_MAP_READABLE,
  rw: uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE,
};

/** @internal Steps on address spaces. */
export const MAP_STEPS: StepTable<
  'ioas' | 'map' | 'mapFile' | 'unmap' | 'copy' | 'ranges' | 'allow' | 'hugePages' | 'rlimitMode'
> = {
  ioas: makeIoas,
  map: (run, { ioas, at, length, iova, access, region = 0, extraFlags = 0 }) =>
    run.call(
      uapi.IOMMU_IOAS_MAP,
      {
        flags: mapFlags(access, iova) | extraFlags,
        ioas_id: run.ioasId(ioas),
        user_va: run.address(region) + bytes(at),
        length: bytes(length),
        iova: bytes(iova ?? 0),
      },
      ['iova'],
    ),
  mapFile: (run, { ioas, file, at, length, iova, access }) =>
    run.call(
      IOMMU_IOAS_MAP_FILE,
      {
        flags: mapFlags(access, iova),
        ioas_id: run.ioasId(ioas),
        fd: run.files[file] ?? -1,
        start: bytes(at),
        length: bytes(length),
        iova: bytes(iova ?? 0),
      },
      ['iova'],
    ),
  unmap: (run, { ioas, iova, length }) =>
    run.call(uapi.IOMMU_IOAS_UNMAP, { ioas_id: run.ioasId(ioas), iova: bytes(iova), length: bytes(length) }, [
      'length',
    ]),
  copy: (run, { from, to, iova, toIova, length, access }) =>
    run.call(
      uapi.IOMMU_IOAS_COPY,
      {
        flags: mapFlags(access, toIova),
        dst_ioas_id: run.ioasId(to),
        src_ioas_id: run.ioasId(from),
        length: bytes(length),
        dst_iova: bytes(toIova ?? 0),
        src_iova: bytes(iova),
      },
      ['dst_iova'],
    ),
  ranges,
  allow: (run, { ioas, ranges: allowed }) => {
    const scratch = run.rig.iommufd.scratch(SCRATCH_BYTES);
    for (const [i, [start, last]] of allowed.entries()) {
      const range = { start: bytes(start), last: bytes(last) };
      encode(uapi.IOMMU_IOVA_RANGE, range, scratch.bytes, i * RANGE_BYTES);
    }
    const values = { ioas_id: run.ioasId(ioas), num_iovas: allowed.length, allowed_iovas: scratch.address };
    return run.call(uapi.IOMMU_IOAS_ALLOW_IOVAS, values);
  },
  hugePages: (run, { ioas, on }) => option(run, uapi.IOMMU_OPTION_HUGE_PAGES, run.ioasId(ioas), on),
  rlimitMode: (run, { on }) => option(run, uapi.IOMMU_OPTION_RLIMIT_MODE, 0, on),
};

function mapFlags(access: Access = 'rw', iova?: Bytes): number {
  return ACCESS[access] | (iova === undefined ? 0 : uapi.IOMMU_IOAS_MAP_FIXED_IOVA);
}

function makeIoas(run: RunState): string {
  const { sys, iommufd } = run.rig;
  const { result, out } = invoke(sys, iommufd.fd, uapi.IOMMU_IOAS_ALLOC, {});
  if (result < 0) return resultName(result);
  run.ioas.push(out.out_ioas_id);
  run.rig.mapWindow(out.out_ioas_id);
  return `0 id=${out.out_ioas_id}`;
}

function ranges(run: RunState, step: { readonly ioas: number; readonly room?: number }): string {
  const { sys, iommufd } = run.rig;
  const scratch = iommufd.scratch(SCRATCH_BYTES);
  const values = {
    ioas_id: run.ioasId(step.ioas),
    num_iovas: step.room ?? 16,
    allowed_iovas: scratch.address,
  };
  const { result, out } = invoke(sys, iommufd.fd, uapi.IOMMU_IOAS_IOVA_RANGES, values);
  if (result < 0) return `${resultName(result)} num_iovas=${out.num_iovas}`;
  const shown = Array.from({ length: out.num_iovas }, (_, i) => {
    const { start, last } = decode(uapi.IOMMU_IOVA_RANGE, scratch.bytes, i * RANGE_BYTES);
    return ` ${start.toString(16)}..${last.toString(16)}`;
  });
  return `0 alignment=${out.out_iova_alignment}${shown.join('')}`;
}

function option(run: RunState, option_id: number, object_id: number, on: boolean | undefined): string {
  const op = on === undefined ? uapi.IOMMU_OPTION_OP_GET : uapi.IOMMU_OPTION_OP_SET;
  const values = { option_id, op, object_id, val64: on === true ? 1n : 0n };
  return run.call(uapi.IOMMU_OPTION, values, on === undefined ? ['val64'] : []);
}
