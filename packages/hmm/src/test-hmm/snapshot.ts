import { EBUSY, EFAULT, type Errno, type Pfn, type Task } from '@gpusvm/kernel';
import { HMM_PFN_ERROR, HMM_PFN_VALID, HMM_PFN_WRITE, HmmPfns, hmmPfnToMapOrder } from '../hmm-pfns.ts';
import {
  MmuIntervalNotifier,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalReadBegin,
  mmuIntervalReadRetry,
  mmuIntervalSetSeq,
} from '../mmu-interval-notifier.ts';
import { hmmRangeFault } from '../range-fault.ts';
import type { Dmirror } from './dmirror.ts';
import { rangePages } from './mirror-fault.ts';

const ERROR = 0xff;
const READ = 0x01;
const WRITE = 0x02;
const PMD = 0x04;
const PUD = 0x08;
const ZERO = 0x10;
const PRIVATE_LOCAL = 0x20;
const PRIVATE_REMOTE = 0x30;
const COHERENT_LOCAL = 0x40;
const COHERENT_REMOTE = 0x50;

const KINDS: readonly [number, string][] = [
  [COHERENT_REMOTE, 'RCOH:'],
  [COHERENT_LOCAL, 'COH:'],
  [PRIVATE_REMOTE, 'RDEV:'],
  [PRIVATE_LOCAL, 'DEV:'],
  [ZERO, 'ZERO:'],
];

/** dmirror_snapshot: one byte for each page, read under a subscription of its own. */
export function* snapshot(file: Dmirror, page: number, pages: number): Task<number[] | Errno> {
  const { mm } = file;
  if (!mm.mmgetNotZero()) return -EFAULT;
  const bytes: number[] = [];
  const step = rangePages(file);
  let err: Errno = 0;
  for (let from = page; from < page + pages && err === 0; from += step) {
    err = yield* snapshotRange(file, from, Math.min(from + step, page + pages), bytes);
  }
  mm.mmput();
  return err === 0 ? bytes : err;
}

function* snapshotRange(file: Dmirror, startPage: number, endPage: number, bytes: number[]): Task<Errno> {
  const { mm } = file;
  const sub = new MmuIntervalNotifier();
  const inserted = yield* mmuIntervalNotifierInsert(sub, mm, startPage, endPage - startPage, {
    *invalidate(self, range, seq) {
      if (range.blockable) yield* file.mutex.lock();
      else if (!file.mutex.tryLock()) return false;
      mmuIntervalSetSeq(self, seq);
      file.mutex.unlock();
      return true;
    },
  });
  if (inserted !== 0) return inserted;
  const pfns = new HmmPfns(endPage - startPage);
  const range = {
    notifier: sub,
    notifierSeq: 0,
    startPage,
    endPage,
    pfns,
    defaultFlags: 0,
    pfnFlagsMask: 0,
    devPrivateOwner: file.device,
  };
  let err: Errno = -EBUSY;
  while (err === -EBUSY) {
    range.notifierSeq = yield* mmuIntervalReadBegin(sub);
    yield* mm.mmapLock.downRead();
    err = yield* hmmRangeFault(mm, range);
    mm.mmapLock.upRead();
    if (err !== 0) continue;
    yield* file.mutex.lock();
    if (mmuIntervalReadRetry(sub, range.notifierSeq)) err = -EBUSY;
    else for (let i = 0; i < endPage - startPage; i++) bytes.push(byteOf(file, pfns.pfn[i]!, pfns.flags[i]!));
    file.mutex.unlock();
  }
  yield* mmuIntervalNotifierRemove(sub);
  return err;
}

/** dmirror_mkentry */
function byteOf(file: Dmirror, pfn: Pfn, flags: number): number {
  if ((flags & HMM_PFN_ERROR) !== 0) return ERROR;
  if ((flags & HMM_PFN_VALID) === 0) return 0;
  const { folios, device } = file;
  let byte = 0;
  if (folios.isDevicePrivate(pfn)) byte = device.owns(pfn) ? PRIVATE_LOCAL : PRIVATE_REMOTE;
  else if (folios.isDeviceCoherent(pfn)) byte = device.owns(pfn) ? COHERENT_LOCAL : COHERENT_REMOTE;
  else if (folios.zeroPages.isZero(pfn)) byte = ZERO;
  byte |= (flags & HMM_PFN_WRITE) !== 0 ? WRITE : READ;
  const order = hmmPfnToMapOrder(flags);
  return byte | (order === 9 ? PMD : 0) | (order === 18 ? PUD : 0);
}

/**
 * A snapshot byte in words: `ERROR`, `none`, or `R`/`W` with `DEV:`, `RDEV:`, `COH:`, `RCOH:` or `ZERO:` in front for
 * local and remote device memory and the zero page, and `+PMD` or `+PUD` behind.
 */
export function snapshotWord(byte: number): string {
  if (byte === ERROR) return 'ERROR';
  if (byte === 0) return 'none';
  const kind = KINDS.find(([bits]) => (byte & 0x70) === bits)?.[1] ?? '';
  const size = (byte & PMD) !== 0 ? '+PMD' : (byte & PUD) !== 0 ? '+PUD' : '';
  return `${kind}${(byte & WRITE) !== 0 ? 'W' : 'R'}${size}`;
}

/** The byte of a word, -1 when it is none of {@link snapshotWord}'s. */
export function snapshotByte(word: string): number {
  for (let byte = 0; byte < 0x60; byte++) if (snapshotWord(byte) === word) return byte;
  return word === 'ERROR' ? ERROR : -1;
}
