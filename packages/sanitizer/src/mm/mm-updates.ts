import {
  type DeviceAccessEvent,
  type DeviceCopyEvent,
  type DeviceMapEvent,
  type DeviceUnmapEvent,
  type DmaPfnEvent,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  type MigrateSlotsEvent,
  type MigrateToRamEvent,
  type NotifierCallbackEvent,
  type NotifierReadEvent,
  type RangeResultEvent,
} from '@gpusvm/hmm';
import type { SwiotlbEvent } from '@gpusvm/dma-iova';
import { PAGE_SIZE, type Waitable } from '@gpusvm/kernel';
import type { MmState, Source } from './mm-state.ts';

/** Results of lookups that are remembered for one subscription. */
const MOST_LOOKUPS = 64;

/** A callback begins or ends; one that left the sequence alone has passed the invalidation over. */
export function callback(state: MmState, e: NotifierCallbackEvent): void {
  const { task } = state;
  const running = state.callbacks.get(task) ?? [];
  if (e.phase === 'begin') {
    const held = [...task.held];
    const begun = { sub: e.sub, range: e.range, sleeps: task.sleeps, held, mightSleep: false };
    state.callbacks.set(task, [...running, begun]);
    return;
  }
  const top = running.at(-1);
  if (top?.sub === e.sub && top.range === e.range) state.callbacks.set(task, running.slice(0, -1));
  if (e.phase === 'end' && e.result) invalidated(state, e);
  // A callback that notes the invalidation under no lock at all shows that there is none.
  if (e.phase === 'end' && e.result && e.sub.invalidateSeq === e.curSeq && !state.userLocks.has(e.sub))
    state.userLocks.set(e.sub, new Set());
  // One that refused a range that must not be waited for has invalidated nothing, and its caller knows.
  if (e.phase === 'first' || !e.result || e.sub.invalidateSeq === e.curSeq) return;
  const skipped = state.skipped.get(e.sub) ?? [];
  state.skipped.set(e.sub, [...skipped, { locks: new Set(task.held) }]);
}

/** What lies inside of the newer interval counts no more. */
function invalidated(state: MmState, { sub, range, curSeq }: NotifierCallbackEvent): void {
  const { startPage, endPage } = range;
  const older = (state.invalidated.get(sub) ?? []).filter(
    (pages) => pages.startPage < startPage || pages.endPage > endPage,
  );
  state.invalidated.set(sub, [...older, { startPage, endPage, seq: curSeq }]);
}

/** A read side begins, or was tested. */
export function read(state: MmState, e: NotifierReadEvent): void {
  const { task } = state;
  if (e.phase === 'begin') {
    const known = state.readers.get(e.sub);
    const held = new Set<Waitable>(task.held);
    state.readers.set(
      e.sub,
      known === undefined ? held : new Set([...known].filter((lock) => held.has(lock))),
    );
    return;
  }
  const tasks = state.fresh.get(e.sub) ?? new Map();
  state.fresh.set(e.sub, tasks);
  if (e.stale) tasks.delete(task);
  else
    tasks.set(task, {
      seq: e.seq,
      locks: task.held.map((lock) => ({ lock, stamp: state.stamps.get(lock) ?? 0 })),
    });
}

/** A lookup has succeeded; what it says of a page takes the place of what older ones said. */
export function lookup(state: MmState, { sub, seq, startPage, endPage, pfns }: RangeResultEvent): void {
  const older = (state.lookups.get(sub) ?? []).filter(
    (result) => result.startPage < startPage || result.endPage > endPage,
  );
  const pages = endPage - startPage;
  const result = {
    startPage,
    endPage,
    seq,
    pfn: pfns.pfn.slice(0, pages),
    flags: pfns.flags.slice(0, pages),
  };
  state.lookups.set(sub, [result, ...older].slice(0, MOST_LOOKUPS));
}

