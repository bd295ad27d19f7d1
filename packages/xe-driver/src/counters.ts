import type { CounterGroup, Machine } from '@gpusvm/kernel';

/** Size classes that the GT statistics tell apart. */
export const SIZE_CLASSES: readonly ['4K', '64K', '2M'] = ['4K', '64K', '2M'];

const bySize = (prefix: string, suffix: string): string[] =>
  SIZE_CLASSES.map((size) => `${prefix}_${size}_${suffix}`);

/** GT statistics of xe_gt_stats.c, then counters of this model. */
const NAMES: readonly string[] = [
  'svm_pagefault_count',
  'tlb_inval_count',
  'svm_tlb_inval_count',
  'svm_tlb_inval_us',
  'vma_pagefault_count',
  'vma_pagefault_kb',
  'svm_device_copy_us',
  'svm_cpu_copy_us',
  'svm_device_copy_kb',
  'svm_cpu_copy_kb',
  'invalid_prefetch_pagefault_count',
  ...bySize('svm', 'pagefault_count'),
  ...bySize('svm', 'valid_pagefault_count'),
  ...bySize('svm', 'pagefault_us'),
  ...bySize('svm', 'migrate_count'),
  ...bySize('svm', 'migrate_us'),
  ...bySize('svm', 'device_copy_us'),
  ...bySize('svm', 'cpu_copy_us'),
  ...bySize('svm', 'get_pages_us'),
  ...bySize('svm', 'bind_us'),
  'ptW',
  'ptTables',
  'gpuTlbHit',
  'gpuTlbMiss',
  'copyJobs',
  'copyBytes',
  'copyEntries',
  'clearBytes',
  'boEvict',
];

/** The counters of one Xe device's machine. */
export type XeCounters = CounterGroup;

const at = (name: string): number => NAMES.indexOf(name);

export const SVM_PAGEFAULT_COUNT: number = at('svm_pagefault_count');
export const TLB_INVAL_COUNT: number = at('tlb_inval_count');
export const SVM_TLB_INVAL_COUNT: number = at('svm_tlb_inval_count');
export const SVM_TLB_INVAL_US: number = at('svm_tlb_inval_us');
export const SVM_DEVICE_COPY_US: number = at('svm_device_copy_us');
export const SVM_CPU_COPY_US: number = at('svm_cpu_copy_us');
export const SVM_DEVICE_COPY_KB: number = at('svm_device_copy_kb');
export const SVM_CPU_COPY_KB: number = at('svm_cpu_copy_kb');
export const INVALID_PREFETCH: number = at('invalid_prefetch_pagefault_count');
/** First of three counters by size class; add {@link sizeClass}. */
export const PAGEFAULT_COUNT_4K: number = at('svm_4K_pagefault_count');
export const VALID_PAGEFAULT_COUNT_4K: number = at('svm_4K_valid_pagefault_count');
export const PAGEFAULT_US_4K: number = at('svm_4K_pagefault_us');
export const MIGRATE_COUNT_4K: number = at('svm_4K_migrate_count');
export const MIGRATE_US_4K: number = at('svm_4K_migrate_us');
export const DEVICE_COPY_US_4K: number = at('svm_4K_device_copy_us');
export const CPU_COPY_US_4K: number = at('svm_4K_cpu_copy_us');
export const GET_PAGES_US_4K: number = at('svm_4K_get_pages_us');
export const BIND_US_4K: number = at('svm_4K_bind_us');
export const PTE_WRITES: number = at('ptW');
export const PT_TABLES: number = at('ptTables');
export const GPU_TLB_HIT: number = at('gpuTlbHit');
export const GPU_TLB_MISS: number = at('gpuTlbMiss');
export const COPY_JOBS: number = at('copyJobs');
export const COPY_BYTES: number = at('copyBytes');
export const COPY_ENTRIES: number = at('copyEntries');
export const CLEAR_BYTES: number = at('clearBytes');
export const BO_EVICT: number = at('boEvict');

/** Counter group `xe` of a machine; several devices of a machine share it. */
export function xeCounters(machine: Machine): XeCounters {
  return machine.counters.group('xe', NAMES);
}

/** Offset of a range's size class: 0 below 64K, 1 below 2M, else 2. */
export function sizeClass(pages: number): 0 | 1 | 2 {
  return pages >= 512 ? 2 : pages >= 16 ? 1 : 0;
}
