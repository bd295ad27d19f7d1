import { expect, test } from 'vitest';
import { allocWindow } from '../src/alloc-window.ts';
import { attached } from './sim-device.ts';

test('a window is memory that is mapped; when it cannot be mapped nothing is left', () => {
  using t = attached({ memlockBytes: 8192 });
  const window = allocWindow(t.sys, t.ioas, { lengthBytes: 4096, iova: 0x5000 });
  window.bytes.set([0x34, 0x12], 6);
  expect([window.read16(6), window.iova]).toEqual([0x1234, 0x5000n]);
  expect(() => allocWindow(t.sys, t.ioas, { lengthBytes: 8192, iova: 0x9000 })).toThrow('ENOMEM');
  expect(() => allocWindow(t.sys, t.ioas, { lengthBytes: 0, iova: 0x9000 })).toThrow('mmap(lengthBytes 0)');
  expect(t.ioas.unmapAll()).toBe(4096);
});