/** A migration passes a phase. */
export function slots(state: MmState, e: MigrateSlotsEvent): void {
  if (e.phase === 'setup') {
    state.migrations.set(e.src, {
      event: e,
      task: state.task.name,
      sources: sources(state, e),
      phase: 'setup',
    });
    return;
  }
  const open = state.migrations.get(e.src);
  if (open !== undefined) open.phase = e.phase;
  if (e.phase !== 'finalized') return;
  state.migrations.delete(e.src);
  for (let slot = 0; slot < e.slots; slot++) state.copies.delete(e.dst.pfn[slot]!);
}

function sources(state: MmState, { src, slots: count }: MigrateSlotsEvent): Map<number, Source> {
  const found = new Map<number, Source>();
  const wanted = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE;
  for (let slot = 0; slot < count; slot++) {
    if ((src.flags[slot]! & wanted) !== wanted) continue;
    const pfn = src.pfn[slot]!;
    const tag = pfn < state.folios.ramPages ? state.folios.memory.readTag(pfn) : -1;
    found.set(slot, { pfn, tag });
  }
  return found;
}

/** A task goes into a driver's migrate_to_ram, or comes back. */
export function toRam(state: MmState, e: MigrateToRamEvent): void {
  const folios = state.faults.get(state.task) ?? [];
  state.faults.set(state.task, e.phase === 'begin' ? [...folios, e.folio] : folios.slice(0, -1));
}

export function deviceMap(state: MmState, e: DeviceMapEvent): void {
  const subs = state.subs.get(e.device) ?? new Set();
  state.subs.set(e.device, subs.add(e.sub));
  const entries = state.entries.get(e.device) ?? new Map<number, DeviceMapEvent>();
  state.entries.set(e.device, entries.set(e.page, e));
  if (e.check === 'pages-valid' || state.userLocks.has(e.sub)) return;
  const read = state.fresh.get(e.sub)?.get(state.task);
  if (read === undefined) return;
  const locks = read.locks.filter(({ lock, stamp }) => state.stillHeld(state.task, lock, stamp));
  const where = `${e.device} maps page ${e.page} to page frame ${e.pfn}`;
  const maps = state.unjudged.get(e.sub) ?? new Map();
  const known = { where, locks: locks.map(({ lock }) => lock) };
  state.unjudged.set(e.sub, maps.set(known.locks.map(({ label }) => label).join(), known));
}

export function deviceUnmap(state: MmState, e: DeviceUnmapEvent): void {
  const entries = state.entries.get(e.device);
  if (entries === undefined) return;
  for (const page of entries.keys()) if (page >= e.startPage && page < e.endPage) entries.delete(page);
}

export function access(state: MmState, e: DeviceAccessEvent): void {
  if (e.phase === 'begin') state.accesses.set(e.access, e);
  else state.accesses.delete(e.access);
}

export function copy(state: MmState, e: DeviceCopyEvent): void {
  state.copiesAreTold = true;
  // The end of a copy may know less than its start.
  const from = e.from >= 0 ? e.from : (state.copies.get(e.to)?.from ?? -1);
  state.copies.set(e.to, { phase: e.phase, from, clears: e.clears });
}

/** A bounce buffer was copied back: what a device has completed in the buffer is complete in the pages. */
export function copiedBack(state: MmState, { physBytes, slotBytes, sizeBytes }: SwiotlbEvent): void {
  for (let offset = 0; offset < sizeBytes; offset += PAGE_SIZE) {
    const buffer = Math.floor((slotBytes + offset) / PAGE_SIZE);
    const copied = state.copies.get(buffer);
    if (copied === undefined) continue;
    state.copies.delete(buffer);
    state.copies.set(Math.floor((physBytes + offset) / PAGE_SIZE), copied);
  }
}

export function dma(state: MmState, e: DmaPfnEvent): void {
  const pages = state.dma.get(e.device) ?? new Map<number, DmaPfnEvent>();
  state.dma.set(e.device, pages);
  if (e.phase === 'map') pages.set(e.page, e);
  else pages.delete(e.page);
}
