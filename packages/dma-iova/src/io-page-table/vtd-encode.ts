import type { PagingDomain } from '../paging-domain.ts';
import type { RadixTable } from './radix-table.ts';
import { E_RW, E_TABLE, ENTRIES, ROOT } from './table-pool.ts';

const TABLE_BYTES = 4096;
const TWO32 = 4294967296;
/** Leaf above the lowest level (PS). */
const PAGE_SIZE_BIT = 0x80;

/**
 * The page table of a domain as a VT-d reads it in memory (second stage, "VT-d Architecture Specification" 9.8): 512
 * little-endian entries of 8 bytes a table, R in bit 0, W in bit 1, PS in bit 7, the address in bits 51:12.
 *
 * Cost: every table is walked and copied.
 *
 * @param domain - of format `vtd` or `vtd-legacy`.
 * @param addressOf - physical address in bytes of the n-th table, a multiple of 4096; 0 is the root.
 * @returns the images of the tables, 4096 bytes each, in that numbering.
 * @throws RangeError when the domain has another format.
 */
export function encodeVtdTables(domain: PagingDomain, addressOf: (index: number) => number): Uint8Array[] {
  if (!domain.format.startsWith('vtd'))
    throw new RangeError(`encodeVtdTables: ${domain.name} has format ${domain.format}, not vtd`);
  const tables: Uint8Array[] = [];
  encode(domain.table, ROOT, domain.levels - 1, tables, addressOf);
  return tables;
}

function encode(
  pt: RadixTable,
  table: number,
  level: number,
  tables: Uint8Array[],
  addressOf: (index: number) => number,
): number {
  const index = tables.length;
  const image = new Uint8Array(TABLE_BYTES);
  const view = new DataView(image.buffer);
  tables.push(image);
  for (let i = 0; i < ENTRIES; i++) {
    const e = table * ENTRIES + i;
    const meta = pt.pool.meta[e]!;
    if ((meta & E_TABLE) !== 0) {
      const child = encode(pt, pt.pool.lo[e]!, level - 1, tables, addressOf);
      store(view, i, addressOf(child), E_RW);
    } else if ((meta & E_RW) !== 0) {
      store(view, i, pt.entryPfn(e) * 4096, (meta & E_RW) | (level > 0 ? PAGE_SIZE_BIT : 0));
    }
  }
  return index;
}

function store(view: DataView, index: number, addressBytes: number, flags: number): void {
  view.setUint32(index * 8, ((addressBytes % TWO32) | flags) >>> 0, true);
  view.setUint32(index * 8 + 4, Math.floor(addressBytes / TWO32), true);
}
