import { KERNEL_PROFILES, type Task } from '@gpusvm/kernel';
import { gpuTouches } from './gpu.ts';
import { XE_FIRST, type XeBug, type XeWorld } from './xe-bug.ts';

/** Entries of a read-only area allow writes: pages that were looked up for reading are written. */
export const XE_S22: XeBug = {
  id: 'XE-S22',
  title: 'entries of a read-only area allow writes',
  source: 'drivers/gpu/drm/xe/xe_pt.c, leaf flags',
  evidence: 'inferred',
  finds: 'S22',
  system: true,
  readOnly: true,
  patch({ xe }) {
    xe.ops.mayWrite = () => true;
  },
  tasks: { GPU: (w) => gpuTouches(w, [0, 8], false) },
};

/**
 * What finding F1 comes to in a driver that asks for write permission and does not look whether it got it: after a fork
 * the device page belongs to both processes, read-only, hmm_range_fault(REQ_WRITE) reports it all the same, and the GPU
 * writes into the child's copy too.
 */
export const XE_F1: XeBug = {
  id: 'XE-F1',
  title: 'after a fork the GPU writes a device page that both processes share',
  source: 'open; hmm_range_fault and drm_gpusvm of 7.3, model only',
  evidence: 'inferred',
  finds: 'S22',
  profile: KERNEL_PROFILES['linux-7.3'],
  patch() {},
  tasks: { 'GPU, fork, GPU': forkBetween },
};

function* forkBetween({ xe, vm, mm }: XeWorld): Task<void> {
  yield* xe.gpu.gpuWrite(vm, XE_FIRST, 1);
  const child = yield* mm.fork('child');
  yield* xe.gpu.gpuWrite(vm, XE_FIRST, 2);
  if (typeof child !== 'number') yield* child.exit();
}
