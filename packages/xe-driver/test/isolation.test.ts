import { Mm } from '@gpusvm/hmm';
import type { Task } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { XeVm } from '../src/index.ts';
import { BASE, cpuTag, gpuTag, populate, rig, teardown } from './rig.ts';

test('two address spaces of one device map the same address to their own memory', () => {
  const r = rig();
  r.machine.run(
    (function* (): Task<void> {
      const mm = new Mm(r.machine, r.folios, { name: 'other' });
      const vm = yield* XeVm.create(r.xe, mm);
      if (typeof vm === 'number') throw new Error('no VM');
      yield* populate(r, 'anon', 64);
      yield* mm.mmap(BASE, 64, { read: true, write: true });
      for (let page = BASE; page < BASE + 64; page++) yield* mm.cpuWrite(page, 5);
      yield* r.vm.bindMirror(BASE, 64);
      yield* vm.bindMirror(BASE, 64);
      for (let page = BASE; page < BASE + 64; page++) {
        expect(yield* r.xe.gpu.gpuRead(r.vm, page)).toBe(cpuTag(page));
        expect(yield* r.xe.gpu.gpuRead(vm, page)).toBe(5);
        yield* r.xe.gpu.gpuWrite(vm, page, gpuTag(page));
      }
      expect(yield* r.mm.cpuRead(BASE)).toBe(cpuTag(BASE));
      yield* mm.munmap(BASE, 64);
      expect(yield* r.xe.gpu.gpuRead(r.vm, BASE + 1)).toBe(cpuTag(BASE + 1));
      yield* vm.close();
      yield* mm.exit();
    })(),
  );
  expect(teardown(r)).toEqual([]);
});

test('two mirrors of one process see each other through its memory', () => {
  const r = rig();
  r.machine.run(
    (function* (): Task<void> {
      const vm = yield* XeVm.create(r.xe, r.mm);
      if (typeof vm === 'number') throw new Error('no VM');
      yield* populate(r, 'anon', 64);
      yield* r.vm.bindMirror(BASE, 64);
      yield* vm.bindMirror(BASE, 64);
      for (let page = BASE; page < BASE + 64; page++) {
        yield* r.xe.gpu.gpuWrite(r.vm, page, gpuTag(page));
        expect(yield* r.xe.gpu.gpuRead(vm, page)).toBe(gpuTag(page));
      }
      yield* vm.close();
      expect(yield* r.xe.gpu.gpuRead(r.vm, BASE)).toBe(gpuTag(BASE));
    })(),
  );
  expect(teardown(r)).toEqual([]);
});

test('two machines in one process give the same trace and never see each other', () => {
  const once = (): string => {
    const r = rig({ seed: 5 });
    const lines: string[] = [];
    r.machine.trace.onAll(({ name, event }) => lines.push(`${name} ${JSON.stringify(event)}`));
    r.machine.run(
      (function* (): Task<void> {
        yield* populate(r, 'mixed', 600);
        yield* r.vm.bindMirror(BASE, 600);
        for (let page = BASE; page < BASE + 600; page += 7)
          yield* r.xe.gpu.gpuWrite(r.vm, page, gpuTag(page));
        yield* r.mm.munmap(BASE + 10, 50);
      })(),
    );
    expect(teardown(r)).toEqual([]);
    return lines.join('\n');
  };
  const first = once();
  expect(first.length).toBeGreaterThan(1000);
  expect(once()).toBe(first);
});
