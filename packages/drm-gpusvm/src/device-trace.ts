import { DRM_INTERCONNECT_SYSTEM } from '@gpusvm/drm-pagemap';
import type { DrmGpusvm } from './gpusvm.ts';
import { type DrmGpusvmPages, type PagesLookup } from './pages.ts';
import type { PfnScratch } from './scratch.ts';

/**
 * Name of a device with one mirror, as hmm's device tracepoints have it: two mirrors of a device have page tables of
 * their own.
 */
export function drmGpusvmDeviceName(gpusvm: DrmGpusvm, pages: DrmGpusvmPages): string {
  return `${pages.dev?.name ?? 'no device'} ${gpusvm.name}`;
}

/** @internal Somebody listens: keep what HMM found, and tell of every system page that is now mapped for DMA. */
export function tellMapped(gpusvm: DrmGpusvm, pages: DrmGpusvmPages, scratch: PfnScratch): void {
  const { notifier, notifierSeq: seq, startPage, endPage, pfns } = scratch;
  const npages = endPage - startPage;
  const pfn = pfns.pfn.slice(0, npages);
  const flags = pfns.flags.slice(0, npages);
  pages.lookup = { notifier, seq, startPage, pfn, flags, mapped: true };
  tell(gpusvm, pages, pages.lookup, 'map');
}

/** @internal The mappings of {@link tellMapped} are gone. */
export function tellUnmapped(gpusvm: DrmGpusvm, pages: DrmGpusvmPages): void {
  const { lookup } = pages;
  if (lookup?.mapped !== true) return;
  lookup.mapped = false;
  if (gpusvm.trace.dmaPfn.enabled) tell(gpusvm, pages, lookup, 'unmap');
}

function tell(gpusvm: DrmGpusvm, pages: DrmGpusvmPages, lookup: PagesLookup, phase: 'map' | 'unmap'): void {
  const { notifier: sub, startPage, pfn, flags } = lookup;
  const { proto, order, count } = pages.addrs;
  const device = drmGpusvmDeviceName(gpusvm, pages);
  const iommu = pages.dev !== null && pages.dev.domain !== null;
  for (let j = 0, i = 0; j < count; j++) {
    for (const end = i + (1 << order[j]!); i < end; i++) {
      if (proto[j] !== DRM_INTERCONNECT_SYSTEM) continue;
      const about = { phase, device, sub, page: startPage + i, pfn: pfn[i]!, flags: flags[i]! };
      gpusvm.trace.dmaPfn.emit({ ...about, iommu, mmio: false });
    }
  }
}
