import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S16. Between setup and finalize the source is stable: migration entries keep the CPU out, S7 and S15 the devices, the
 * check for pins direct I/O (migrate_device_unmap, mm/migrate_device.c). A write in between is lost.
 */
export const SOURCE_WRITTEN: MmRule = {
  id: 'S16',
  name: 'SOURCE_WRITTEN',
  severity: 'C',
  statement: 'nobody writes a page that migrates between setup and finalize',
  checks: {
    access({ phase, device, page, pfn, write }, state) {
      if (phase !== 'end' || !write) return;
      const migration = state.migrationFrom(pfn);
      if (migration === null) return;
      state.report(
        SOURCE_WRITTEN,
        `${device} writes page ${page}, page frame ${pfn}, during the migration of ${migration.task}`,
      );
    },
    slots({ phase, src }, state) {
      if (phase !== 'finalize') return;
      const { memory } = state.folios;
      for (const { pfn, tag } of state.migrations.get(src)?.sources.values() ?? []) {
        if (tag < 0 || memory.readTag(pfn) === tag) continue;
        state.report(SOURCE_WRITTEN, `page frame ${pfn} was written after it had been copied`);
      }
    },
  },
};
