import { EFAULT, ENOMEM, type Pfn, type Task } from '@gpusvm/kernel';
import { handleMmFault } from './cpu-fault.ts';
import type { Mm } from './mm.ts';
import { PTE_KIND, PTE_PRESENT, PTE_PROTNONE, PTE_WRITE, PTE_ZERO } from './pte.ts';
import { splitHugePmd } from './split-pmd.ts';
import { VM_FAULT_OOM } from './vm-fault.ts';

/** @internal bits that tell a writable present entry, and their value. */
export const WRITABLE_MASK: number = PTE_KIND | PTE_WRITE | PTE_PROTNONE;
export const WRITABLE: number = PTE_PRESENT | PTE_WRITE;

/** @internal get_user_pages_remote with FOLL_WRITE | FOLL_SPLIT_PMD: the page, -EFAULT or -ENOMEM. */
export function* faultWritable(mm: Mm, page: number): Task<Pfn> {
  for (;;) {
    const vma = mm.vmas.lookup(page);
    if (vma === null || !vma.read || !vma.write || vma.io) return -EFAULT;
    const kind = mm.entryBits(page) & PTE_KIND;
    if ((kind === PTE_PRESENT || kind === PTE_ZERO) && mm.isPmdMapped(page) && !vma.hugetlb) {
      yield* splitHugePmd(mm, page);
    } else if ((mm.entryBits(page) & WRITABLE_MASK) === WRITABLE) {
      return mm.pfnAt(page);
    } else {
      const code = yield* handleMmFault(mm, vma, page, true);
      if (code !== 0) return code === VM_FAULT_OOM ? -ENOMEM : -EFAULT;
    }
  }
}
