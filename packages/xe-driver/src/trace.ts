import { defineTracepoint, type Errno, type TracepointDef } from '@gpusvm/kernel';

/** A GPU fault was accepted by the queue. Pages are virtual page numbers. */
export interface XePagefaultEvent {
  readonly asid: number;
  readonly page: number;
  readonly access: number;
  readonly queue: number;
}
/** A GPU fault was answered. */
export interface XePagefaultAckEvent {
  readonly asid: number;
  readonly page: number;
  readonly error: Errno;
}
/** Something happened to an interval of a GPU address space. */
export interface XeRangeEvent {
  readonly asid: number;
  readonly startPage: number;
  readonly endPage: number;
}
/** A bind was committed. */
export interface XeSvmBindEvent extends XeRangeEvent {
  readonly entries: number;
  readonly rebind: boolean;
}
/** Page-table entries were zeroed. */
export interface XeSvmZapEvent extends XeRangeEvent {
  readonly entries: number;
}
/** A flush was completed by the device; the interval is the rounded one. */
export interface XeTlbInvalEvent extends XeRangeEvent {
  readonly seqno: number;
}
/** A copy job ended. */
export interface XeCopyEvent {
  readonly pages: number;
  readonly toVram: boolean;
  readonly huge: boolean;
  readonly error: Errno;
}
/** A notifier callback began (`step` begin), unmapped one range (`unmap`) or ended (`end`). */
export interface XeSvmInvalidateEvent extends XeRangeEvent {
  readonly step: 'begin' | 'barrier' | 'unmap' | 'end';
  readonly event: string;
}
/** A buffer was evicted, or not. */
export interface XeBoEvictEvent {
  readonly offsetPages: number;
  readonly pages: number;
  readonly error: Errno;
}

export const XE_PAGEFAULT: TracepointDef<XePagefaultEvent> =
  defineTracepoint<XePagefaultEvent>('xe_pagefault');
export const XE_PAGEFAULT_ACK: TracepointDef<XePagefaultAckEvent> =
  defineTracepoint<XePagefaultAckEvent>('xe_pagefault_ack');
export const XE_SVM_BIND: TracepointDef<XeSvmBindEvent> = defineTracepoint<XeSvmBindEvent>('xe_svm_bind');
export const XE_SVM_ZAP: TracepointDef<XeSvmZapEvent> = defineTracepoint<XeSvmZapEvent>('xe_svm_zap');
export const XE_TLB_INVAL: TracepointDef<XeTlbInvalEvent> = defineTracepoint<XeTlbInvalEvent>('xe_tlb_inval');
export const XE_COPY: TracepointDef<XeCopyEvent> = defineTracepoint<XeCopyEvent>('xe_copy');
export const XE_SVM_INVALIDATE: TracepointDef<XeSvmInvalidateEvent> =
  defineTracepoint<XeSvmInvalidateEvent>('xe_svm_invalidate');
export const XE_BO_EVICT: TracepointDef<XeBoEvictEvent> = defineTracepoint<XeBoEvictEvent>('xe_bo_evict');
