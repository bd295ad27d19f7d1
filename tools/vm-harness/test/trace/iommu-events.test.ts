import { expect, test } from 'vitest';
import { enclosingBlock } from '../../src/trace/enclosing-block.ts';
import { expectedInvalidations, type IommuEvent, parseIommuEvents } from '../../src/trace/iommu-events.ts';

const map = (page: number, pages = 1): IommuEvent => ({
  kind: 'map',
  iovaBytes: page * 4096,
  sizeBytes: pages * 4096,
});
const unmap = (page: number, pages = 1): IommuEvent => ({ ...map(page, pages), kind: 'unmap' });

test('maps and unmaps are read from a kernel trace, other events are not', () => {
  const trace = `
              dd-67      [000] ...1.    14.73: map: IOMMU: iova=0x00000000fffdf000 - 0x00000000fffe0000 paddr=0x0000000001532000 size=4096
              dd-67      [000] ...1.    14.74: io_page_fault: IOMMU:x iova=0x00000000fffdf000 flags=0x0
              dd-67      [000] d.h2.    14.75: unmap: IOMMU: iova=0x00000000fffdf000 - 0x00000000fffe0000 size=8192 unmapped_size=4096
`;
  expect(parseIommuEvents(trace)).toEqual([map(0xfffdf), { ...unmap(0xfffdf), sizeBytes: 8192 }]);
});

test('an unmap asks for the smallest aligned block around it', () => {
  expect(enclosingBlock(8, 8)).toEqual({ page: 8, order: 0 });
  expect(enclosingBlock(7, 8)).toEqual({ page: 0, order: 4 });
  expect(enclosingBlock(2 ** 40 + 1, 2 ** 40 + 2)).toEqual({ page: 2 ** 40, order: 2 });
  expect(expectedInvalidations([map(1), unmap(1, 2), unmap(16, 16)])).toEqual(['0/2', '10000/4']);
});
