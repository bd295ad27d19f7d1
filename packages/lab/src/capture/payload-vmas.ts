import type { ByteReader, ByteWriter, FailAt } from './byte-stream.ts';
import type { CaptureVma, VmaKind } from './capture.ts';
import { CaptureLimit } from './capture-check.ts';
import { readText, writeText } from './payload-text.ts';

/** Codes of the VMA kinds: a kind's index is its byte in the file, so new kinds go at the end. */
const KINDS: readonly VmaKind[] = ['anon', 'heap', 'stack', 'file', 'special'];

const VmaBit = { READ: 1, WRITE: 2, EXEC: 4, SHARED: 8, HUGETLB: 16, IO: 32 } as const;

/**
 * Writes the columns of the VMAs: gaps, sizes, attribute bits, kinds, names.
 *
 * @param writer - where to
 * @param vmas - sorted and disjoint
 */
export function writeVmas(writer: ByteWriter, vmas: readonly CaptureVma[]): void {
  let previousEnd = 0;
  for (const vma of vmas) {
    writer.varint(vma.startPage - previousEnd);
    previousEnd = vma.endPage;
  }
  for (const vma of vmas) writer.varint(vma.endPage - vma.startPage);
  for (const vma of vmas) writer.byte(vmaBits(vma));
  for (const vma of vmas) writer.byte(KINDS.indexOf(vma.kind));
  for (const vma of vmas) writeText(writer, 'a VMA name', vma.name);
}

function vmaBits({ prot, shared, hugetlb, io }: CaptureVma): number {
  return (
    (prot.read ? VmaBit.READ : 0) |
    (prot.write ? VmaBit.WRITE : 0) |
    (prot.exec ? VmaBit.EXEC : 0) |
    (shared ? VmaBit.SHARED : 0) |
    (hugetlb ? VmaBit.HUGETLB : 0) |
    (io ? VmaBit.IO : 0)
  );
}

/**
 * Reads what {@link writeVmas} wrote.
 *
 * @param reader - where from
 * @param count - VMAs, bounded by the caller
 * @param fail - throws
 * @returns the VMAs, whose order is still to be checked
 */
export function readVmas(reader: ByteReader, count: number, fail: FailAt): readonly CaptureVma[] {
  const gaps = Float64Array.from({ length: count }, () => reader.varint(CaptureLimit.VIRTUAL_PAGES));
  const sizes = Float64Array.from({ length: count }, () => reader.varint(CaptureLimit.VIRTUAL_PAGES + 1));
  const bits = reader.raw(count);
  const kindsOffset = reader.offset;
  const kinds = reader.raw(count);
  const vmas: CaptureVma[] = [];
  let page = 0;
  for (let i = 0; i < count; i++) {
    const bit = bits[i] ?? 0;
    const kind = KINDS[kinds[i] ?? 0] ?? fail('a VMA has an unknown kind', kindsOffset + i);
    if (bit >= 64) fail('a VMA has unknown attribute bits', kindsOffset - count + i);
    const startPage = page + (gaps[i] ?? 0);
    page = startPage + (sizes[i] ?? 0);
    const name = readText(reader, fail);
    vmas.push({
      startPage,
      endPage: page,
      prot: {
        read: (bit & VmaBit.READ) !== 0,
        write: (bit & VmaBit.WRITE) !== 0,
        exec: (bit & VmaBit.EXEC) !== 0,
      },
      shared: (bit & VmaBit.SHARED) !== 0,
      kind,
      hugetlb: (bit & VmaBit.HUGETLB) !== 0,
      io: (bit & VmaBit.IO) !== 0,
      ...(name === undefined ? {} : { name }),
    });
  }
  return vmas;
}
