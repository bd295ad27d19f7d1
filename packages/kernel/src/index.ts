export * from './errno.ts';
export * from './units.ts';
export * from './task.ts';
export { AccessLog } from './access-log.ts';
export { Choice } from './choice.ts';
export { Completion } from './completion.ts';
export { type CounterGroup, Counters } from './counters.ts';
export { DeadlockError } from './deadlock.ts';
export { DmaFence } from './dma-fence.ts';
export { FaultInjection, type FaultSite } from './fault-injection.ts';
export { IntervalTree } from './interval-tree.ts';
export { KERNEL_PROFILES, type KernelProfile, type KernelProfileName } from './kernel-profile.ts';
export { Kref } from './kref.ts';
export { Ledger, type LiveItem } from './ledger.ts';
export {
  LOCK_RELEASED,
  LOCK_TAKEN,
  type LockEvent,
  MIGHT_ALLOC,
  type MightAllocEvent,
} from './lock-trace.ts';
export { Machine, type MachineOptions, WARN, type WarnEvent } from './machine.ts';
export { Mutex } from './mutex.ts';
export { NotImplemented } from './not-implemented.ts';
export { RbNode, rbNext, rbPrev, RbTree, type RbTreeOps } from './rb-tree.ts';
export { RwSem } from './rwsem.ts';
export { Scheduler } from './scheduler.ts';
export { SharedCell } from './shared-cell.ts';
export { ExhaustiveSearch } from './strategy/exhaustive.ts';
export type { ExhaustiveOptions, RunEnd } from './strategy/exhaustive-options.ts';
export { pct, type PctOptions } from './strategy/pct.ts';
export { recorded, type RecordedStrategy } from './strategy/recorded.ts';
export { replay } from './strategy/replay.ts';
export {
  type ChoiceMade,
  parseSchedule,
  type Schedule,
  scheduleLength,
  scheduleText,
  type Switch,
} from './strategy/schedule.ts';
export { type Fails, shrinkSchedule, type ShrinkOptions, type ShrunkSchedule } from './strategy/shrink.ts';
export { random } from './strategy/random.ts';
export { runToCompletion } from './strategy/run-to-completion.ts';
export type { SchedulerStrategy } from './strategy/strategy.ts';
export { timed } from './strategy/timed.ts';
export { TaskHandle, type TaskState } from './task-handle.ts';
export {
  defineLiveTracepoint,
  defineTracepoint,
  TraceBus,
  type Tracepoint,
  type TracepointDef,
  type TraceRecord,
} from './tracepoint.ts';
export { VirtualClock } from './virtual-clock.ts';
export { WaitQueue } from './wait-queue.ts';
export { Work, WorkQueue } from './work-queue.ts';
