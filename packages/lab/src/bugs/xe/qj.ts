import { KERNEL_PROFILES, type Task } from '@gpusvm/kernel';
import { XE_FIRST, type XeBug, type XeWorld } from './xe-bug.ts';

/**
 * Up to 7.2 finalize made a page visible to the CPU before its mapping for the copy was undone: with a bounce buffer the
 * contents arrive with the unmap.
 */
export const QJ: XeBug = {
  id: 'QJ',
  title: 'a page that comes back to RAM is visible before its bounce buffer was copied back',
  source: '9e6372ec2a39 (7.3), order of drm_pagemap_migrate_to_ram and evict_to_ram',
  evidence: 'read',
  finds: 'S13',
  modes: ['swiotlb'],
  profile: KERNEL_PROFILES['linux-7.2'],
  patch() {},
  tasks: { 'GPU, then CPU': thereAndBack },
};

function* thereAndBack({ xe, vm, mm }: XeWorld): Task<void> {
  yield* xe.gpu.gpuWrite(vm, XE_FIRST, 5);
  yield* mm.cpuRead(XE_FIRST);
}
