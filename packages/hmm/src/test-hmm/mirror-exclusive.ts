import { EBUSY, type Errno, type Task } from '@gpusvm/kernel';
import { makeDeviceExclusiveRange } from '../device-exclusive-range.ts';
import { makeDeviceExclusive } from '../device-exclusive.ts';
import type { Dmirror } from './dmirror.ts';

/** Pages that 6.12 makes exclusive in one go. */
const BATCH = 64;

/** dmirror_exclusive without reading back: 0 or an errno. */
export function* mirrorExclusive(file: Dmirror, page: number, pages: number): Task<Errno> {
  const { mm } = file;
  const end = page + pages;
  const byRange = mm.machine.profile.hmm.deviceExclusive === 'range';
  yield* mm.mmapLock.downRead();
  let err: Errno = 0;
  for (let at = page; at < end && err === 0; at += byRange ? BATCH : 1) {
    err = byRange
      ? yield* exclusiveRange(file, at, Math.min(end, at + BATCH))
      : yield* exclusivePage(file, at);
  }
  mm.mmapLock.upRead();
  return err;
}

function* exclusivePage(file: Dmirror, page: number): Task<Errno> {
  const { folios } = file;
  const pfn = yield* makeDeviceExclusive(file.mm, page, file);
  if (pfn < 0) return pfn;
  yield* file.mutex.lock();
  file.table.set(page, pfn, 'atomic');
  file.mutex.unlock();
  const head = folios.head(pfn);
  folios.unlock(head);
  folios.put(head);
  return 0;
}

/** Nothing goes into the table if a page could not be faulted in; whatever the reason, too few pages are -EBUSY. */
function* exclusiveRange(file: Dmirror, from: number, to: number): Task<Errno> {
  const { folios } = file;
  const pages = new Float64Array(to - from);
  const taken = yield* makeDeviceExclusiveRange(file.mm, from, pages, file);
  let mapped = 0;
  if (taken === pages.length) {
    yield* file.mutex.lock();
    for (const [i, pfn] of pages.entries()) {
      if (pfn < 0) continue;
      file.table.set(from + i, pfn, 'atomic');
      mapped++;
    }
    file.mutex.unlock();
  }
  for (let i = 0; i < taken; i++) {
    if (pages[i]! < 0) continue;
    folios.unlock(pages[i]!);
    folios.put(pages[i]!);
  }
  return mapped === pages.length ? 0 : -EBUSY;
}
