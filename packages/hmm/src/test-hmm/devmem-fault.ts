import type { Task } from '@gpusvm/kernel';
import type { VmFault } from '../dev-pagemap.ts';
import {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MigratePfns,
} from '../migrate-pfns.ts';
import { MigrateVma, migrateVmaFinalize, migrateVmaPages, migrateVmaSetup } from '../migrate-vma.ts';
import { VM_FAULT_OOM, VM_FAULT_SIGBUS } from '../vm-fault.ts';
import { copyToRam } from './copy.ts';
import type { DmirrorDevice } from './dmirror-device.ts';
import type { Dmirror } from './dmirror.ts';

/**
 * The CPU touched private memory (dmirror_devmem_fault): the whole folio comes back for a PMD fault, exactly one page
 * for a page-table fault. May sleep.
 */
export function* devmemFault(device: DmirrorDevice, vmf: VmFault): Task<number> {
  const pages = vmf.pmd ? 512 : 1;
  const startPage = vmf.pmd ? Math.floor(vmf.page / 512) * 512 : vmf.page;
  // The page's zone device data is the file that migrated it here; its table forgets the page.
  const file = device.folios.zoneDeviceData(vmf.folio) as Dmirror;
  const args = new MigrateVma({
    mm: vmf.mm,
    vma: vmf.vma,
    startPage,
    endPage: startPage + pages,
    src: new MigratePfns(pages),
    dst: new MigratePfns(pages),
    pgmapOwner: device,
    flags:
      MIGRATE_VMA_SELECT_DEVICE_PRIVATE |
      (device.machine.profile.hmm.deviceThp ? MIGRATE_VMA_SELECT_COMPOUND : 0),
    faultFolio: vmf.folio,
  });
  if ((yield* migrateVmaSetup(args)) !== 0) return VM_FAULT_SIGBUS;
  const copied = (slot: number, count: number): void => file.forget(startPage + slot, count);
  const complete = copyToRam(device, args.src, args.dst, args.npages, { copied });
  if (complete) yield* migrateVmaPages(args);
  yield* migrateVmaFinalize(args);
  return complete ? 0 : VM_FAULT_OOM;
}
