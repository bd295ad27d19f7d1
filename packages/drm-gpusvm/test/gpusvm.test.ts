import { mapStrategy } from '@gpusvm/drm-pagemap';
import { EINVAL, RwSem } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  drmGpusvmFini,
  drmGpusvmGetPages,
  drmGpusvmInit,
  type DrmGpusvmOptions,
  DrmGpusvmPages,
  drmGpusvmRangeFindOrInsert,
  drmGpusvmUnmapPages,
} from '../src/index.ts';
import { done } from '@gpusvm/kernel';
import {
  MmuIntervalNotifier,
  mmuIntervalNotifierInsert,
  mmuIntervalNotifierRemove,
  mmuIntervalSetSeq,
} from '@gpusvm/hmm';
import { CTX, Host, readThrough } from './support/host.ts';

describe('drmGpusvmInit', () => {
  const good = (host: Host): DrmGpusvmOptions => ({
    name: 'svm',
    mm: host.mm,
    startPage: 0,
    pages: 4096,
    notifierPages: 1024,
    ops: { invalidate: () => done(undefined) },
    chunkPages: [512, 16, 1],
  });

  it('keeps the structure of the mm until fini', () => {
    const host = new Host();
    const gpusvm = drmGpusvmInit(host.machine, good(host));
    expect([host.mm.count, host.mm.users]).toEqual([2, 1]);
    host.run(drmGpusvmFini(gpusvm));
    expect([host.mm.count, host.mm.users]).toEqual([1, 1]);
    expect(host.tearDown()).toEqual([]);
  });

  it.each<[string, Partial<DrmGpusvmOptions>]>([
    ['no chunk sizes', { chunkPages: [] }],
    ['a last chunk that is not one page', { chunkPages: [512, 16] }],
    ['chunk sizes that are no powers of two', { chunkPages: [48, 1] }],
    ['ascending chunk sizes', { chunkPages: [1, 16] }],
    ['a notifier smaller than the largest chunk', { notifierPages: 256 }],
    ['a notifier size that is no power of two', { notifierPages: 768 }],
    ['no pages', { pages: 0 }],
    ['no ops', { ops: null }],
    ['no mm but sizes', { mm: null }],
  ])('refuses %s', (_, wrong) => {
    const host = new Host();
    expect(() => drmGpusvmInit(host.machine, { ...good(host), ...wrong })).toThrow(RangeError);
    expect(host.mm.count).toBe(1);
  });

  it('takes a driver lock once', () => {
    const host = new Host();
    const gpusvm = drmGpusvmInit(host.machine, good(host));
    gpusvm.driverSetLock(new RwSem(host.machine, 'vm.lock'));
    expect(() => gpusvm.driverSetLock(new RwSem(host.machine, 'other'))).toThrow('vm.lock');
  });
});

describe('simple mode', () => {
  it('maps pages under a notifier of the driver, and has no ranges', () => {
    const host = new Host();
    host.mmap(16, 8, [16, 17, 18, 19, 20, 21, 22, 23]);
    const gpusvm = drmGpusvmInit(host.machine, {
      name: 'userptr',
      mm: null,
      startPage: 0,
      pages: 0,
      notifierPages: 0,
      ops: null,
      chunkPages: [],
    });
    const pages = new DrmGpusvmPages(host.device, mapStrategy('iova-packed'));
    const sub = new MmuIntervalNotifier();
    const { notifierLock } = gpusvm;
    host.run(
      mmuIntervalNotifierInsert(sub, host.mm, 16, 8, {
        *invalidate(notifier, _range, curSeq) {
          yield* notifierLock.downWrite();
          mmuIntervalSetSeq(notifier, curSeq);
          yield* drmGpusvmUnmapPages(gpusvm, pages, 8, { ...CTX, inNotifier: true });
          notifierLock.upWrite();
          return true;
        },
      }),
    );
    expect(host.run(drmGpusvmGetPages(gpusvm, pages, host.mm, sub, 16, 24, CTX))).toBe(0);
    expect(readThrough(host.device, pages.addrs)).toEqual([116, 117, 118, 119, 120, 121, 122, 123]);
    host.run(host.mm.munmap(16, 8));
    expect(host.mappings).toEqual([]);
    expect(() => host.run(drmGpusvmRangeFindOrInsert(gpusvm, 16, 0, 64, CTX))).toThrow('simple mode');
    host.run(mmuIntervalNotifierRemove(sub));
    host.run(drmGpusvmFini(gpusvm));
    expect(host.tearDown()).toEqual([]);
  });

  it('refuses pages without a device', () => {
    const host = new Host();
    const gpusvm = drmGpusvmInit(host.machine, {
      name: 'userptr',
      mm: null,
      startPage: 0,
      pages: 0,
      notifierPages: 0,
      ops: null,
      chunkPages: [],
    });
    const pages = new DrmGpusvmPages(null, mapStrategy('iova-packed'));
    expect(host.run(drmGpusvmGetPages(gpusvm, pages, host.mm, new MmuIntervalNotifier(), 0, 1, CTX))).toBe(
      -EINVAL,
    );
    host.run(drmGpusvmUnmapPages(gpusvm, pages, 1, CTX));
    expect(host.tearDown()).toEqual([]);
  });
});
