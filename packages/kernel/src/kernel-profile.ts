/** Names of the modelled kernels; `next` is what this project thinks is best. */
export type KernelProfileName = 'linux-6.12' | 'linux-7.0' | 'linux-7.2' | 'linux-7.3' | 'next';

/**
 * Behaviour that differs between kernels, as data. A field names the behaviour, never a version; its comment
 * names the change that introduced it.
 */
export interface KernelProfile {
  readonly name: KernelProfileName;
  readonly dma: {
    /** The two-step API exists (6.16, 393cf700e624); without it `dmaIovaTryAlloc` returns false. */
    readonly twoStepApi: boolean;
    /**
     * `dma_iova_destroy`: `queued-mapped-len` frees only the mapped length, through the flush queue of a lazy
     * domain (6.16 to 7.2); `strict-full` is unlink plus free of the whole reservation (7.3, 1acce29926d9).
     */
    readonly destroyMode: 'queued-mapped-len' | 'strict-full';
    /** IO page tables: generic_pt stops an unmap at a hole (6.19 on VT-d and AMD), legacy VT-d skips holes. */
    readonly pageTable: 'generic-pt' | 'legacy';
    /** A link of size 0 is -EINVAL (d6c65b0fd621, 7.0/7.1) instead of a no-op. */
    readonly linkSizeZeroInvalid: boolean;
    /** DMA_ATTR_REQUIRE_COHERENT is known (7.3). */
    readonly requireCoherent: boolean;
    /**
     * A link of a device that does not snoop leaves the barrier behind its cache maintenance to `dma_iova_sync` (7.3,
     * arch_sync_dma_flush), so that without one the device may read what memory held before.
     */
    readonly linkDefersCacheFlush: boolean;
    /** DMA_ATTR_CC_SHARED is known (7.3). */
    readonly ccShared: boolean;
  };
  readonly hmm: {
    /** Device-private PMD entries, MIGRATE_PFN_COMPOUND, MIGRATE_VMA_SELECT_COMPOUND (6.19, a30b48bf1b24). */
    readonly deviceThp: boolean;
    /** What a CPU fault does when the device page's lock is busy (b570f37a2ce4, 7.0). */
    readonly cpuFaultBusyFolio: 'spin' | 'wait';
    /** `hmm_range_fault_unlocked_timeout` exists (7.3). */
    readonly unlockedFault: boolean;
    /** `invalidate_start` is used instead of `invalidate` where a subscription has it (7.3). */
    readonly twoPassNotifiers: boolean;
    /** `hmm_dma_map_*` and the sticky DMA flags exist (6.16). */
    readonly dmaMap: boolean;
    /** Event of a CPU fault that ends device exclusivity: EXCLUSIVE in 6.12, CLEAR in 7.3. */
    readonly exclusiveRevokeEvent: 'EXCLUSIVE' | 'CLEAR';
    /**
     * How pages become device-exclusive. `page`: one by one, large folios too, and the entry keeps its map count (6.15,
     * `make_device_exclusive`). `range`: `make_device_exclusive_range` refuses tail pages, takes a large folio whole by its
     * head, and an entry keeps a reference and its permission but no map count (6.12).
     */
    readonly deviceExclusive: 'page' | 'range';
    /** Event with which the OOM reaper zaps a VMA: UNMAP in 6.12, CLEAR in 7.3. */
    readonly oomReapEvent: 'UNMAP' | 'CLEAR';
    /** A collapse demands one writable page in the range (6.12; 7.3 dropped it). */
    readonly collapseNeedsWritable: boolean;
    /** MADV_GUARD_INSTALL and MADV_GUARD_REMOVE exist (6.13). */
    readonly guardRegions: boolean;
    /** MADV_DONTNEED of a whole 2 MiB frees its empty page table (6.14, 6375e95f381e). */
    readonly dontneedFreesTables: boolean;
    /** A mapping without anonymous pages takes a changed neighbour in that has some (6.16). */
    readonly mergeIntoEmptyVma: boolean;
    /** An mremap that only moves takes several VMAs (6.17). */
    readonly mremapMovesVmas: boolean;
    /** `hmm_range_fault` tells -ENOMEM from -EFAULT (7.3); 6.12 calls every fault error -EFAULT. */
    readonly faultErrno: 'from-fault' | 'efault';
    /** The vvar mapping of a process holds pages (VM_MIXEDMAP; measured on 7.3) or page frames (VM_PFNMAP, on 6.12). */
    readonly vvarMapping: 'mixedmap' | 'pfnmap';
    /**
     * What `hmm_range_fault` does with a write request for an own device-private page whose entry is read-only: report
     * it without WRITE and succeed (every Linux so far, against its documentation), or fault it as any other page.
     */
    readonly ownPageWrite: 'reported' | 'faulted';
  };
  readonly pagemap: {
    /** To-RAM paths undo the DMA mapping before pages become visible (7.3, 9e6372ec2a39). */
    readonly toRamOrder: 'finalize-first' | 'unmap-first';
    /** A failed large allocation on the way to RAM falls back to order 0 (7.3). */
    readonly demoteToOrder0: boolean;
    /** Device folios already moved to RAM are never migrated twice (7.3, c4126f1db36e). */
    readonly retiredFolios: boolean;
  };
  readonly gpusvm: {
    /** `drm_gpusvm_range_remove` also unmaps the range's pages (until 7.2). */
    readonly rangeRemoveUnmaps: boolean;
    /** I/O VMAs are refused with -EIO in find_or_insert (7.3). */
    readonly refuseIoVma: boolean;
    /**
     * How packed IOVA mappings end, of ranges and of migrations: `dma_iova_destroy(offset)` (7.2) or unlink plus free
     * (0bc7c196f3ab; for migrations 7.3's destroy is the same).
     */
    readonly unmapMode: 'destroy' | 'unlink-free';
  };
}

