import {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_SYSTEM,
  MigratePfns,
  MigrateVma,
  migrateVmaFinalize,
  PTE_KIND,
  PTE_MIGRATION,
} from '@gpusvm/hmm';
import type { Task } from '@gpusvm/kernel';
import { FIRST, type MmBug, type MmWorld } from './mm-bug.ts';

const HUGE = 512;

/**
 * migrate_vma_collect_huge_pmd meets a PMD that migrates already, waits for the end of that migration, which drops the
 * lock of the PMD, and then drops the lock once more. In the kernel a test before it made the branch unreachable; the
 * patch has the branch without that test.
 */
export const HMM_B4: MmBug = {
  id: 'HMM-B4',
  title: 'collect drops the lock of a PMD that it waited for a second time',
  source: '20260413211559.20969-1-nueralspacetech@gmail.com, Fixes a30b48bf1b24',
  evidence: 'read',
  finds: 'exception',
  ramPages: 2048,
  pages: HUGE,
  huge: true,
  written: 1,
  patch({ dev, folios }) {
    const { setup } = dev.ops;
    dev.ops.setup = function* (args) {
      const { pmdLock, pageTable } = args.mm;
      pmdLock.lock();
      const node = pageTable.nodeOf(args.startPage);
      if (node !== null && (node.huge & PTE_KIND) === PTE_MIGRATION) {
        pmdLock.unlock();
        yield* folios.waitLocked(folios.head(node.hugePfn));
      }
      pmdLock.unlock();
      return yield* setup(args);
    };
  },
  tasks: { first: collect, second: collect },
};

/** Collect the huge page whole, and leave it where it is. */
function* collect({ mm, dev }: MmWorld): Task<void> {
  yield* mm.mmapLock.downRead();
  const args = new MigrateVma({
    mm,
    vma: mm.vmaLookup(FIRST),
    startPage: FIRST,
    endPage: FIRST + HUGE,
    src: new MigratePfns(HUGE),
    dst: new MigratePfns(HUGE),
    pgmapOwner: dev,
    flags: MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND,
  });
  yield* dev.ops.setup(args);
  yield* migrateVmaFinalize(args);
  mm.mmapLock.upRead();
}
