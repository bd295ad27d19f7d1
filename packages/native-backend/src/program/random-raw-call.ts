import type { Bytes, Step } from './program.ts';
import type { Random } from './random.ts';

const P = 4096;

/** Calls that make nothing and unmap nothing (the device's own window has to stay), with the fields that name something. */
const RAW: readonly (readonly [string, readonly string[]])[] = [
  ['IOMMU_DESTROY', ['id']],
  ['IOMMU_IOAS_MAP', ['ioas_id', 'flags', 'user_va', 'length', 'iova', '__reserved']],
  ['IOMMU_IOAS_MAP_FILE', ['ioas_id', 'flags', 'fd', 'start', 'length', 'iova']],
  ['IOMMU_IOAS_COPY', ['dst_ioas_id', 'src_ioas_id', 'flags', 'length', 'dst_iova', 'src_iova']],
  ['IOMMU_IOAS_IOVA_RANGES', ['ioas_id', 'num_iovas', '__reserved', 'allowed_iovas']],
  ['IOMMU_IOAS_ALLOW_IOVAS', ['ioas_id', 'num_iovas', '__reserved', 'allowed_iovas']],
  ['IOMMU_IOAS_CHANGE_PROCESS', ['__reserved']],
  ['IOMMU_OPTION', ['option_id', 'op', '__reserved', 'object_id', 'val64']],
  ['IOMMU_VFIO_IOAS', ['ioas_id', 'op', '__reserved']],
  ['IOMMU_HWPT_SET_DIRTY_TRACKING', ['hwpt_id', 'flags', '__reserved']],
  ['IOMMU_HWPT_GET_DIRTY_BITMAP', ['hwpt_id', 'flags', '__reserved', 'iova', 'length', 'page_size', 'data']],
  ['IOMMU_HWPT_INVALIDATE', ['hwpt_id', 'data_uptr', 'data_type', 'entry_len', 'entry_num', '__reserved']],
  ['0x3b80', []],
  ['0x3bff', []],
];
/** No structure is shorter: the size field must not promise more than there is. */
const SHORTEST_BYTES = 8;

/** @internal A call with fields that are likely wrong, or a structure of another size. */
export function randomRawCall(random: Random): Step {
  const [call, names] = random.pick(RAW);
  const fields: Record<string, Bytes> = {};
  // Descriptor 0 is something else on every machine.
  for (const name of names) if (name === 'fd' || random.oneIn(2)) fields[name] = fieldValue(random, name);
  const raw = { op: 'raw', call, fields } as const;
  if (random.oneIn(6)) return { ...raw, size: random.below(SHORTEST_BYTES + 1) };
  if (random.oneIn(6)) return { ...raw, tail: { bytes: 8, value: random.below(2) } };
  return raw;
}

/** What the program made is not destroyed behind its back; addresses of memory are wrong. */
function fieldValue(random: Random, name: string): Bytes {
  if (name === 'id') return random.pick([0, 0xffff]);
  if (name === 'fd') return -1;
  if (name === 'flags') return random.below(9);
  if (name.endsWith('_id') || name === 'op' || name === '__reserved' || name === 'data_type')
    return random.below(4);
  if (name.startsWith('entry') || name === 'num_iovas') return random.below(4);
  if (name === 'user_va' || name.startsWith('data') || name === 'allowed_iovas')
    return random.pick([0, P, 0x123, '0xfffffffffffff000', '0x800000000000']);
  return random.pick([0, 1, P, 0x800, '0x7fffffffffffffff', '0xffffffffffffffff', '0xfffffffffffff000']);
}
