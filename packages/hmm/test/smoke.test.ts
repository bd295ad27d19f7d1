import { TagMemory } from '@gpusvm/dma-iova';
import { Machine } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import {
  FolioTable,
  Mm,
  MmuIntervalNotifier,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalReadBegin,
  mmuIntervalSetSeq,
  HmmPfns,
  hmmRangeFault,
  DevPagemap,
  zoneDevicePageInit,
  MigratePfns,
  MigrateVma,
  migrateVmaSetup,
  migrateVmaPages,
  migrateVmaFinalize,
} from '../src/index.ts';

test('smoke', () => {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 8192 });
  const folios = new FolioTable(machine, memory);
  const mm = new Mm(machine, folios, { name: 'p' });
  const vram = new Float64Array(1024);
  const owner = {};
  const pm: DevPagemap = new DevPagemap(folios, {
    type: 'private',
    owner,
    pages: 1024,
    ops: {
      *migrateToRam(vmf) {
        const args = new MigrateVma({
          mm,
          vma: vmf.vma,
          startPage: vmf.page,
          endPage: vmf.page + 1,
          src: new MigratePfns(1),
          dst: new MigratePfns(1),
          pgmapOwner: owner,
          flags: 2,
          faultFolio: vmf.folio,
        });
        expect(yield* migrateVmaSetup(args)).toBe(0);
        expect(args.cpages).toBe(1);
        const pfn = folios.allocFolio(0);
        folios.trylock(pfn);
        memory.writeTag(pfn, vram[args.src.pfn[0]! - pm.basePfn]!);
        args.dst.set(0, pfn);
        yield* migrateVmaPages(args);
        yield* migrateVmaFinalize(args);
        return 0;
      },
      folioFree() {},
    },
  });
  const sub = new MmuIntervalNotifier();
  machine.run(
    (function* () {
      expect(yield* mm.mmap(512, 1024, { read: true, write: true })).toBe(0);
      expect(yield* mm.cpuWrite(512, 7)).toBe(0);
      expect(yield* mm.cpuRead(513)).toBe(0);
      expect(
        yield* mmuIntervalNotifierInsert(sub, mm, 512, 1024, {
          *invalidate(s, _r, seq) {
            mmuIntervalSetSeq(s, seq);
            return true;
          },
        }),
      ).toBe(0);
      const seq = yield* mmuIntervalReadBegin(sub);
      yield* mm.mmapLock.downRead();
      const pfns = new HmmPfns(1024);
      const r = {
        notifier: sub,
        notifierSeq: seq,
        startPage: 512,
        endPage: 1536,
        pfns,
        defaultFlags: 1,
        pfnFlagsMask: 0,
        devPrivateOwner: owner,
      };
      expect(yield* hmmRangeFault(mm, r)).toBe(0);
      expect(pfns.flags[0]).toBe(3);
      expect(pfns.flags[1]).toBe(1);
      const n = 512;
      const args = new MigrateVma({
        mm,
        vma: mm.vmaLookup(512),
        startPage: 512,
        endPage: 1024,
        src: new MigratePfns(n),
        dst: new MigratePfns(n),
        pgmapOwner: owner,
        flags: 1,
      });
      expect(yield* migrateVmaSetup(args)).toBe(0);
      expect(args.cpages).toBe(512);
      for (let i = 0; i < n; i++) {
        zoneDevicePageInit(folios, pm.basePfn + i, pm, 0, {});
        args.dst.set(i, pm.basePfn + i);
        if (args.src.pfn[i]! >= 0) vram[i] = memory.readTag(args.src.pfn[i]!);
      }
      yield* migrateVmaPages(args);
      yield* migrateVmaFinalize(args);
      mm.mmapLock.upRead();
      expect(mm.devicePages).toBe(512);
      expect(yield* mm.cpuRead(512)).toBe(7);
      expect(mm.devicePages).toBe(511);
      expect(yield* mm.munmap(512, 100)).toBe(0);
      yield* mmuIntervalNotifierRemove(sub);
      yield* mm.exit();
      expect(pm.liveReferences).toBe(0);
    })(),
  );
  expect(machine.ledger.live()).toEqual([]);
});
