import type { PageTable } from './page-table.ts';
import {
  PTE_DEVICE,
  PTE_EXCLUSIVE,
  PTE_KIND,
  PTE_MARKER,
  PTE_MIGRATION,
  PTE_PRESENT,
  PTE_SWAP,
  PTE_ZERO,
} from './pte.ts';

/** Pages of an address space by kind of entry; a PMD leaf counts 512. */
export interface EntryCounts {
  present: number;
  zero: number;
  device: number;
  migration: number;
  swap: number;
  exclusive: number;
  marker: number;
}

const FIELDS: Readonly<Record<number, keyof EntryCounts>> = {
  [PTE_PRESENT]: 'present',
  [PTE_ZERO]: 'zero',
  [PTE_DEVICE]: 'device',
  [PTE_MIGRATION]: 'migration',
  [PTE_SWAP]: 'swap',
  [PTE_EXCLUSIVE]: 'exclusive',
  [PTE_MARKER]: 'marker',
};

/** Pages by kind of entry. Cost: what is populated. */
export function countEntries(table: PageTable): EntryCounts {
  const counts: EntryCounts = {
    present: 0,
    zero: 0,
    device: 0,
    migration: 0,
    swap: 0,
    exclusive: 0,
    marker: 0,
  };
  const add = (bits: number, pages: number): void => {
    const field = FIELDS[bits & PTE_KIND];
    if (field !== undefined) counts[field] += pages;
  };
  const end = Number.MAX_SAFE_INTEGER;
  for (let node = table.next(0, end); node !== null; node = table.next(node.index + 1, end)) {
    if (node.huge !== 0) add(node.huge, 512);
    else for (let slot = 0; slot < 512; slot++) add(node.bits[slot]!, 1);
  }
  return counts;
}
