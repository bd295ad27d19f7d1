import {
  DEVICE_ACCESS_TRACE,
  DEVICE_COPY_TRACE,
  DEVICE_MAP_TRACE,
  DEVICE_UNMAP_TRACE,
  DMA_MAP_FREE_TRACE,
  DMA_PFN_TRACE,
  FOLIO_LOCK_TRACE,
  MIGRATE_SLOTS_TRACE,
  MIGRATE_TO_RAM_TRACE,
  NOTIFIER_CALLBACK_TRACE,
  NOTIFIER_RANGE_TRACE,
  NOTIFIER_INSERT_TRACE,
  NOTIFIER_READ_TRACE,
  NOTIFIER_REMOVE_TRACE,
  type NotifierReadEvent,
  RANGE_RESULT_TRACE,
} from '@gpusvm/hmm';
import { SWIOTLB_UNBOUNCED } from '@gpusvm/dma-iova';
import { LOCK_TAKEN, type LockEvent, MIGHT_ALLOC, type TracepointDef, type Waitable } from '@gpusvm/kernel';
import { FOLIO_LOCK, INVALIDATION, lockClass, LockGraph, RECLAIM } from './lock-graph.ts';
import { NestedLocks } from './nested-locks.ts';
import type { MmEvents, MmHook, MmRule } from './mm-rule.ts';
import type { MmState } from './mm-state.ts';
import * as update from './mm-updates.ts';

type Checks = { [H in MmHook]: ((event: MmEvents[H], state: MmState) => void)[] };

const HOOKS: readonly MmHook[] = [
  'sweep',
  'ending',
  'finish',
  'callback',
  'range',
  'read',
  'insert',
  'remove',
  'lock',
  'result',
  'slots',
  'toRam',
  'deviceMap',
  'deviceUnmap',
  'access',
  'copy',
  'dma',
  'dmaFree',
  'cycle',
];

/** Listens to mm and its users, lets the rules look at each event, then brings the state up to date. */
export class MmLedger {
  readonly state: MmState;
  readonly #checks: Checks;
  readonly #graph = new LockGraph();
  readonly #nested = new NestedLocks();
  readonly #stops: (() => void)[] = [];

  constructor(state: MmState, rules: readonly MmRule[]) {
    this.state = state;
    this.#checks = Object.fromEntries(
      HOOKS.map((hook) => [hook, rules.flatMap((rule) => rule.checks[hook] ?? [])]),
    ) as unknown as Checks;
  }

  /** Begin to listen. */
  listen(): void {
    const { state } = this;
    this.#on(NOTIFIER_CALLBACK_TRACE, (e) => {
      if (e.phase === 'begin') this.#take(INVALIDATION);
      this.run('callback', e);
      update.callback(state, e);
    });
    this.#on(NOTIFIER_RANGE_TRACE, (e) => {
      this.run('range', e);
      if (e.phase === 'refused') state.refused.add(e.range);
    });
    this.#on(NOTIFIER_READ_TRACE, (e) => this.#read(e));
    this.#on(NOTIFIER_INSERT_TRACE, (e) => {
      this.run('insert', e);
      if ((state.callbacks.get(state.task)?.length ?? 0) === 0) this.#take(lockClass(e.mm.mmapLock));
    });
    this.#on(NOTIFIER_REMOVE_TRACE, (e) => {
      this.run('remove', e);
      this.#take(INVALIDATION);
    });
    this.#on(RANGE_RESULT_TRACE, (e) => {
      this.run('result', e);
      update.lookup(state, e);
    });
    this.#on(MIGRATE_SLOTS_TRACE, (e) => {
      this.run('slots', e);
      update.slots(state, e);
    });
    this.#on(MIGRATE_TO_RAM_TRACE, (e) => {
      this.run('toRam', e);
      update.toRam(state, e);
    });
    this.#on(FOLIO_LOCK_TRACE, () => this.#take(FOLIO_LOCK));
    this.#on(MIGHT_ALLOC, () => this.#take(RECLAIM));
    this.#on(LOCK_TAKEN, (e) => this.#lockTaken(e));
    this.#listenToDevices();
  }

  /** Stop listening. */
  stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  /** Let the rules of a hook look at an event. */
  run<H extends MmHook>(hook: H, event: MmEvents[H]): void {
    for (const check of this.#checks[hook]) check(event, this.state);
  }

  #listenToDevices(): void {
    const { state } = this;
    this.#on(DEVICE_MAP_TRACE, (e) => {
      this.run('deviceMap', e);
      update.deviceMap(state, e);
    });
    this.#on(DEVICE_UNMAP_TRACE, (e) => {
      this.run('deviceUnmap', e);
      update.deviceUnmap(state, e);
    });
    this.#on(DEVICE_ACCESS_TRACE, (e) => {
      const known = e.pfn >= 0 ? e : { ...e, pfn: state.entries.get(e.device)?.get(e.page)?.pfn ?? -1 };
      this.run('access', known);
      update.access(state, known);
    });
    this.#on(DEVICE_COPY_TRACE, (e) => {
      this.run('copy', e);
      update.copy(state, e);
    });
    this.#on(SWIOTLB_UNBOUNCED, (e) => update.copiedBack(state, e));
    this.#on(DMA_PFN_TRACE, (e) => {
      this.run('dma', e);
      update.dma(state, e);
    });
    this.#on(DMA_MAP_FREE_TRACE, (e) => this.run('dmaFree', e));
  }

  #read(e: NotifierReadEvent): void {
    if (e.phase === 'begin') this.#take(INVALIDATION);
    this.run('read', e);
    update.read(this.state, e);
  }

  #lockTaken(e: LockEvent): void {
    const { state } = this;
    const { lock, task, mode } = e;
    this.run('lock', e);
    const callback = state.callbacks.get(task)?.at(-1);
    if (callback !== undefined && e.maySleep) callback.mightSleep = true;
    state.stamps.set(lock, (state.stamps.get(lock) ?? 0) + (mode === 'read' ? 0 : 1));
    for (const { sub } of state.callbacks.get(task) ?? []) {
      const known = state.userLocks.get(sub) ?? new Set<Waitable>();
      state.userLocks.set(sub, known.add(lock));
    }
    for (const cycle of this.#nested.take(task, lock)) this.run('cycle', cycle);
    this.#take(lockClass(lock), lock);
  }

  /** The running task takes a class; `lock` is among its locks already. */
  #take(taken: string, lock: Waitable | null = null): void {
    const { state } = this;
    const { task } = state;
    const held = task.held.filter((other) => other !== lock && !state.told.has(other)).map(lockClass);
    if ((state.callbacks.get(task)?.length ?? 0) > 0) held.push(INVALIDATION);
    for (const cycle of this.#graph.take(task.name, [...new Set(held)], taken)) this.run('cycle', cycle);
  }

  #on<T, A extends readonly unknown[]>(def: TracepointDef<T, A>, listener: (event: T) => void): void {
    this.#stops.push(this.state.machine.trace.on(def, listener));
  }
}
