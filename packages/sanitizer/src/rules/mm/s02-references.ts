import { FOLIO_HEAD, MIGRATE_PFN_VALID } from '@gpusvm/hmm';
import type { MmRule } from '../../mm/mm-rule.ts';
import type { MmState } from '../../mm/mm-state.ts';

/**
 * S2. migrate_vma_check_page and folio_migrate_mapping (mm/migrate_device.c, mm/migrate.c) compare the reference count
 * with the map count and the holders they know of: too few is a use after free to come, too many keeps the page where
 * it is for ever.
 */
export const REFERENCES: MmRule = {
  id: 'S2',
  name: 'REFERENCES',
  severity: 'C',
  statement:
    'the reference count is the map count and the known holders: page cache, swap, isolation, pins, migrations; at the end no more',
  checks: {
    sweep: (_event, state) => compare(state, false),
    finish: (_event, state) => compare(state, true),
  },
};

function compare(state: MmState, quiet: boolean): void {
  const { folios } = state;
  const migrating = new Map<number, number>();
  const open = new Set<number>();
  for (const { event, sources, phase } of state.migrations.values()) {
    for (let slot = 0; slot < event.slots; slot++)
      if ((event.dst.flags[slot]! & MIGRATE_PFN_VALID) !== 0) open.add(folios.head(event.dst.pfn[slot]!));
    for (const { pfn } of sources.values()) open.add(folios.head(pfn));
    if (phase !== 'setup') continue;
    for (const { pfn } of sources.values()) {
      const head = folios.head(pfn);
      migrating.set(head, (migrating.get(head) ?? 0) + 1);
    }
  }
  for (let pfn = 0; pfn < folios.totalPages; pfn++) {
    if ((folios.flags[pfn]! & FOLIO_HEAD) === 0) continue;
    const { pins, pageCache, swapCache, isolation, other } = folios.references(pfn);
    const migrations = migrating.get(pfn) ?? 0;
    const refs = folios.refs[pfn]!;
    // What takes part in a migration has references until that is finalized (S17 says that it never was).
    const most = open.has(pfn) ? Number.POSITIVE_INFINITY : migrations;
    if (quiet && pins > 0)
      state.report(REFERENCES, `page frame ${pfn} has ${pins} pins that nobody gave back`);
    if (other >= migrations && !(quiet && other > most)) continue;
    state.report(
      REFERENCES,
      `page frame ${pfn} has ${refs} references: ${folios.maps[pfn]} of page tables, ` +
        `${pageCache + swapCache} of the page cache or swap, ${isolation} of an isolation, ` +
        `${pins} of pins, ${migrations} of migrations`,
    );
  }
}
