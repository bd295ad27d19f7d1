import { drmGpusvmDeviceName } from '@gpusvm/drm-gpusvm';
import {
  DEVICE_ACCESS_TRACE,
  DEVICE_COPY_TRACE,
  DEVICE_MAP_TRACE,
  DEVICE_UNMAP_TRACE,
  type DeviceAccessEvent,
  type DeviceCopyEvent,
  type DeviceMapEvent,
  type DeviceUnmapEvent,
  HMM_PFN_WRITE,
} from '@gpusvm/hmm';
import type { TraceBus, Tracepoint } from '@gpusvm/kernel';
import { XE_PAGE_RW, XE_PPGTT_PTE_DM } from './pt-encoding.ts';
import { forEachMapped } from './pt-mapped.ts';
import { PtWalker } from './pt-walk.ts';
import type { XeSvmRange } from './svm-range.ts';
import type { XeVm } from './vm.ts';

/** hmm's device tracepoints: what this device's page tables hold and what it does, page by page, for those who check it. */
export interface XeDeviceTrace {
  readonly map: Tracepoint<DeviceMapEvent>;
  readonly unmap: Tracepoint<DeviceUnmapEvent>;
  readonly access: Tracepoint<DeviceAccessEvent>;
  readonly copy: Tracepoint<DeviceCopyEvent>;
}

/** Look the tracepoints up once. */
export function xeDeviceTrace(bus: TraceBus): XeDeviceTrace {
  return {
    map: bus.point(DEVICE_MAP_TRACE),
    unmap: bus.point(DEVICE_UNMAP_TRACE),
    access: bus.point(DEVICE_ACCESS_TRACE),
    copy: bus.point(DEVICE_COPY_TRACE),
  };
}

/**
 * Entries of a range were committed: tell what the page table says now. Pages whose lookup nobody kept, since they were
 * collected before anybody listened, are left out. Cost: a walk a page.
 */
export function tellBound(vm: XeVm, range: XeSvmRange): void {
  const { lookup } = range.pages;
  if (lookup === null) return;
  const { xe } = vm;
  const device = drmGpusvmDeviceName(vm.svm, range.pages);
  const { notifier: sub, seq } = lookup;
  const walker = new PtWalker(xe.pt);
  for (let page = range.startPage; page < range.endPage; page++) {
    if (!walker.walk(vm.root, page)) continue;
    const i = page - lookup.startPage;
    const isVram = (walker.low & XE_PPGTT_PTE_DM) !== 0;
    xe.deviceTrace.map.emit({
      device,
      sub,
      seq,
      page,
      pfn: isVram ? xe.vram.dpaFrameToPfn(walker.frame) : lookup.pfn[i]!,
      write: (walker.low & XE_PAGE_RW) !== 0,
      cpuWrite: (lookup.flags[i]! & HMM_PFN_WRITE) !== 0,
      check: 'pages-valid',
    });
  }
}

/** A flush is done: tell which pages of the interval neither page table nor TLB translates any more. */
export function tellFlushed(vm: XeVm, startPage: number, endPage: number): void {
  const { xe } = vm;
  const left: [number, number][] = [];
  xe.tlb.forEach((asid, page) => {
    if (asid === vm.asid && page >= startPage && page < endPage) left.push([page, page + 1]);
  });
  forEachMapped(xe.pt, vm.root, startPage, endPage, (from, to) => left.push([from, to]));
  left.sort(([a], [b]) => a - b);
  const device = `${xe.device.name} ${vm.svm.name}`;
  let page = startPage;
  for (const [from, to] of [...left, [endPage, endPage] as const]) {
    if (from > page) xe.deviceTrace.unmap.emit({ device, startPage: page, endPage: from });
    page = Math.max(page, to);
  }
}

/** Do an access to a page, and tell when it begins and ends. System pages are known by their address only: pfn -1. */
export function toldAccess(
  vm: XeVm,
  page: number,
  pfn: number,
  write: boolean,
  access: () => number,
): number {
  const { deviceTrace, device } = vm.xe;
  const about = { device: `${device.name} ${vm.svm.name}`, access: {}, page, pfn, write };
  deviceTrace.access.emit({ phase: 'begin', ...about });
  const result = access();
  deviceTrace.access.emit({ phase: 'end', ...about });
  return result;
}
