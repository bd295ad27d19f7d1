import type { IotlbInvalidateEvent } from '@gpusvm/dma-iova';
import { invalidationOf, markerOf, parseQemuTrace, splitPhases } from '../trace/qemu-trace.ts';
import type { OracleProgram } from './program.ts';

/** Invalidations of one call, as `address/order` or `domain`. */
export type CallInvalidations = readonly string[];

/**
 * Programs with a marker before the first call and after every one, numbered through, so that each invalidation in a
 * trace belongs to a call.
 *
 * @returns the programs, and the markers after their calls.
 */
export function markPrograms(programs: readonly OracleProgram[]): {
  readonly programs: readonly OracleProgram[];
  readonly markers: readonly (readonly number[])[];
} {
  let next = 0;
  const mark = (): string => `mark ${(next++).toString(16)}`;
  const markers: number[][] = [];
  const marked = programs.map(({ mode, lines }) => {
    const first = mark();
    const own: number[] = [];
    const body = lines.flatMap((line) => {
      own.push(next);
      return [line, mark()];
    });
    markers.push(own);
    return { mode, lines: [first, ...body] };
  });
  return { programs: marked, markers };
}

/** Invalidations by the marker that ended their phase, from QEMU's trace of `vtd_inv_desc_iotlb*`. */
export function qemuInvalidations(trace: string): Map<number, CallInvalidations> {
  const found = new Map<number, CallInvalidations>();
  for (const { marker, events } of splitPhases(parseQemuTrace(trace))) {
    if (marker === null) continue;
    const invalidations = events.map(invalidationOf).filter((invalidation) => invalidation !== null);
    found.set(
      marker,
      invalidations.map((i) => (i.kind === 'range' ? describe(i.iovaBytes, i.order) : i.kind)),
    );
  }
  return found;
}

/** The same from the model's events. */
export function modelInvalidations(events: readonly IotlbInvalidateEvent[]): Map<number, CallInvalidations> {
  const found = new Map<number, CallInvalidations>();
  let current: string[] = [];
  for (const { kind, iovaBytes, order } of events) {
    const marker = markerOf({ kind, domainId: 0, iovaBytes, order });
    if (marker === null) {
      current.push(kind === 'range' ? describe(iovaBytes, order) : kind);
    } else {
      found.set(marker, current);
      current = [];
    }
  }
  return found;
}

/** Orders of a call's invalidations, as section 8 gives them. */
export function ordersOf(invalidations: CallInvalidations): readonly (number | string)[] {
  return invalidations.map((text) => (text.includes('/') ? Number(text.split('/')[1]) : text));
}

function describe(iovaBytes: number, order: number): string {
  return `${iovaBytes.toString(16)}/${order}`;
}
