import type { DmaOp } from './op.ts';
import type { ReportedRange } from './report.ts';
import type { RuleId } from './rule-id.ts';
import type { DeviceShadow } from './shadow/device-shadow.ts';
import type { Frames } from './shadow/frames.ts';
import type { ListMapping } from './shadow/list-mapping.ts';
import type { MappingView } from './shadow/mapping-view.ts';
import type { DmaDevice } from '@gpusvm/dma-iova';
import type { Machine } from '@gpusvm/kernel';

/**
 * Moments at which rules look. Each sees the shadow as it was before the call, except for page-table changes that
 * the same call has made already (they are events of their own and come first).
 *
 * `owed` comes when a bounce slot was not given back in time, `leftMapped` when an unmap left entries in the page table,
 * `release` is the end of a device, `end` the end of the machine.
 */
export type Hook =
  | 'alloc'
  | 'link'
  | 'sync'
  | 'unlink'
  | 'free'
  | 'map'
  | 'unmap'
  | 'mapSegment'
  | 'mapList'
  | 'unmapList'
  | 'freeCoherent'
  | 'leftMapped'
  | 'syncSingle'
  | 'owed'
  | 'unbounce'
  | 'iommuMap'
  | 'iommuUnmap'
  | 'tableFree'
  | 'access'
  | 'fault'
  | 'pageFree'
  | 'release'
  | 'end';

/** A check of one hook. */
export type Check = (op: DmaOp, found: Findings) => void;

/** One invariant. */
export interface DmaRule {
  readonly id: RuleId;
  readonly name: string;
  /** The invariant in one sentence. */
  readonly statement: string;
  readonly checks: Readonly<Partial<Record<Hook, Check>>>;
}

/** Details of a finding beyond its text. */
export interface Detail {
  /** Reservation record; default the operation's. */
  readonly reservation?: number;
  /** Range concerned, in pages; default the operation's. */
  readonly firstPage?: number;
  readonly pages?: number;
  /** Page of the first hole. */
  readonly firstHole?: number;
  /** Mappings that survive or collide. */
  readonly survivors?: readonly ReportedRange[];
}

/** What a check may ask and say. */
export interface Findings {
  readonly machine: Machine;
  readonly frames: Frames;
  /** Every device that was watched, released ones included. */
  readonly watched: ReadonlySet<DmaDevice>;
  /** Whether a device with a page table is not watched, or something was mapped before the sanitizer listened. */
  readonly strangers: boolean;
  /** Ranges of IOVA space that devices held when they were released, each reported by itself. */
  readonly leakedRanges: number;
  /** Every device that was seen and not released. */
  devices(): Iterable<DeviceShadow>;
  /** The first few runs of a range that have one of these slot flags, with those who mapped them. */
  survivors(op: DmaOp, firstPage: number, pages: number, flags: number): readonly ReportedRange[];
  /** A mapping as reports show it. */
  mapping(device: DeviceShadow, mapping: MappingView): ReportedRange;
  /** A scatter list as reports show it. */
  list(device: DeviceShadow, list: ListMapping): ReportedRange;
  /** Name of a task by its number. */
  taskName(id: number): string;
  /** Say that a rule is broken. */
  report(rule: DmaRule, op: DmaOp, what: string, detail?: Detail): void;
}
