import { Machine } from '@gpusvm/kernel';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { xeCounters } from '../src/counters.ts';
import { TLB_VALID, TLB_WRITE, XeGpuTlb } from '../src/gpu-tlb.ts';
import { TLB_INVAL_SEQNO_LAST, tlbInvalRange, tlbInvalSeqnoPast, XeTlbInval } from '../src/tlb-inval.ts';
import { XE_TLB_INVAL } from '../src/trace.ts';

function make(lastSeqno = 0): { machine: Machine; tlb: XeGpuTlb; inval: XeTlbInval } {
  const machine = new Machine();
  const counters = xeCounters(machine);
  const tlb = new XeGpuTlb(64, counters);
  return { machine, tlb, inval: new XeTlbInval(machine, tlb, counters, 1000, lastSeqno) };
}

test('a flush below 2M is the smallest aligned power of two that covers the interval', () => {
  expect(tlbInvalRange(5, 6)).toEqual({ startPage: 5, pages: 1 });
  expect(tlbInvalRange(7, 9)).toEqual({ startPage: 0, pages: 16 });
  expect(tlbInvalRange(16, 32)).toEqual({ startPage: 16, pages: 16 });
});

test('a flush of 2M or more is at least 16M', () => {
  expect(tlbInvalRange(512, 1024)).toEqual({ startPage: 0, pages: 4096 });
  expect(tlbInvalRange(4096 * 3 + 512, 4096 * 3 + 1024)).toEqual({ startPage: 4096 * 3, pages: 4096 });
});

test('every flush window is an aligned power of two around its interval', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 30 }),
      fc.integer({ min: 1, max: 2 ** 20 }),
      (start, length) => {
        const { startPage, pages } = tlbInvalRange(start, start + length);
        expect(Math.log2(pages) % 1).toBe(0);
        expect(startPage % pages).toBe(0);
        expect(startPage).toBeLessThanOrEqual(start);
        expect(startPage + pages).toBeGreaterThanOrEqual(start + length);
        expect(pages).toBeGreaterThanOrEqual(length >= 512 ? 4096 : 1);
      },
    ),
    { seed: 2, numRuns: 500 },
  );
});

test('sequence numbers compare across the wrap', () => {
  expect(tlbInvalSeqnoPast(5, 4)).toBe(true);
  expect(tlbInvalSeqnoPast(4, 5)).toBe(false);
  expect(tlbInvalSeqnoPast(2, TLB_INVAL_SEQNO_LAST)).toBe(true);
  expect(tlbInvalSeqnoPast(TLB_INVAL_SEQNO_LAST, 2)).toBe(false);
});

test('numbers go from the last one to 1 and fences still signal in order', () => {
  const { machine, inval } = make(TLB_INVAL_SEQNO_LAST - 1);
  const seen: number[] = [];
  machine.trace.on(XE_TLB_INVAL, (event) => seen.push(event.seqno));
  const fences = [inval.submitRange(1, 0, 1), inval.submitRange(1, 1, 2), inval.submitRange(1, 2, 3)];
  machine.run(inval.wait(fences[2]!));
  expect(seen).toEqual([TLB_INVAL_SEQNO_LAST, 1, 2]);
  expect(fences.map((fence) => fence.signalled)).toEqual([true, true, true]);
  expect(inval.pending).toBe(0);
  expect(machine.clock.nowNs).toBe(3000);
});

test('a number reported twice or late signals nothing', () => {
  const { inval } = make();
  const first = inval.submitRange(1, 0, 1);
  const second = inval.submitRange(1, 0, 1);
  inval.doneHandler(1);
  inval.doneHandler(1);
  expect([first.signalled, second.signalled, inval.seqnoReceived]).toEqual([true, false, 1]);
});

test('a translation stays usable until the flush is done, and neighbours outside the window stay', () => {
  const { machine, tlb, inval } = make();
  tlb.insert(1, 700, 42, 1, TLB_VALID);
  tlb.insert(1, 701, 43, 1, TLB_VALID | TLB_WRITE);
  tlb.insert(2, 700, 99, 1, TLB_VALID);
  const fence = inval.submitRange(1, 700, 701);
  expect([tlb.lookup(1, 700), tlb.frame]).toEqual([TLB_VALID, 42]);
  machine.run(inval.wait(fence));
  expect(tlb.lookup(1, 700)).toBe(0);
  expect([tlb.lookup(1, 701), tlb.frame]).toEqual([TLB_VALID | TLB_WRITE, 43]);
  expect([tlb.lookup(2, 700), tlb.frame]).toEqual([TLB_VALID, 99]);
});

test('a 2M translation serves every page and goes as a whole', () => {
  const { tlb } = make();
  tlb.insert(3, 1024 + 7, 5000 + 7, 512, TLB_VALID);
  expect([tlb.lookup(3, 1024 + 511), tlb.frame]).toEqual([TLB_VALID, 5511]);
  tlb.invalidateRange(3, 1030, 1031);
  expect(tlb.lookup(3, 1024)).toBe(0);
});

test('a 64K translation fills its block only, and a flush longer than the TLB takes everything of the ASID', () => {
  const { tlb } = make();
  tlb.insert(1, 35, 135, 16, TLB_VALID);
  expect(tlb.lookup(1, 31)).toBe(0);
  expect([tlb.lookup(1, 32), tlb.frame, tlb.lookup(1, 47), tlb.frame]).toEqual([
    TLB_VALID,
    132,
    TLB_VALID,
    147,
  ]);
  tlb.invalidateRange(1, 0, 512 * 1000);
  expect(tlb.lookup(1, 40)).toBe(0);
});

test('the TLB behaves like a map from which entries may vanish but never outlive a flush', () => {
  const op = fc.record({
    kind: fc.constantFrom('insert', 'flush', 'look'),
    asid: fc.integer({ min: 1, max: 2 }),
    page: fc.integer({ min: 0, max: 4095 }),
    length: fc.integer({ min: 1, max: 1200 }),
    leaf: fc.constantFrom(1, 16, 512),
    frame: fc.integer({ min: 1, max: 1000 }),
  });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const { machine } = make();
      const tlb = new XeGpuTlb(4, xeCounters(machine));
      const model = new Map<string, number>();
      let wrong = 0;
      for (const { kind, asid, page, length, leaf, frame } of ops) {
        if (kind === 'insert') {
          const start = page - (page % leaf);
          tlb.insert(asid, page, frame * 512 + (page - start), leaf, TLB_VALID);
          for (let k = 0; k < leaf; k++) model.set(`${asid}/${start + k}`, frame * 512 + k);
        } else if (kind === 'flush') {
          tlb.invalidateRange(asid, page, page + length);
          for (let k = 0; k < length; k++) model.delete(`${asid}/${page + k}`);
        } else if (tlb.lookup(asid, page) !== 0) {
          wrong += tlb.frame === model.get(`${asid}/${page}`) ? 0 : 1;
        }
      }
      expect(wrong).toBe(0);
      tlb.forEach((asid, page, frame) => expect(frame).toBe(model.get(`${asid}/${page}`)));
    }),
    { seed: 3, numRuns: 300 },
  );
});
