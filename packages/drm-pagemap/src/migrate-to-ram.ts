import {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MigrateVma,
  migrateVmaFinalize,
  migrateVmaPages,
  migrateVmaSetup,
  VM_FAULT_SIGBUS,
  type VmFault,
} from '@gpusvm/hmm';
import {
  alignDown,
  ENOMEM,
  type Errno,
  PAGE_SIZE,
  schedPoint,
  type SchedPoint,
  type Task,
} from '@gpusvm/kernel';
import { C_TO_RAM } from './counters.ts';
import { copyAndCommit, dropRetired, populateRam } from './to-ram.ts';
import { drmPagemapPageZdd } from './zdd.ts';

const COLLECTED: SchedPoint = schedPoint('drm_pagemap_migrate_to_ram: collected');

/**
 * CPU fault on a device page (drm_pagemap_migrate_to_ram of struct dev_pagemap_ops; 7.3): bring back the part of the
 * VMA that lies in the aligned window of the allocation's size around the fault, as far as it belongs to the
 * faulting page's allocation. Takes no driver lock. May sleep.
 *
 * While the time slice of the allocation runs it does nothing and the CPU faults again; the fault path charges each
 * such round with virtual time, so that the slice ends.
 *
 * @returns 0, also when somebody else moved the page meanwhile; VM_FAULT_SIGBUS for every error.
 */
export function* drmPagemapMigrateToRam(vmf: VmFault): Task<number> {
  const err = yield* migrateToRam(vmf);
  return err === 0 ? 0 : VM_FAULT_SIGBUS;
}

function* migrateToRam(vmf: VmFault): Task<Errno> {
  const { mm, vma } = vmf;
  const { folios, machine } = mm;
  const zdd = drmPagemapPageZdd(folios, vmf.folio);
  const { devmem, dpagemap } = zdd;
  if (machine.clock.nowNs < devmem.timesliceExpirationNs) return 0;
  dpagemap.counters[C_TO_RAM]!++;
  if (dpagemap.sites.arrays.shouldFail()) return -ENOMEM;
  const windowPages = devmem.sizeBytes / PAGE_SIZE;
  const windowStart = alignDown(vmf.page, windowPages);
  const startPage = Math.max(windowStart, vma.startPage);
  const endPage = Math.min(windowStart + windowPages, vma.endPage);
  const npages = endPage - startPage;
  const b = dpagemap.buffers.take(npages);
  const args = new MigrateVma({
    mm,
    vma,
    startPage,
    endPage,
    src: b.src,
    dst: b.dst,
    pgmapOwner: dpagemap.owner,
    flags:
      MIGRATE_VMA_SELECT_DEVICE_PRIVATE |
      MIGRATE_VMA_SELECT_DEVICE_COHERENT |
      (machine.profile.hmm.deviceThp ? MIGRATE_VMA_SELECT_COMPOUND : 0),
    faultFolio: vmf.folio,
  });
  let err = yield* migrateVmaSetup(args);
  if (err === 0 && args.cpages === 0) {
    yield* migrateVmaFinalize(args);
  } else if (err === 0) {
    if (machine.scheduler.preemptive) yield COLLECTED;
    dropRetired(folios, b.src, npages);
    const filled = populateRam(folios, dpagemap, b, npages, zdd, machine.profile.pagemap.demoteToOrder0);
    const commit = { pages: () => migrateVmaPages(args), finalize: () => migrateVmaFinalize(args) };
    err = yield* copyAndCommit(folios, devmem, b, npages, filled, commit, 'cpu-fault');
  }
  dpagemap.buffers.give(b);
  return err;
}
