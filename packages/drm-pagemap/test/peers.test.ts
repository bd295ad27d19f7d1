import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MIGRATE_SEGMENT, type SegmentEvent } from '../src/tracepoints.ts';
import { type FakeGpu, Host } from './fake-gpu.ts';

type Kind = 'system' | 'hole' | 'A' | 'B';

/** Runs of equal movers, straight from the definition. */
function segments(kinds: readonly Kind[]): SegmentEvent[] {
  const out: { mover: string; direction: SegmentEvent['direction']; start: number; end: number }[] = [];
  kinds.forEach((kind, i) => {
    const peer = kind === 'A' || kind === 'B';
    const mover = peer ? kind : 'D';
    const last = out.at(-1);
    if (last?.mover === mover) last.end = i + 1;
    else out.push({ mover, direction: peer ? 'remote-to-local' : 'sys-to-dev', start: i, end: i + 1 });
  });
  return out;
}

function scene(kinds: readonly Kind[]): { host: Host; a: FakeGpu; b: FakeGpu; d: FakeGpu } {
  const host = new Host();
  const [a, b, d] = [host.gpu('A', 512), host.gpu('B', 512), host.gpu('D', 512)];
  const written = kinds.flatMap((kind, i) => (kind === 'hole' ? [] : [1024 + i]));
  host.mmap(1024, kinds.length, written);
  kinds.forEach((kind, i) => {
    const peer = { A: a, B: b, system: null, hole: null }[kind];
    const err = peer === null ? 0 : host.run(peer.migrate(1024 + i, 1025 + i));
    if (err !== 0) throw new Error(`page ${i} does not move to ${kind}: ${err}`);
  });
  for (const gpu of [a, b, d]) gpu.copies.length = 0;
  return { host, a, b, d };
}

function check(kinds: readonly Kind[]): void {
  const { host, a, b, d } = scene(kinds);
  const sources = kinds.map((_, i) => host.mm.pfnAt(1024 + i));
  const seen: SegmentEvent[] = [];
  const stop = host.machine.trace.on(MIGRATE_SEGMENT, (event) => seen.push(event));
  expect(host.run(d.migrate(1024, 1024 + kinds.length))).toBe(0);
  stop();
  expect(seen).toEqual(segments(kinds));
  const copied = [...a.copies, ...b.copies, ...d.copies].map((c) => `${c.by} ${c.direction} ${c.pfn}`).sort();
  const wanted = kinds.flatMap((kind, i) => {
    if (kind === 'hole') return [];
    if (kind === 'system') return [`D to-devmem ${host.mm.pfnAt(1024 + i)}`];
    return [`${kind} to-ram ${sources[i]}`];
  });
  expect(copied).toEqual(wanted.sort());
  kinds.forEach((kind, i) => {
    const pfn = host.mm.pfnAt(1024 + i);
    expect(d.devPagemap.contains(pfn)).toBe(true);
    expect(d.tag(pfn)).toBe(kind === 'hole' ? 0 : 1124 + i);
  });
  expect([a, b, d].map((gpu) => gpu.livePeerMappings)).toEqual([0, 0, 0]);
  expect([a.devPagemap.liveReferences, b.devPagemap.liveReferences]).toEqual([0, 0]);
  expect([a.buddy.freePages, b.buddy.freePages]).toEqual([512, 512]);
  host.tearDown();
  expect(host.machine.ledger.live()).toEqual([]);
}

describe('a range that lies in several places', () => {
  test('is copied page by page once, each by the device that holds it, in maximal segments', () => {
    const kind = fc.constantFrom<Kind>('system', 'hole', 'A', 'B');
    fc.assert(fc.property(fc.array(kind, { minLength: 1, maxLength: 24 }), check), { seed: 5, numRuns: 60 });
  });

  test.each<Kind[][]>([[['A', 'A', 'A']], [['system', 'hole', 'system']]])(
    'of one mover is one segment: %j',
    (kinds) => {
      expect(segments(kinds).length).toBe(1);
      check(kinds);
    },
  );

  test('is all or nothing: a failure of any step leaves every page where it was', () => {
    const kinds: Kind[] = ['system', 'A', 'A', 'hole', 'B', 'A'];
    let fired = true;
    for (let k = 1; fired; k++) {
      const { host, d, a, b } = scene(kinds);
      const before = kinds.map((_, i) => host.mm.pfnAt(1024 + i));
      host.machine.faultInjection.failAnyNth(k);
      const err = host.run(d.migrate(1024, 1030));
      fired = host.machine.faultInjection.anyNth === 0;
      host.machine.faultInjection.reset();
      expect(d.livePeerMappings).toBe(0);
      const after = kinds.map((_, i) => host.mm.pfnAt(1024 + i));
      expect(err === 0 || after.every((pfn, i) => pfn === before[i])).toBe(true);
      expect(d.buddy.freePages).toBe(err === 0 ? 512 - kinds.length : 512);
      kinds.forEach((kind, i) => {
        expect(host.run(host.mm.cpuRead(1024 + i))).toBe(kind === 'hole' ? 0 : 1124 + i);
      });
      expect([a, b, d].map((gpu) => gpu.devPagemap.liveReferences)).toEqual([0, 0, 0]);
      host.tearDown();
      expect(host.machine.ledger.live()).toEqual([]);
    }
  });
});
