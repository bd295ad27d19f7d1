import { Machine } from '@gpusvm/kernel';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeVtdTables, IO_PAGE_TABLES, IotlbGather, PagingDomain } from '../../src/index.ts';

const BASE = 0x1_0000_0000_000;
const addressOf = (index: number): number => BASE + index * 4096;

function vtd(levels = 4): PagingDomain {
  return new PagingDomain(new Machine(), { name: 'dev', format: IO_PAGE_TABLES.vtd, levels });
}

/** Walks the images as the hardware does; null where an entry is not present. */
function walk(
  tables: readonly Uint8Array[],
  levels: number,
  page: number,
): { phys: bigint; rights: bigint } | null {
  let table = 0;
  for (let level = levels - 1; ; level--) {
    const index = Math.floor(page / 512 ** level) % 512;
    const entry = new DataView(tables[table]!.buffer).getBigUint64(index * 8, true);
    const address = entry & 0xffffffffff000n;
    if ((entry & 3n) === 0n) return null;
    if (level === 0 || (entry & 0x80n) !== 0n) {
      return { phys: address + BigInt(page % 512 ** level) * 4096n, rights: entry & 3n };
    }
    table = (Number(address) - BASE) / 4096;
  }
}

test('an entry has the bits of the specification', () => {
  const domain = vtd();
  domain.mapRange(0, 0xabcde, 1, 1);
  domain.mapRange(512, 0x200, 512, 3);
  domain.mapRange(2 ** 18, 2 ** 39, 2 ** 18, 2);
  const [root, second, third, lowest] = encodeVtdTables(domain, addressOf).map(
    (image) => new DataView(image.buffer),
  );
  expect(root!.getBigUint64(0, true)).toBe(BigInt(addressOf(1)) | 3n);
  expect(second!.getBigUint64(0, true)).toBe(BigInt(addressOf(2)) | 3n);
  expect(second!.getBigUint64(8, true)).toBe((2n ** 51n) | 0x82n);
  expect(third!.getBigUint64(8, true)).toBe(0x200083n);
  expect(lowest!.getBigUint64(0, true)).toBe(0xabcde001n);
});

test('a walk of the encoded tables translates as the domain does, for any maps and unmaps', () => {
  const range = fc.record({
    page: fc.constantFrom(0, 1, 510, 512, 1024, 2 ** 18, 2 ** 18 + 7, 2 ** 35 - 4),
    pages: fc.constantFrom(1, 2, 3, 8, 512, 513),
    pfn: fc.constantFrom(0x10, 0x200, 0x201, 2 ** 32 + 0x400),
    prot: fc.constantFrom(0, 1, 2, 3),
  });
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), fc.constantFrom(4, 5), (ops, levels) => {
      const domain = vtd(levels);
      const gather = new IotlbGather();
      for (const { page, pages, pfn, prot } of ops) {
        if (prot === 0) domain.unmapRange(page, pages, gather);
        else domain.mapRange(page, pfn, pages, prot);
        domain.sync(gather);
      }
      const tables = encodeVtdTables(domain, addressOf);
      expect(tables.length).toBe(domain.tables + 1);
      for (const { page, pages } of ops) {
        for (const probe of [page - 1, page, page + 1, page + pages - 1, page + pages]) {
          if (probe < 0 || probe >= 512 ** levels) continue;
          const found = walk(tables, levels, probe);
          expect(found === null ? -1 : Number(found.phys / 4096n)).toBe(domain.translate(probe));
          expect(Number(found?.rights ?? 0n)).toBe(domain.table.permission(probe));
        }
      }
    }),
  );
});

test('a table of another format is refused', () => {
  const amd = new PagingDomain(new Machine(), { name: 'gpu', format: IO_PAGE_TABLES.amdv1 });
  expect(() => encodeVtdTables(amd, addressOf)).toThrow('encodeVtdTables: gpu has format amdv1, not vtd');
});
