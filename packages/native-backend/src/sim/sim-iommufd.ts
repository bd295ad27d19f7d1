import { E2BIG, EINVAL, type Errno } from '@gpusvm/kernel';
import { ENOTTY, ENXIO } from '../errno.ts';
import type { SysMemory } from '../sys.ts';
import type { Call } from '../uapi/call.ts';
import { TEST_MOCK_DOMAIN } from '../uapi/iommufd-test.ts';
import { decode, encode, offsetOfEnd, sizeOf } from '../uapi/layout.ts';
import { SimContext } from './sim-context.ts';
import { SIM_FILE_CALLS } from './sim-file-calls.ts';
import { SIM_HWPT_CALLS } from './sim-hwpt-calls.ts';
import { SIM_IOAS_CALLS } from './sim-ioas-calls.ts';
import { SimMemory } from './sim-memory.ts';
import { mockCommand } from './sim-mock.ts';
import { SIM_NESTED_CALLS } from './sim-nested-calls.ts';
import type { SimCallEntry, SimFields, SimFile, SimHost } from './sim-objects.ts';
import { SIM_VIOMMU_CALLS } from './sim-viommu-calls.ts';

const CALLS: readonly SimCallEntry[] = [
  ...SIM_IOAS_CALLS,
  ...SIM_HWPT_CALLS,
  ...SIM_NESTED_CALLS,
  ...SIM_FILE_CALLS,
  ...SIM_VIOMMU_CALLS,
  { call: TEST_MOCK_DOMAIN, run: mockCommand },
];

/** One open /dev/iommu: the ioctl entry point of main.c. */
export class SimIommufd implements SimFile {
  readonly context: SimContext;

  constructor(host: SimHost) {
    this.context = new SimContext(host);
  }

  ioctl(request: number, argument: Uint8Array): number {
    const entry = CALLS.find(({ call }) => call.request === request);
    if (entry === undefined) return -ENOTTY;
    if (entry.since !== undefined && !this.context.host.kernel.virtualization) return -ENOTTY;
    return dispatch(entry.call, argument, (fields) => entry.run(this.context, fields));
  }

  /** mmap of the pages of a vIOMMU: exactly what begins at the offset. */
  map(lengthBytes: number, offsetBytes: number): SysMemory | number {
    const mmap = this.context.mmapAt(offsetBytes);
    if (mmap === null || mmap.lengthBytes !== lengthBytes) return -ENXIO;
    const { space } = this.context.host;
    const region = space.map(lengthBytes, 'rw');
    if (typeof region === 'number') return region;
    new DataView(region.backing.buffer).setUint32(0, mmap.firstWord, true);
    return new SimMemory(space, region);
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
    this.context.close();
  }
}

/**
 * The checks of the common entry point: size field, unknown tail, then the call; out fields are written back.
 *
 * @param run - gets the fields, changes those that the call returns, and says whether they are to be copied back.
 */
function dispatch(call: Call, argument: Uint8Array, run: (fields: SimFields) => Errno): number {
  const userSize = new DataView(argument.buffer, argument.byteOffset).getUint32(0, true);
  const ownSize = sizeOf(call.fields);
  if (userSize < offsetOfEnd(call.fields, call.last)) return -EINVAL;
  if (argument.subarray(ownSize, userSize).some((byte) => byte !== 0)) return -E2BIG;
  const fields = decode(call.fields, argument.subarray(0, Math.min(userSize, ownSize))) as SimFields;
  const before = { ...fields };
  const result = run(fields);
  const changed = Object.keys(fields).some((name) => fields[name] !== before[name]);
  if (changed) {
    const out = new Uint8Array(ownSize);
    encode(call.fields, fields, out);
    argument.set(out.subarray(0, Math.min(userSize, ownSize)));
  }
  return result;
}
