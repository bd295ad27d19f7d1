import {
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  MigratePfns,
  MigrateVma,
  migrateVmaFinalize,
  migrateVmaSetup,
} from '@gpusvm/hmm';
import { KERNEL_PROFILES, type Task } from '@gpusvm/kernel';
import { migrateToDevice } from '@gpusvm/sanitizer';
import { FIRST, type MmBug, type MmWorld } from './mm-bug.ts';

const LINUX = KERNEL_PROFILES['linux-7.3'];

/**
 * The livelock in the shape in which it was found: one migration has a page of RAM that has to be fetched out of the LRU
 * batch of some CPU, and behind it a device page that a second process maps. It holds the lock of the second page while it
 * waits for a work item on every CPU for the first, and the second process spins on that lock. In the trigger a page that somebody
 * has isolated stands for one in a batch, and a CPU whose task spins never runs its work item.
 */
export const HMM_B3: MmBug = {
  id: 'HMM-B3',
  title: 'a migration of system and device pages drains the LRU of a CPU that spins on its folio lock',
  source: 'b570f37a2ce4 (7.0), 20260205111028.200506-1-thomas.hellstrom@linux.intel.com',
  evidence: 'read',
  finds: 'livelock',
  profile: { ...LINUX, hmm: { ...LINUX.hmm, cpuFaultBusyFolio: 'spin' } },
  pages: 2,
  *prepare(w) {
    const { dev, folios, machine, mm } = w;
    yield* migrateToDevice(dev, FIRST + 1, FIRST + 2);
    yield* mm.fork('child');
    const batched = mm.pageTable.nodeOf(FIRST)!.pfn[0]!;
    folios.isolateLru(batched);
    folios.lruAddDrainAll = function* () {
      const spins = (): boolean =>
        machine.scheduler.tasks().some(({ name, polls }) => name === 'CPU' && polls);
      while (spins()) yield { kind: 'sleep', ns: 1000, poll: true };
      folios.putbackLru(batched);
    };
  },
  patch() {},
  tasks: {
    migration: migrateBoth,
    CPU: ({ folios }) => [...folios.mms.all()].find(({ name }) => name === 'child')!.cpuRead(FIRST + 1),
  },
};

/** Collect both pages, and leave them where they are. */
function* migrateBoth({ mm, dev }: MmWorld): Task<void> {
  yield* mm.mmapLock.downRead();
  const args = new MigrateVma({
    mm,
    vma: mm.vmaLookup(FIRST),
    startPage: FIRST,
    endPage: FIRST + 2,
    src: new MigratePfns(2),
    dst: new MigratePfns(2),
    pgmapOwner: dev,
    flags: MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  });
  yield* migrateVmaSetup(args);
  yield* migrateVmaFinalize(args);
  mm.mmapLock.upRead();
}
