import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { genericPtFormatRows } from './upstream/generic-pt-format.ts';
import { iommufdRows } from './upstream/iommufd.ts';
import { iovaRows } from './upstream/iova.ts';
import { otherRows } from './upstream/others.ts';
import { pageTableRows } from './upstream/page-tables.ts';
import type { UpstreamElsewhere, UpstreamRow } from './upstream/rows.ts';

/** Every test idea of specification section 5, by suite. */
const ALL: Readonly<Record<UpstreamRow['suite'], readonly string[]>> = {
  'generic_pt format': [
    'bit operations',
    'best_pgsize',
    'table_ptr',
    'max_va',
    'table_radix',
    'entry_possible_sizes',
    'entry_oa',
    'attr_from_entry',
    'dirty',
    'sw_bit_leaf, sw_bit_table',
  ],
  'generic_pt iommu': [
    'increase_level',
    'map_simple',
    'map_table_to_oa',
    'unmap_split',
    'random_map',
    'overmap',
    'pgsize_boundary',
    'mixed',
    'exit',
    'compare suite',
  ],
  'io-pgtable-arm': ['selftest'],
  iova: [
    'size_aligned',
    'top-down preference',
    'reserve respected',
    '32-bit in a full 64-bit domain',
    '33- and 56-bit limits',
    'aligned allocation in fragmented space',
    'pci_32bit_workaround pattern',
    'random stress',
    'full-space failing search',
    'fragmented 32-bit search',
    'deferred erase',
  ],
  iommufd: [
    'cmd_fail, cmd_length, cmd_ex_fail',
    'area_destroy, ioas_destroy',
    'area',
    'unmap_fully_contained_areas',
    'area_auto_iova',
    'area_allowed, iova_ranges',
    'copy_area, copy_sweep, access_*, fork_*, option_huge_pages',
    'iova_alloc',
    'align_change',
    'mock_domain all_aligns',
    'replace, hwpt_attach',
    'dirty_tracking',
    'vfio_compat',
    'fail_nth',
  ],
  others: [
    'dma_map_benchmark',
    'iommu.debug_pagealloc',
    'dma-buf: ranges at offset 0',
    'dma-buf: first-link failure',
    'generation-1 destroy with a short length',
    'dummy over-mapping (RFC v3 05/11)',
    'legacy VT-d against generic_pt at a hole',
    'iommu_map_nosync: inverted errno',
    'unlink of 4K inside a 2M leaf',
  ],
};

const ROWS: readonly UpstreamRow[] = [
  ...genericPtFormatRows,
  ...pageTableRows,
  ...iovaRows,
  ...iommufdRows,
  ...otherRows,
];

const ELSEWHERE: readonly UpstreamElsewhere[] = [
  { suite: 'generic_pt format', name: 'dirty', where: 'none', why: 'dirty tracking is not modelled' },
  {
    suite: 'generic_pt format',
    name: 'sw_bit_leaf, sw_bit_table',
    where: 'none',
    why: 'entries have no such bits',
  },
  {
    suite: 'generic_pt iommu',
    name: 'increase_level',
    where: 'io-page-table/grow.test.ts',
    why: 'the top grows',
  },
  { suite: 'generic_pt iommu', name: 'map_simple', where: 'contract.test.ts', why: 'every leaf size' },
  { suite: 'generic_pt iommu', name: 'unmap_split', where: 'contract.test.ts', why: 'start of a large leaf' },
  {
    suite: 'generic_pt iommu',
    name: 'random_map',
    where: 'volume/page-tables.test.ts',
    why: '3.5 million ranges',
  },
  { suite: 'generic_pt iommu', name: 'pgsize_boundary', where: 'contract.test.ts', why: '0xfef80000' },
  { suite: 'generic_pt iommu', name: 'mixed', where: 'contract.test.ts', why: '14 + 3 + 3 leaves' },
  {
    suite: 'generic_pt iommu',
    name: 'compare suite',
    where: 'volume/page-tables.test.ts',
    why: 'against a flat array',
  },
  {
    suite: 'iova',
    name: 'deferred erase',
    where: 'none',
    why: 'a property of the maple tree, which was not merged',
  },
  {
    suite: 'iommufd',
    name: 'cmd_fail, cmd_length, cmd_ex_fail',
    where: 'none',
    why: 'the uAPI is not this layer',
  },
  {
    suite: 'iommufd',
    name: 'area_allowed, iova_ranges',
    where: 'contract.test.ts',
    why: 'reserved and limits',
  },
  {
    suite: 'iommufd',
    name: 'copy_area, copy_sweep, access_*, fork_*, option_huge_pages',
    where: 'none',
    why: 'an IOAS pins user memory; here the caller owns physical pages',
  },
  { suite: 'iommufd', name: 'dirty_tracking', where: 'none', why: 'dirty tracking is not modelled' },
  { suite: 'iommufd', name: 'vfio_compat', where: 'none', why: 'the uAPI is not this layer' },
  { suite: 'iommufd', name: 'fail_nth', where: 'fail-nth.test.ts', why: 'every k of every scenario' },
  {
    suite: 'others',
    name: 'dma-buf: ranges at offset 0',
    where: 'drivers/drivers.test.ts',
    why: 'as in 7.3.4',
  },
  {
    suite: 'others',
    name: 'generation-1 destroy with a short length',
    where: 'dma-iova.test.ts',
    why: 'the bin is demoted',
  },
  {
    suite: 'others',
    name: 'unlink of 4K inside a 2M leaf',
    where: 'golden-7.3.test.ts',
    why: 'rows 71 and 73',
  },
];

for (const suite of Object.keys(ALL)) {
  describe(`upstream tests, ${suite}`, () => {
    for (const row of ROWS.filter((r) => r.suite === suite)) {
      it(`${row.name}: ${row.title}`, () => {
        expect(row.run()).toBeUndefined();
      });
    }
  });
}

describe('coverage of specification section 5', () => {
  it('has a test, another file, or a reason for every row', () => {
    for (const [suite, names] of Object.entries(ALL)) {
      const covered = [...ROWS, ...ELSEWHERE].filter((row) => row.suite === suite).map((row) => row.name);
      expect([suite, names.filter((name) => !covered.includes(name))]).toEqual([suite, []]);
      expect([suite, covered.filter((name) => !names.includes(name))]).toEqual([suite, []]);
    }
  });

  it('names only files that exist', () => {
    const files = ELSEWHERE.map((row) => row.where).filter((where) => where !== 'none');
    expect(files.filter((file) => !existsSync(new URL(file, import.meta.url)))).toEqual([]);
  });
});