const LINUX_7_3: KernelProfile = {
  name: 'linux-7.3',
  dma: {
    twoStepApi: true,
    destroyMode: 'strict-full',
    pageTable: 'generic-pt',
    linkSizeZeroInvalid: true,
    requireCoherent: true,
    linkDefersCacheFlush: true,
    ccShared: true,
  },
  hmm: {
    deviceThp: true,
    cpuFaultBusyFolio: 'wait',
    unlockedFault: true,
    twoPassNotifiers: true,
    dmaMap: true,
    exclusiveRevokeEvent: 'CLEAR',
    deviceExclusive: 'page',
    oomReapEvent: 'CLEAR',
    collapseNeedsWritable: false,
    guardRegions: true,
    dontneedFreesTables: true,
    mergeIntoEmptyVma: true,
    mremapMovesVmas: true,
    faultErrno: 'from-fault',
    vvarMapping: 'mixedmap',
    ownPageWrite: 'reported',
  },
  pagemap: { toRamOrder: 'unmap-first', demoteToOrder0: true, retiredFolios: true },
  gpusvm: { rangeRemoveUnmaps: false, refuseIoVma: true, unmapMode: 'unlink-free' },
};

const LINUX_7_2: KernelProfile = {
  name: 'linux-7.2',
  dma: {
    ...LINUX_7_3.dma,
    destroyMode: 'queued-mapped-len',
    requireCoherent: false,
    ccShared: false,
    linkDefersCacheFlush: false,
  },
  hmm: { ...LINUX_7_3.hmm, unlockedFault: false, twoPassNotifiers: false },
  pagemap: {
    toRamOrder: 'finalize-first',
    demoteToOrder0: false,
    retiredFolios: false,
  },
  gpusvm: { rangeRemoveUnmaps: true, refuseIoVma: false, unmapMode: 'destroy' },
};

const LINUX_7_0: KernelProfile = {
  ...LINUX_7_2,
  name: 'linux-7.0',
  dma: { ...LINUX_7_2.dma, linkSizeZeroInvalid: false },
};

const LINUX_6_12: KernelProfile = {
  ...LINUX_7_0,
  name: 'linux-6.12',
  dma: { ...LINUX_7_0.dma, twoStepApi: false, pageTable: 'legacy' },
  hmm: {
    deviceThp: false,
    cpuFaultBusyFolio: 'spin',
    unlockedFault: false,
    twoPassNotifiers: false,
    dmaMap: false,
    exclusiveRevokeEvent: 'EXCLUSIVE',
    deviceExclusive: 'range',
    oomReapEvent: 'UNMAP',
    collapseNeedsWritable: true,
    guardRegions: false,
    dontneedFreesTables: false,
    mergeIntoEmptyVma: false,
    mremapMovesVmas: false,
    faultErrno: 'efault',
    vvarMapping: 'pfnmap',
    ownPageWrite: 'reported',
  },
};

/** Every profile by name. Frozen: to try one field otherwise, spread a profile into a new one. */
export const KERNEL_PROFILES: Readonly<Record<KernelProfileName, KernelProfile>> = Object.freeze({
  'linux-6.12': frozen(LINUX_6_12),
  'linux-7.0': frozen(LINUX_7_0),
  'linux-7.2': frozen(LINUX_7_2),
  'linux-7.3': frozen(LINUX_7_3),
  next: frozen({ ...LINUX_7_3, name: 'next', hmm: { ...LINUX_7_3.hmm, ownPageWrite: 'faulted' } }),
});

function frozen(profile: KernelProfile): KernelProfile {
  for (const part of Object.values(profile)) Object.freeze(part);
  return Object.freeze(profile);
}
