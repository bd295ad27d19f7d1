export * from './errno.ts';
export * from './units.ts';
export * from './task.ts';
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
export { Machine, type MachineOptions, WARN, type WarnEvent } from './machine.ts';
export { Mutex } from './mutex.ts';
export { NotImplemented } from './not-implemented.ts';
export { RbNode, rbNext, rbPrev, RbTree, type RbTreeOps } from './rb-tree.ts';
export { RwSem } from './rwsem.ts';
export { Scheduler, TaskHandle, type TaskState } from './scheduler.ts';
export { random, runToCompletion, type SchedulerStrategy, timed } from './scheduler-strategy.ts';
export {
  defineTracepoint,
  TraceBus,
  type Tracepoint,
  type TracepointDef,
  type TraceRecord,
} from './tracepoint.ts';
export { VirtualClock } from './virtual-clock.ts';
export { WaitQueue } from './wait-queue.ts';
export { Work, WorkQueue } from './work-queue.ts';
