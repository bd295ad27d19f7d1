import { EBUSY, EFAULT, ENOMEM, type Errno, type Pfn, type Task } from '@gpusvm/kernel';
import { copyOnWrite, handleMmFault } from './cpu-fault.ts';
import { UNSHARE } from './counters.ts';
import { FOLIO_ANON, FOLIO_DIRTY } from './folio-flags.ts';
import type { FolioTable } from './folio-table.ts';
import { migrateDeviceCoherentFolio } from './migrate-coherent.ts';
import { canReuse } from './minor-fault.ts';
import type { Mm } from './mm.ts';
import { PTE_ANON_EXCLUSIVE, PTE_KIND, PTE_PRESENT, PTE_WRITE, PTE_ZERO } from './pte.ts';
import { VM_FAULT_OOM } from './vm-fault.ts';
import type { Vma } from './vma.ts';

/** How pages are taken (FOLL_*). */
export interface GupOptions {
  /** The pages will be written (FOLL_WRITE). */
  readonly write?: boolean;
  /** For a long time (FOLL_LONGTERM): coherent device memory is brought to RAM first, shared pages are unshared. */
  readonly longterm?: boolean;
  /** Only references (FOLL_GET), which migration notices but fork and unsharing do not. */
  readonly get?: boolean;
}

/**
 * Take pages of a process by address (pin_user_pages, get_user_pages; mm/gup.c). What is not present is faulted in, so
 * device-private memory comes back to RAM and device exclusivity ends. A pin for reading gets a page of its own where
 * the page is shared copy-on-write, so that pinner and process keep seeing the same page. Zero pages are returned
 * without a reference. Takes the mmap lock for reading; may sleep.
 *
 * @param mm - the address space.
 * @param startPage - first page.
 * @param pfns - where the pages go; its length is how many are wanted.
 * @returns pages taken, at least one; or, when the first failed: -EFAULT where the process may not access, -ENOMEM,
 * -EBUSY when coherent memory cannot be brought to RAM.
 */
export function* pinUserPages(
  mm: Mm,
  startPage: number,
  pfns: Float64Array,
  o: GupOptions = {},
): Task<number> {
  yield* mm.mmapLock.downRead();
  let taken = 0;
  let err: Errno = 0;
  for (; taken < pfns.length; taken++) {
    const pfn = yield* followPage(mm, startPage + taken, o);
    if (pfn < 0) {
      err = pfn;
      break;
    }
    pfns[taken] = pfn;
    if (mm.folios.zeroPages.has(pfn)) continue;
    if (o.get === true) mm.folios.get(mm.folios.head(pfn));
    else mm.folios.pin(mm.folios.head(pfn));
  }
  mm.mmapLock.upRead();
  return taken > 0 ? taken : err;
}

/**
 * Give pages of {@link pinUserPages} back (unpin_user_pages). Does not sleep.
 *
 * @param count - the first entries of `pfns`.
 * @param o - `get` as when they were taken; `dirty` if they were written (set_page_dirty).
 */
export function unpinUserPages(
  folios: FolioTable,
  pfns: Float64Array,
  count: number,
  o: { readonly get?: boolean; readonly dirty?: boolean } = {},
): void {
  for (let i = 0; i < count; i++) {
    if (folios.zeroPages.has(pfns[i]!)) continue;
    const head = folios.head(pfns[i]!);
    if (o.dirty === true) folios.flags[head]! |= FOLIO_DIRTY;
    if (o.get === true) folios.put(head);
    else folios.unpin(head);
  }
}

/**
 * Read or write another process's page.
 *
 * @param tag - content to write; null reads.
 * @param how - `get` as access_remote_vm does for /proc/self/mem; `pin` as process_vm_readv does, which gives a reader a
 * page of its own where it is shared.
 * @returns the content tag, or the errno of {@link pinUserPages}.
 */
export function* accessRemoteVm(
  mm: Mm,
  page: number,
  tag: number | null = null,
  how: 'get' | 'pin' = 'get',
): Task<number> {
  const pfns = new Float64Array(1);
  const get = how === 'get';
  const taken = yield* pinUserPages(mm, page, pfns, { get, write: tag !== null });
  if (taken < 0) return taken;
  const pfn = pfns[0]!;
  if (tag !== null) mm.folios.writeTag(pfn, tag);
  const seen = mm.folios.readTag(pfn);
  unpinUserPages(mm.folios, pfns, 1, { get, dirty: tag !== null });
  return seen;
}

/** follow_page_mask and faultin_page until the page is there as wanted. The pfn, or an errno. */
function* followPage(mm: Mm, page: number, o: GupOptions): Task<Pfn> {
  const write = o.write === true;
  for (;;) {
    const vma = mm.vmas.lookup(page);
    if (vma === null || vma.io || !vma.read || (write && !vma.write)) return -EFAULT;
    const bits = mm.entryBits(page);
    const kind = bits & PTE_KIND;
    const there = (kind === PTE_PRESENT || kind === PTE_ZERO) && (!write || (bits & PTE_WRITE) !== 0);
    if (!there) {
      const code = yield* handleMmFault(mm, vma, page, write);
      if (code !== 0) return code === VM_FAULT_OOM ? -ENOMEM : -EFAULT;
      continue;
    }
    const pfn = mm.pfnAt(page);
    if (o.get !== true && mustUnshare(mm, vma, bits, pfn, o)) {
      const code = yield* unshare(mm, vma, page);
      if (code !== 0) return code === VM_FAULT_OOM ? -ENOMEM : -EFAULT;
      continue;
    }
    if (o.longterm !== true || !mm.folios.isDeviceCoherent(pfn)) return pfn;
    if ((yield* migrateDeviceCoherentFolio(mm.folios, mm.folios.head(pfn))) !== 0) return -EBUSY;
  }
}

/** gup_must_unshare: a reading pin would lose the page to the next write of the process. */
function mustUnshare(mm: Mm, vma: Vma, bits: number, pfn: Pfn, o: GupOptions): boolean {
  if (o.write === true || vma.shared) return false;
  const anon =
    (bits & PTE_KIND) === PTE_PRESENT && (mm.folios.flags[mm.folios.head(pfn)]! & FOLIO_ANON) !== 0;
  return anon ? (bits & PTE_ANON_EXCLUSIVE) === 0 : o.longterm === true;
}

/** do_wp_page with FAULT_FLAG_UNSHARE: reuse or copy, without making the entry writable. */
function* unshare(mm: Mm, vma: Vma, page: number): Task<number> {
  const node = mm.pageTable.nodeOf(page)!;
  const slot = page & 511;
  const bits = node.huge === 0 ? node.bits[slot]! : node.huge;
  const pfn = node.huge === 0 ? node.pfn[slot]! : node.hugePfn;
  if ((bits & PTE_KIND) === PTE_PRESENT && canReuse(mm, pfn, bits)) {
    if (node.huge === 0) node.bits[slot] = bits | PTE_ANON_EXCLUSIVE;
    else node.huge = bits | PTE_ANON_EXCLUSIVE;
    return 0;
  }
  mm.folios.counters.values[UNSHARE]!++;
  return yield* copyOnWrite(mm, vma, page, node, true);
}
