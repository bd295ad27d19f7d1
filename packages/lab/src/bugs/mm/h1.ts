import { KERNEL_PROFILES, type Task } from '@gpusvm/kernel';
import { evict, migrateToDevice } from '@gpusvm/sanitizer';
import { FIRST, type MmBug, type MmWorld } from './mm-bug.ts';

const LINUX = KERNEL_PROFILES['linux-7.3'];

/**
 * migrate_device_unmap holds the lock of a device folio and waits in lru_add_drain_all for a work item on every CPU; the
 * CPU fault spins on that lock, on a CPU that cannot be preempted (HMM-B3). Here the drain, which is
 * inferred, waits in the callback of the unmap until nobody spins; the kernel before the fix is the profile's
 * `cpuFaultBusyFolio`.
 */
export const H1: MmBug = {
  id: 'H1',
  title: 'a CPU fault spins on a folio lock whose holder waits for that CPU',
  source: 'b570f37a2ce4 (7.0), 20260205111028.200506-1-thomas.hellstrom@linux.intel.com',
  evidence: 'inferred',
  finds: 'livelock',
  profile: { ...LINUX, hmm: { ...LINUX.hmm, cpuFaultBusyFolio: 'spin' } },
  *prepare(w) {
    yield* migrateToDevice(w.dev, FIRST, FIRST + 1);
    drainWhileUnmapping(w);
  },
  patch() {},
  tasks: {
    eviction: ({ dev }) => evict(dev),
    CPU: ({ mm }) => mm.cpuWrite(FIRST, 9),
  },
};

/** lru_add_drain_all under the folio lock: every CPU has to run a work item, and a spinning one does not. */
function drainWhileUnmapping({ dev, machine }: MmWorld): void {
  const { quiesce } = dev.ops;
  const spins = (): boolean => machine.scheduler.tasks().some(({ name, polls }) => name === 'CPU' && polls);
  dev.ops.quiesce = function* (device, startPage, endPage): Task<void> {
    if (machine.currentTask().name === 'eviction')
      while (spins()) yield { kind: 'sleep', ns: 1000, poll: true };
    yield* quiesce(device, startPage, endPage);
  };
}
