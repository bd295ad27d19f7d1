import type {
  DeviceAccessEvent,
  DeviceCopyEvent,
  DeviceMapEvent,
  DeviceUnmapEvent,
  DmaMapFreeEvent,
  DmaPfnEvent,
  MigrateSlotsEvent,
  MigrateToRamEvent,
  NotifierCallbackEvent,
  NotifierInsertEvent,
  NotifierRangeEvent,
  NotifierReadEvent,
  NotifierRemoveEvent,
  RangeResultEvent,
} from '@gpusvm/hmm';
import type { LockEvent } from '@gpusvm/kernel';
import type { LockCycle } from './lock-graph.ts';
import type { MmState } from './mm-state.ts';

/** Number of an invariant of specification `hmm`, section 3; `LOCK` is the lock order that ends the section. */
export type MmRuleId = `S${number}` | 'LOCK';

/** What rules look at. */
export interface MmEvents {
  /** A state between two steps: everything is looked at. */
  readonly sweep: null;
  /** The machine goes: what was begun and not ended, before the state that this left behind is looked at. */
  readonly ending: null;
  /** The machine goes: nothing may be under way. */
  readonly finish: null;
  readonly callback: NotifierCallbackEvent;
  readonly range: NotifierRangeEvent;
  readonly read: NotifierReadEvent;
  readonly insert: NotifierInsertEvent;
  readonly remove: NotifierRemoveEvent;
  readonly lock: LockEvent;
  readonly result: RangeResultEvent;
  readonly slots: MigrateSlotsEvent;
  readonly toRam: MigrateToRamEvent;
  readonly deviceMap: DeviceMapEvent;
  readonly deviceUnmap: DeviceUnmapEvent;
  readonly access: DeviceAccessEvent;
  readonly copy: DeviceCopyEvent;
  readonly dma: DmaPfnEvent;
  readonly dmaFree: DmaMapFreeEvent;
  /** Locks were taken in an order that closes a circle. */
  readonly cycle: LockCycle;
}

export type MmHook = keyof MmEvents;

/** One invariant. */
export interface MmRule {
  readonly id: MmRuleId;
  readonly name: string;
  /** Use after free, corruption, leak, deadlock. */
  readonly severity: 'U' | 'C' | 'L' | 'D';
  /** What holds. */
  readonly statement: string;
  /** Called before the event changes what the state knows. */
  readonly checks: { readonly [H in MmHook]?: (event: MmEvents[H], state: MmState) => void };
}
