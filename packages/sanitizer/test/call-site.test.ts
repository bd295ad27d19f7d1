import {
  dmaIovaDestroyHoles,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaTryAlloc,
} from '@gpusvm/dma-iova';
import { expect, it } from 'vitest';
import type { CallSiteOption, Report } from '../src/index.ts';
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

/** A reservation of two pages, one of them linked, freed without an unlink. */
function careless(callSites: CallSiteOption): Report {
  const r = rig('strict', {}, { callSites });
  const state = new DmaIovaState();
  dmaIovaTryAlloc(r.dev, state, 0, 8192);
  dmaIovaLink(r.dev, state, r.memory.allocPages(0) * 4096, 0, 4096, 0, 0);
  dmaIovaFree(r.dev, state);
  return r.sanitizer.reports[0]!;
}

it('without call sites a report has the numbers of the calls, and a second run names the site of one of them', () => {
  const first = careless('none');
  expect([first.reservation!.site, first.survivors[0]!.site]).toEqual(['', '']);
  expect([first.reservation!.call, first.survivors[0]!.call]).toEqual([1, 2]);
  expect(first.message).toContain('mapped outside of any task in call 2');
  const second = careless([first.survivors[0]!.call]);
  expect(second.reservation!.site).toBe('');
  expect(second.survivors[0]!.site).toMatch(/^test\/call-site\.test\.ts:/);
  expect(second.message).toMatch(/in call 2 at test\/call-site\.test\.ts:/);
});

it('call sites of reservations alone can be asked for', () => {
  const report = careless('reservations');
  expect(report.reservation!.site).toMatch(/^test\/call-site\.test\.ts:/);
  expect(report.survivors[0]!.site).toBe('');
});
