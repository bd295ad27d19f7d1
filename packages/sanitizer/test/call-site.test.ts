import {
  dmaIovaDestroyHoles,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaTryAlloc,
} from '@gpusvm/dma-iova';
import { expect, it } from 'vitest';
import { rig } from './rig.ts';

it('a report names the function of the layer and its caller, also when it is called through a table', () => {
  const r = rig('strict', {}, { callSites: 'every' });
  const state = new DmaIovaState();
  const pfn = r.memory.allocPages(0);
  dmaIovaTryAlloc(r.dev, state, 0, 8192);
  dmaIovaLink(r.dev, state, pfn * 4096, 0, 4096, 0, 0);
  const table = { free: dmaIovaFree };
  table.free(r.dev, state);
  const [report] = r.sanitizer.reports;
  expect(report).toMatchObject({
    rule: 'I10',
    api: 'dmaIovaFree',
    task: 'outside of any task',
    device: 'gpu0',
  });
  expect(report!.site).toMatch(/^test\/call-site\.test\.ts:\d+:\d+$/);
  expect(report!.reservation).toMatchObject({ addrBytes: state.addr, sizeBytes: 8192 });
  expect(report!.reservation!.site).toMatch(/^test\/call-site\.test\.ts:/);
  expect(report!.survivors).toHaveLength(1);
  expect(report!.survivors[0]!.site).toMatch(/^test\/call-site\.test\.ts:/);
});

it('a destroy that steps over holes is legal, called through a table or not', () => {
  const r = rig();
  const table = { destroyHoles: dmaIovaDestroyHoles };
  for (const destroy of [
    dmaIovaDestroyHoles,
    (...args: Parameters<typeof dmaIovaDestroyHoles>) => table.destroyHoles(...args),
  ]) {
    const state = new DmaIovaState();
    const pfn = r.memory.allocPages(3);
    dmaIovaTryAlloc(r.dev, state, 0, 32768);
    for (const i of [1, 2, 6]) dmaIovaLink(r.dev, state, (pfn + i) * 4096, i * 4096, 4096, 0, 0);
    expect(destroy(r.dev, state, 0, 0)).toMatchObject({ clearedPages: 3 });
    r.memory.freePagesBlock(pfn, 3);
  }
  r.sanitizer.releaseDevice(r.dev);
  r.dev.destroy();
  expect(r.sanitizer.finish()).toEqual([]);
});
