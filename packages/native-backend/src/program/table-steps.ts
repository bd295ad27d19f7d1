import { resultName } from '../errno.ts';
import { invoke } from '../invoke.ts';
import type { Call } from '../uapi/call.ts';
import * as uapi from '../uapi/iommufd.ts';
import { IOMMUFD_CALLS } from '../uapi/iommufd-calls.ts';
import { encode, sizeOf } from '../uapi/layout.ts';
import { VFIO_CALLS } from '../uapi/vfio.ts';
import { bytes, type Step } from './program.ts';
import { hex, type RunState, type StepTable } from './run-state.ts';

const SCRATCH_BYTES = 4096;
const CALLS: readonly Call[] = [...IOMMUFD_CALLS, ...VFIO_CALLS];
/** Of a call that does not exist. */
const UNKNOWN_STRUCT_BYTES = 64;

/** @internal Steps on the device, on page tables, and any call at all. */
export const TABLE_STEPS: StepTable<
  'hwpt' | 'attach' | 'detach' | 'destroy' | 'dirty' | 'readDirty' | 'hwInfo' | 'faultQueue' | 'raw'
> = {
  hwpt: makeHwpt,
  attach: (run, step) => {
    const id = run.rig.device.attach(run.targetId(step));
    if (id >= 0) run.isAttached = true;
    return id < 0 ? resultName(id) : `0 hwpt=${id}`;
  },
  detach: (run) => {
    run.isAttached = false;
    return resultName(run.rig.device.detach());
  },
  destroy: (run, step) => run.call(uapi.IOMMU_DESTROY, { id: run.targetId(step) }),
  dirty: (run, { hwpt, on }) =>
    run.call(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, { hwpt_id: run.hwptId(hwpt), flags: on ? 1 : 0 }),
  readDirty: (run, { hwpt, iova, length, page }) => {
    const scratch = run.rig.iommufd.scratch(SCRATCH_BYTES);
    scratch.bytes.fill(0);
    const shown = run.call(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, {
      hwpt_id: run.hwptId(hwpt),
      iova: bytes(iova),
      length: bytes(length),
      page_size: bytes(page),
      data: scratch.address,
    });
    return shown === '0' ? `0 bitmap=${hex(scratch.read(0, 64))}` : shown;
  },
  hwInfo,
  faultQueue: makeFaultQueue,
  raw,
};

function makeHwpt(run: RunState, step: Extract<Step, { op: 'hwpt' }>): string {
  const flags =
    (step.dirty === true ? uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0) |
    (step.nestParent === true ? uapi.IOMMU_HWPT_ALLOC_NEST_PARENT : 0);
  const { sys, iommufd } = run.rig;
  const values = { flags, dev_id: run.deviceId, pt_id: run.ioasId(step.ioas) };
  const { result, out } = invoke(sys, iommufd.fd, uapi.IOMMU_HWPT_ALLOC, values);
  if (result < 0) return resultName(result);
  run.hwpts.push(out.out_hwpt_id);
  return `0 id=${out.out_hwpt_id}`;
}

function makeFaultQueue(run: RunState): string {
  const { sys, iommufd } = run.rig;
  const { result, out } = invoke(sys, iommufd.fd, uapi.IOMMU_FAULT_QUEUE_ALLOC, {});
  if (result < 0) return resultName(result);
  sys.close(out.out_fault_fd);
  run.faultQueues.push(out.out_fault_id);
  return `0 id=${out.out_fault_id}`;
}

/** The data with eight bytes beyond the room for it, which stay as they were. */
function hwInfo(run: RunState, { type, room = 24 }: Extract<Step, { op: 'hwInfo' }>): string {
  const scratch = run.rig.iommufd.scratch(SCRATCH_BYTES);
  scratch.bytes.fill(0xa5);
  const values = {
    flags: type === undefined ? 0 : uapi.IOMMU_HW_INFO_FLAG_INPUT_TYPE,
    out_data_type: type ?? 0,
    dev_id: run.deviceId,
    data_len: room,
    data_uptr: scratch.address,
  };
  const out = ['out_data_type', 'data_len', 'out_max_pasid_log2', 'out_capabilities'];
  const shown = run.call(uapi.IOMMU_GET_HW_INFO, values, out);
  return `${shown} ${Buffer.from(scratch.bytes.subarray(0, room + 8)).toString('hex')}`;
}

function raw(run: RunState, step: Extract<Step, { op: 'raw' }>): string {
  const call = CALLS.find(({ name }) => name === step.call);
  const structBytes = call === undefined ? UNKNOWN_STRUCT_BYTES : sizeOf(call.fields);
  const argument = new Uint8Array(structBytes + (step.tail?.bytes ?? 0));
  const values = Object.fromEntries(
    Object.entries(step.fields ?? {}).map(([name, value]) => [name, bytes(value)]),
  );
  if (call !== undefined) encode(call.fields, values, argument);
  argument.fill(step.tail?.value ?? 0, structBytes);
  new DataView(argument.buffer).setUint32(0, step.size ?? argument.length, true);
  const { sys, iommufd } = run.rig;
  return resultName(sys.ioctl(iommufd.fd, call?.request ?? Number(step.call), argument));
}
