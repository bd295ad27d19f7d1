import type { VirtualClock } from '@gpusvm/kernel';
import type { IovaAllocator } from './iova-allocator.ts';
import { type IovaTraceEvent, isLossLine, parseIovaTraceLine } from './trace-event.ts';

/** The first line of a recorded trace at which the allocator chose another address. */
export interface TraceDifference {
  /** 1-based line of the trace. */
  readonly line: number;
  readonly text: string;
  readonly expectedBytes: number;
  /** 0 when the allocator found no space. */
  readonly gotBytes: number;
}

/** What {@link compareIovaTrace} found. */
export interface IovaTraceReport {
  /** Null when all addresses agree. */
  readonly difference: TraceDifference | null;
  /** Addresses that were compared; 0 means that the text has no map event of this device. */
  readonly compared: number;
  /** Ranges given back. */
  readonly freed: number;
  /** Events left out: pieces of a scatter list after the first, and unmaps of what the trace did not map. */
  readonly skipped: number;
  /** Line from which on events are missing, so that nothing behind it was compared; 0 = none is. */
  readonly lostAtLine: number;
}

/** How a trace is compared. */
export interface IovaTraceOptions {
  /** Last page that the device may use (its DMA mask). */
  readonly limitPage: number;
  /** Try below 4 GiB first, until that fails once, as dma-iommu does without iommu.forcedac=1; default true. */
  readonly prefer32?: boolean;
  /** Moved by the trace's time stamps, so that depots are trimmed when they were. Default: time stands still. */
  readonly clock?: VirtualClock;
  /**
   * Which events belong to the device: the kernel's events do not name it, but task, CPU and address tell. Default all.
   */
  readonly keep?: (event: IovaTraceEvent) => boolean;
}

const LAST_32BIT = 2 ** 20 - 1;

/**
 * Replay a kernel trace of `iommu:map` and `iommu:unmap` against an allocator and report the first address that
 * differs. Every map is an allocation, every unmap a free, on the CPU that the line names; the maps that one unmap
 * takes away together (the pieces of a scatter list) are one allocation.
 *
 * The trace must hold the classic mappings of one device from its first one on, in a strict domain: a lazy one frees
 * later than it unmaps, and links of the two-step API show no reservation.
 *
 * @param trace - text of /sys/kernel/tracing/trace, trace-cmd report or perf script; other lines are ignored.
 * @param iova - a fresh allocator with the device's reserved regions, on a machine with as many CPUs as the trace.
 */
export function compareIovaTrace(
  trace: string,
  iova: IovaAllocator,
  options: IovaTraceOptions,
): IovaTraceReport {
  const { events, lostAtLine } = readEvents(trace, options);
  const extents = extentsOf(events);
  const cpus = new CpuNumbers();
  const live = new Map<number, number>();
  const space = new Space(iova, options);
  const startNs = events.find((event) => event.timeNs >= 0)?.timeNs ?? 0;
  let compared = 0;
  let freed = 0;
  for (const event of events) {
    if (options.clock !== undefined && event.timeNs - startNs > options.clock.nowNs) {
      options.clock.advance(event.timeNs - startNs - options.clock.nowNs);
      iova.poll();
    }
    const cpu = cpus.index(event.cpu);
    if (event.kind === 'unmap') {
      const pages = live.get(event.iovaBytes);
      if (pages === undefined) continue;
      live.delete(event.iovaBytes);
      iova.free(event.iovaBytes / 4096, pages, cpu);
      freed++;
      continue;
    }
    const bytes = extents.get(event);
    if (bytes === undefined) continue;
    compared++;
    const pages = Math.ceil(bytes / 4096);
    const gotBytes = space.alloc(pages, cpu) * 4096;
    if (gotBytes !== event.iovaBytes) {
      const { line, text, iovaBytes: expectedBytes } = event;
      const difference = { line, text, expectedBytes, gotBytes };
      return { difference, compared, freed, skipped: events.length - compared - freed, lostAtLine };
    }
    live.set(event.iovaBytes, pages);
  }
  return { difference: null, compared, freed, skipped: events.length - compared - freed, lostAtLine };
}

function readEvents(
  trace: string,
  options: IovaTraceOptions,
): { events: IovaTraceEvent[]; lostAtLine: number } {
  const events: IovaTraceEvent[] = [];
  const lines = trace.split('\n');
  for (let i = 0; i < lines.length; i++) {
    if (isLossLine(lines[i]!)) return { events, lostAtLine: i + 1 };
    const event = parseIovaTraceLine(lines[i]!, i + 1);
    if (event !== null && (options.keep === undefined || options.keep(event))) events.push(event);
  }
  return { events, lostAtLine: 0 };
}

/** Bytes of the allocation that each map begins; maps inside of one that has begun are not in the result. */
function extentsOf(events: readonly IovaTraceEvent[]): Map<IovaTraceEvent, number> {
  const extents = new Map<IovaTraceEvent, number>();
  const open = new Map<number, IovaTraceEvent>();
  for (const event of events) {
    if (event.kind === 'map') {
      open.set(event.iovaBytes, event);
      extents.set(event, event.sizeBytes);
      continue;
    }
    const first = open.get(event.iovaBytes);
    if (first === undefined) continue;
    extents.set(first, Math.max(event.sizeBytes, first.sizeBytes));
    open.delete(event.iovaBytes);
    for (let at = event.iovaBytes + first.sizeBytes; at < event.iovaBytes + event.sizeBytes; ) {
      const piece = open.get(at);
      if (piece === undefined) break;
      extents.delete(piece);
      open.delete(at);
      at += piece.sizeBytes;
    }
  }
  return extents;
}

/** CPU numbers of a trace in order of appearance: the allocator numbers them from 0 without gaps. */
class CpuNumbers {
  readonly #index = new Map<number, number>();

  index(cpu: number): number {
    let index = this.#index.get(cpu);
    if (index === undefined) {
      index = this.#index.size;
      this.#index.set(cpu, index);
    }
    return index;
  }
}

/** iommu_dma_alloc_iova: below 4 GiB first, until that fails once. */
class Space {
  readonly #iova: IovaAllocator;
  readonly #limitPage: number;
  #prefer32: boolean;

  constructor(iova: IovaAllocator, options: IovaTraceOptions) {
    this.#iova = iova;
    this.#limitPage = options.limitPage;
    this.#prefer32 = options.prefer32 ?? true;
  }

  alloc(pages: number, cpu: number): number {
    if (this.#prefer32 && this.#limitPage > LAST_32BIT) {
      const low = this.#iova.alloc(pages, LAST_32BIT, false, cpu);
      if (low !== 0) return low;
      this.#prefer32 = false;
    }
    return this.#iova.alloc(pages, this.#limitPage, true, cpu);
  }
}
