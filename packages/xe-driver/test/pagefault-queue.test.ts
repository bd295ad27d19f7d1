import { EFAULT, ENOSPC, type Errno, type Task } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { pagefaultRingEntries } from '../src/pagefault-queue.ts';
import {
  XE_PAGEFAULT,
  XE_PAGEFAULT_ACCESS_PREFETCH,
  XE_PAGEFAULT_ACK,
  XE_PAGEFAULT_TYPE_LEVEL_NACK,
  type XePagefault,
  xePagefaultHandler,
} from '../src/index.ts';
import { BASE, populate, type Rig, rig, teardown } from './rig.ts';

function fault(r: Rig, page: number, acks: Errno[], change: Partial<XePagefault> = {}): XePagefault {
  return {
    asid: r.vm.asid,
    page,
    access: 0,
    typeLevel: 0,
    ackFault: (err) => acks.push(err),
    dropped: () => acks.push(1),
    ...change,
  };
}

test('a ring has (EUs + engines) * 512 bytes rounded up, at 64 bytes an entry', () => {
  expect(pagefaultRingEntries(160, 20)).toBe(2048);
});

test('every accepted fault is answered exactly once, also for the same page many times', () => {
  const r = rig();
  const acks: Errno[] = [];
  const traced: string[] = [];
  r.machine.trace.on(XE_PAGEFAULT, () => traced.push('fault'));
  r.machine.trace.on(XE_PAGEFAULT_ACK, () => traced.push('ack'));
  r.machine.run(
    (function* (): Task<void> {
      yield* populate(r, 'anon', 64);
      yield* r.vm.bindMirror(BASE, 64);
      for (let k = 0; k < 20; k++)
        expect(xePagefaultHandler(r.xe, fault(r, BASE + (k % 3) * 20, acks))).toBe(0);
      expect(r.machine.ledger.live().find((item) => item.kind === 'pending fault')?.count).toBe(20);
      yield* r.xe.pagefaults.flush();
    })(),
  );
  expect(acks).toEqual(Array.from({ length: 20 }, () => 0));
  expect(traced.filter((word) => word === 'ack').length).toBe(20);
  expect(r.xe.counters.get('svm_pagefault_count')).toBe(20);
  expect(teardown(r)).toEqual([]);
});

test('a full ring refuses with -ENOSPC and a warning, and what was accepted is still served', () => {
  const r = rig({ xe: { eus: 1, engines: 1 } });
  const acks: Errno[] = [];
  r.machine.run(
    (function* (): Task<void> {
      yield* populate(r, 'anon', 16);
      yield* r.vm.bindMirror(BASE, 16);
      const results: Errno[] = [];
      for (let k = 0; k < 17; k++) results.push(xePagefaultHandler(r.xe, fault(r, BASE, acks)));
      expect(results.filter((err) => err === 0).length).toBe(15);
      expect(results.at(-1)).toBe(-ENOSPC);
      yield* r.xe.pagefaults.flush();
    })(),
  );
  expect(acks.length).toBe(15);
  expect(r.machine.warnings).toBe(2);
  expect(teardown(r)).toEqual([]);
});

test('a fault that the hardware wants refused is -EFAULT; a failing prefetch is counted', () => {
  const r = rig();
  const acks: Errno[] = [];
  r.machine.run(
    (function* (): Task<void> {
      xePagefaultHandler(r.xe, fault(r, BASE, acks, { typeLevel: XE_PAGEFAULT_TYPE_LEVEL_NACK }));
      xePagefaultHandler(r.xe, fault(r, BASE, acks, { access: XE_PAGEFAULT_ACCESS_PREFETCH }));
      yield* r.xe.pagefaults.flush();
    })(),
  );
  expect(acks[0]).toBe(-EFAULT);
  expect(acks[1]).toBeLessThan(0);
  expect(r.xe.counters.get('invalid_prefetch_pagefault_count')).toBe(1);
  expect(teardown(r)).toEqual([]);
});

test('a reset drops what is queued without an answer', () => {
  const r = rig();
  const acks: Errno[] = [];
  r.machine.run(
    (function* (): Task<void> {
      xePagefaultHandler(r.xe, fault(r, BASE, acks));
      xePagefaultHandler(r.xe, fault(r, BASE, acks));
      r.xe.pagefaults.reset();
      yield* r.xe.pagefaults.flush();
    })(),
  );
  expect(acks).toEqual([1, 1]);
  expect(teardown(r)).toEqual([]);
});
