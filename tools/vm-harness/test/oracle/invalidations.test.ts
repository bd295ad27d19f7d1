import { expect, test } from 'vitest';
import { interpret } from '../../src/oracle/interpret.ts';
import {
  markPrograms,
  modelInvalidations,
  ordersOf,
  qemuInvalidations,
} from '../../src/oracle/invalidations.ts';

test('markers are numbered through all programs, one before the first call and one after each', () => {
  const marked = markPrograms([
    { mode: 'strict', lines: ['a', 'b'] },
    { mode: 'lazy', lines: ['c'] },
  ]);
  expect(marked.programs.map(({ lines }) => lines.join(' '))).toEqual([
    'mark 0 a mark 1 b mark 2',
    'mark 3 c mark 4',
  ]);
  expect(marked.markers).toEqual([[1, 2], [4]]);
});

test('the model and a trace of QEMU are read alike', () => {
  const { programs } = markPrograms([
    { mode: 'strict', lines: ['alloc 0 0 5000', 'link 0 0 0 5000 0 0', 'unlink 0 0 5000 0 0'] },
  ]);
  const { model } = interpret(programs[0]!, { backend: 'vtd' });
  const trace = [
    'vtd_inv_desc_iotlb_global iotlb invalidate global',
    ...[0, 1, 2].map(
      (n) => `vtd_inv_desc_iotlb_pages iotlb invalidate domain 0x4 addr 0x700000${n}000 mask 0x0`,
    ),
    'vtd_inv_desc_iotlb_pages iotlb invalidate domain 0x4 addr 0xffff8000 mask 0x3',
    'vtd_inv_desc_iotlb_pages iotlb invalidate domain 0x4 addr 0x7000003000 mask 0x0',
  ].join('\n');
  const fromModel = modelInvalidations(model.invalidations);
  expect([...fromModel]).toEqual([
    [0, []],
    [1, []],
    [2, []],
    [3, ['ffff8000/3']],
  ]);
  expect([...qemuInvalidations(trace)]).toEqual([[0, ['global']], ...[...fromModel].slice(1)]);
  expect(ordersOf(['ffff8000/3', 'domain'])).toEqual([3, 'domain']);
});
