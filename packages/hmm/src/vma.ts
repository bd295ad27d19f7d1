import type { AnonVma } from './anon-vma.ts';
import type { AddressSpace } from './page-cache.ts';
import type { Userfaultfd } from './userfaultfd.ts';

/** What `Mm.mmap` maps. */
export interface VmaOptions {
  /** CPU may read; without it the mapping is PROT_NONE. */
  readonly read: boolean;
  readonly write: boolean;
  readonly exec?: boolean;
  /** MAP_SHARED; without `file` it is shared anonymous memory (shmem). */
  readonly shared?: boolean;
  /** Backed by a page cache, therefore not anonymous. */
  readonly file?: boolean;
  /** Mappings with the same key see the same file; without a key every mapping has its own. */
  readonly fileKey?: string;
  /** First page of the file that is mapped; default 0. */
  readonly fileOffsetPage?: number;
  /** Device registers or pfn-mapped memory (VM_IO or VM_PFNMAP): no page structures behind it. */
  readonly io?: boolean;
  /** Mapping of a driver that holds ordinary pages (VM_MIXEDMAP); like a private or shared file, but special. */
  readonly mixedmap?: boolean;
  /** Pages come in by accesses of the process alone; a fault on its behalf, of a device, is refused ([vvar] of 7.3). */
  readonly ownFaultsOnly?: boolean;
  /** mlock or MAP_LOCKED: pages are not reclaimed. */
  readonly locked?: boolean;
  /** MAP_HUGETLB with 2 MiB pages. */
  readonly hugetlb?: boolean;
  /** MADV_HUGEPAGE: an anonymous fault into an empty aligned 2 MiB gives a PMD-sized folio. */
  readonly hugepage?: boolean;
  /** MADV_NOHUGEPAGE: never, not even by MADV_COLLAPSE. */
  readonly noHugepage?: boolean;
  readonly name?: string;
}

/** A run of virtual pages with one set of properties (struct vm_area_struct). */
export class Vma {
  startPage: number;
  endPage: number;
  read: boolean;
  write: boolean;
  readonly exec: boolean;
  readonly shared: boolean;
  readonly file: boolean;
  readonly io: boolean;
  readonly mixedmap: boolean;
  readonly ownFaultsOnly: boolean;
  locked: boolean;
  readonly hugetlb: boolean;
  hugepage: boolean;
  noHugepage: boolean;
  readonly name: string;
  /** Set once a private page was made here (vma->anon_vma), so that fork has something to copy. */
  anonVma: AnonVma | null = null;
  /** The pages of a parent may be here too (an anon_vma_chain of several). */
  forkChild = false;
  /** userfaultfd that is told of missing pages (VM_UFFD_MISSING); never copied by fork. */
  uffd: Userfaultfd | null = null;
  /** Page cache behind the VMA, null for private anonymous memory. */
  readonly mapping: AddressSpace | null;
  /** Page of `mapping` at `startPage` (vm_pgoff). */
  pageOffset: number;
  /** Pieces of one mmap carry the same token; only such pieces are merged again. */
  readonly origin: object;

  constructor(
    startPage: number,
    endPage: number,
    o: VmaOptions,
    mapping: AddressSpace | null,
    origin: object = {},
  ) {
    this.startPage = startPage;
    this.endPage = endPage;
    this.read = o.read;
    this.write = o.write;
    this.exec = o.exec ?? false;
    this.shared = o.shared ?? false;
    this.file = o.file ?? false;
    this.io = o.io ?? false;
    this.mixedmap = o.mixedmap ?? false;
    this.ownFaultsOnly = o.ownFaultsOnly ?? false;
    this.locked = o.locked ?? false;
    this.hugetlb = o.hugetlb ?? false;
    this.hugepage = o.hugepage ?? false;
    this.noHugepage = o.noHugepage ?? false;
    this.name = o.name ?? '';
    this.mapping = mapping;
    this.pageOffset = o.fileOffsetPage ?? 0;
    this.origin = origin;
  }

  /** vma_is_anonymous: private memory without a file. A private file mapping is not, though its copies are. */
  get anonymous(): boolean {
    return this.mapping === null && !this.io && !this.hugetlb;
  }

  /** VM_SPECIAL: mappings that migrate_vma refuses. */
  get special(): boolean {
    return this.io || this.mixedmap;
  }

  get pages(): number {
    return this.endPage - this.startPage;
  }

  /** Page of `mapping` behind a virtual page. */
  offsetOf(page: number): number {
    return this.pageOffset + (page - this.startPage);
  }

  /** Whether the aligned 2 MiB around `page` lies in the VMA (thp_vma_suitable_order). */
  fitsPmd(pmdStart: number): boolean {
    return pmdStart >= this.startPage && pmdStart + 512 <= this.endPage;
  }

  /** Whether a piece that follows directly has the same properties (is_mergeable_vma). */
  mergesWith(next: Vma): boolean {
    return (
      this.endPage === next.startPage &&
      this.read === next.read &&
      this.write === next.write &&
      this.sharesAnonVma(next)
    );
  }

  /** Whether a neighbour has the same properties but for access permissions (anon_vma_compatible). */
  sharesAnonVma(other: Vma): boolean {
    return (
      this.origin === other.origin &&
      this.locked === other.locked &&
      this.uffd === other.uffd &&
      this.hugepage === other.hugepage &&
      this.noHugepage === other.noHugepage
    );
  }

  /** A VMA with the same properties at another place (vm_area_dup). */
  dup(startPage: number = this.startPage, endPage: number = this.endPage): Vma {
    const copy = new Vma(startPage, endPage, this, this.mapping, this.origin);
    copy.pageOffset = this.pageOffset;
    copy.anonVma = this.anonVma;
    copy.forkChild = this.forkChild;
    return copy;
  }

  /** The part from `page` on as a VMA of its own; this one ends there (split_vma without its callbacks). */
  splitOff(page: number): Vma {
    const tail = new Vma(page, this.endPage, this, this.mapping, this.origin);
    tail.pageOffset = this.offsetOf(page);
    tail.uffd = this.uffd;
    tail.anonVma = this.anonVma;
    tail.forkChild = this.forkChild;
    this.endPage = page;
    return tail;
  }
}
