import { DMA_PFN_TRACE, type DmaPfnEvent, type MmuNotifierEvent } from '@gpusvm/hmm';
import {
  defineTracepoint,
  type Errno,
  type TraceBus,
  type Tracepoint,
  type TracepointDef,
} from '@gpusvm/kernel';

/** A window of a mirror, a range or a pages object changed. Pages; the end is exclusive. */
export interface GpusvmSpanEvent {
  readonly gpusvm: string;
  readonly startPage: number;
  readonly endPage: number;
}

/** Why a range was marked as unmapped. */
export interface RangeUnmappedEvent extends GpusvmSpanEvent {
  /** The range sticks out of the event. */
  readonly partial: boolean;
}

/** A `drmGpusvmGetPages` returned. */
export interface GetPagesEvent extends GpusvmSpanEvent {
  readonly err: Errno;
  /** Rounds, 1 when nothing interfered. */
  readonly rounds: number;
}

/** Pages were mapped for a device. */
export interface PagesMappedEvent {
  readonly gpusvm: string;
  readonly device: string;
  readonly npages: number;
  /** Entries of the address array. */
  readonly entries: number;
  readonly systemEntries: number;
  /** The system pages lie in one IOVA reservation. */
  readonly iova: boolean;
}

/** A mapping was taken away. */
export interface PagesUnmappedEvent {
  readonly gpusvm: string;
  readonly device: string;
  readonly npages: number;
  /** Because a map failed half-way; entries and IOVA of that map only. */
  readonly unwind: boolean;
}

/** An invalidation reached the driver. */
export interface GpusvmInvalidateEvent extends GpusvmSpanEvent {
  readonly event: MmuNotifierEvent;
  /** `begin` before, `end` after the driver's callback. */
  readonly phase: 'begin' | 'end';
}

/** A range was pushed to system memory, as far as possible. */
export interface RangeEvictEvent extends GpusvmSpanEvent {
  readonly err: Errno;
}

export const GPUSVM_NOTIFIER_INSERT: TracepointDef<GpusvmSpanEvent> = defineTracepoint(
  'drm_gpusvm_notifier_insert',
);
export const GPUSVM_NOTIFIER_REMOVE: TracepointDef<GpusvmSpanEvent> = defineTracepoint(
  'drm_gpusvm_notifier_remove',
);
export const GPUSVM_RANGE_INSERT: TracepointDef<GpusvmSpanEvent> =
  defineTracepoint('drm_gpusvm_range_insert');
export const GPUSVM_RANGE_REMOVE: TracepointDef<GpusvmSpanEvent> =
  defineTracepoint('drm_gpusvm_range_remove');
export const GPUSVM_RANGE_FREE: TracepointDef<GpusvmSpanEvent> = defineTracepoint('drm_gpusvm_range_free');
export const GPUSVM_RANGE_UNMAPPED: TracepointDef<RangeUnmappedEvent> =
  defineTracepoint('drm_gpusvm_range_unmapped');
export const GPUSVM_RANGE_EVICT: TracepointDef<RangeEvictEvent> = defineTracepoint('drm_gpusvm_range_evict');
export const GPUSVM_GET_PAGES: TracepointDef<GetPagesEvent> = defineTracepoint('drm_gpusvm_get_pages');
export const GPUSVM_PAGES_MAPPED: TracepointDef<PagesMappedEvent> =
  defineTracepoint('drm_gpusvm_pages_mapped');
export const GPUSVM_PAGES_UNMAPPED: TracepointDef<PagesUnmappedEvent> =
  defineTracepoint('drm_gpusvm_pages_unmapped');
export const GPUSVM_INVALIDATE: TracepointDef<GpusvmInvalidateEvent> =
  defineTracepoint('drm_gpusvm_invalidate');

/** The tracepoints of one machine. */
export interface GpusvmTrace {
  readonly notifierInsert: Tracepoint<GpusvmSpanEvent>;
  readonly notifierRemove: Tracepoint<GpusvmSpanEvent>;
  readonly rangeInsert: Tracepoint<GpusvmSpanEvent>;
  readonly rangeRemove: Tracepoint<GpusvmSpanEvent>;
  readonly rangeFree: Tracepoint<GpusvmSpanEvent>;
  readonly rangeUnmapped: Tracepoint<RangeUnmappedEvent>;
  readonly rangeEvict: Tracepoint<RangeEvictEvent>;
  readonly getPages: Tracepoint<GetPagesEvent>;
  readonly pagesMapped: Tracepoint<PagesMappedEvent>;
  readonly pagesUnmapped: Tracepoint<PagesUnmappedEvent>;
  readonly invalidate: Tracepoint<GpusvmInvalidateEvent>;
  /** hmm's, for pages that are mapped for DMA. */
  readonly dmaPfn: Tracepoint<DmaPfnEvent>;
}

/** Look the tracepoints up once, for the fields of an object. */
export function gpusvmTrace(bus: TraceBus): GpusvmTrace {
  return {
    notifierInsert: bus.point(GPUSVM_NOTIFIER_INSERT),
    notifierRemove: bus.point(GPUSVM_NOTIFIER_REMOVE),
    rangeInsert: bus.point(GPUSVM_RANGE_INSERT),
    rangeRemove: bus.point(GPUSVM_RANGE_REMOVE),
    rangeFree: bus.point(GPUSVM_RANGE_FREE),
    rangeUnmapped: bus.point(GPUSVM_RANGE_UNMAPPED),
    rangeEvict: bus.point(GPUSVM_RANGE_EVICT),
    getPages: bus.point(GPUSVM_GET_PAGES),
    pagesMapped: bus.point(GPUSVM_PAGES_MAPPED),
    pagesUnmapped: bus.point(GPUSVM_PAGES_UNMAPPED),
    invalidate: bus.point(GPUSVM_INVALIDATE),
    dmaPfn: bus.point(DMA_PFN_TRACE),
  };
}
