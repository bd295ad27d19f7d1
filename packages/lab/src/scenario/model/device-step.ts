import { type Dmirror, snapshotWord } from '@gpusvm/hmm/test-hmm';
import { EBADF, type Errno, type Task } from '@gpusvm/kernel';
import type { DeviceOp, DeviceRangeOp } from '../ast.ts';
import { expandValues } from '../values.ts';
import type { Process, ScenarioWorld } from './scenario-world.ts';

/** What a device command yields: an errno, values or words page by page, and the counts if it has any. */
export interface DeviceResult {
  readonly result: Errno | readonly (number | string)[];
  readonly counts: { readonly pages: number; readonly faults: number } | null;
}

/** Do what a process asks an open device to do; -EBADF if it has not opened it. */
export function* deviceStep(
  w: ScenarioWorld,
  p: Process,
  device: string,
  what: DeviceOp,
): Task<DeviceResult> {
  const file = p.files.get(device);
  if (file === undefined) return { result: -EBADF, counts: null };
  const { mirror } = file;
  if (what.op === 'release') return { result: yield* mirror.device.release(), counts: null };
  if (what.op === 'fail-alloc') {
    // The flag came with device THP (HMM_DMIRROR_FLAGS); before, the command is unknown.
    mirror.device.failAlloc = w.machine.profile.hmm.deviceThp;
    return { result: 0, counts: null };
  }
  const { page, pages } = w.layout.range(what.range);
  const result = yield* command(mirror, what, page, pages);
  const failed = typeof result === 'number' && result < 0;
  const counted = what.op !== 'check-exclusive' && !failed;
  const { cpages, faults } = mirror.counts;
  return { result, counts: counted ? { pages: cpages, faults } : null };
}

function* command(
  mirror: Dmirror,
  what: DeviceRangeOp,
  page: number,
  pages: number,
): Task<Errno | readonly (number | string)[]> {
  let result: Errno | readonly (number | string)[];
  switch (what.op) {
    case 'read':
      result = yield* mirror.read(page, pages);
      break;
    case 'read-unlocked':
      result = yield* mirror.readUnlocked(page, pages);
      break;
    case 'write':
      result = yield* mirror.write(page, expandValues(what.values, pages) as number[]);
      break;
    case 'migrate':
      result = yield* mirror.toDev(page, pages);
      break;
    case 'back':
      result = yield* mirror.toSys(page, pages);
      break;
    case 'exclusive':
      result = yield* mirror.exclusive(page, pages);
      break;
    case 'check-exclusive':
      result = yield* mirror.checkExclusive(page, pages);
      break;
    case 'snapshot': {
      const bytes = yield* mirror.snapshot(page, pages);
      result = typeof bytes === 'number' ? bytes : bytes.map(snapshotWord);
      break;
    }
  }
  return result;
}
