import { describe, expect, it } from 'vitest';
import { defineTracepoint, TraceBus, type TraceRecord } from '../src/index.ts';

const MAP = defineTracepoint<{ pfn: number }>('map');
const UNMAP = defineTracepoint<{ pfn: number }>('unmap');

describe('TraceBus', () => {
  it('builds no event while nobody listens', () => {
    const bus = new TraceBus();
    const point = bus.point(MAP);
    let built = 0;
    const layer = (): void => {
      if (point.enabled) point.emit({ pfn: ++built });
    };
    layer();
    expect(built).toBe(0);
    const stop = bus.on(MAP, () => {});
    layer();
    expect(built).toBe(1);
    stop();
    layer();
    expect([built, point.enabled]).toEqual([1, false]);
  });

  it('gives one point per name to all who ask', () => {
    const bus = new TraceBus();
    expect(bus.point(MAP)).toBe(bus.point(defineTracepoint('map')));
    expect(bus.point(MAP)).not.toBe(bus.point(UNMAP));
  });

  it('tells listeners of one tracepoint only about that one, in the order of their registration', () => {
    const bus = new TraceBus();
    const log: string[] = [];
    bus.on(MAP, (e) => log.push(`first ${e.pfn}`));
    bus.on(MAP, (e) => log.push(`second ${e.pfn}`));
    bus.point(MAP).emit({ pfn: 1 });
    bus.point(UNMAP).emit({ pfn: 2 });
    expect(log).toEqual(['first 1', 'second 1']);
    expect(bus.point(UNMAP).enabled).toBe(false);
  });

  it('tells those who listen to everything also about tracepoints that are made later', () => {
    const bus = new TraceBus();
    const records: TraceRecord[] = [];
    bus.point(MAP);
    const stop = bus.onAll((record) => records.push(record));
    bus.point(MAP).emit({ pfn: 1 });
    bus.point(UNMAP).emit({ pfn: 2 });
    expect(records).toEqual([
      { name: 'map', event: { pfn: 1 } },
      { name: 'unmap', event: { pfn: 2 } },
    ]);
    stop();
    expect([bus.point(MAP).enabled, bus.point(UNMAP).enabled]).toEqual([false, false]);
    expect(bus.point(defineTracepoint('later')).enabled).toBe(false);
  });

  it('keeps two registrations of one function apart', () => {
    const bus = new TraceBus();
    let calls = 0;
    const listener = (): void => void calls++;
    const stops = [bus.on(MAP, listener), bus.on(MAP, listener), bus.onAll(listener), bus.onAll(listener)];
    const point = bus.point(MAP);
    point.emit({ pfn: 1 });
    expect(calls).toBe(4);
    stops[2]!();
    stops[2]!();
    stops[0]!();
    point.emit({ pfn: 1 });
    expect(calls).toBe(6);
    bus.point(UNMAP).emit({ pfn: 1 });
    expect(calls).toBe(7);
    stops[1]!();
    stops[3]!();
    expect(point.enabled).toBe(false);
  });

  it('is not disturbed by listeners that come and go during an event', () => {
    const bus = new TraceBus();
    const log: string[] = [];
    const stop = bus.on(MAP, () => {
      log.push('first');
      stop();
      bus.on(MAP, () => log.push('late'));
    });
    bus.on(MAP, () => log.push('second'));
    bus.point(MAP).emit({ pfn: 1 });
    expect(log).toEqual(['first', 'second']);
    bus.point(MAP).emit({ pfn: 1 });
    expect(log).toEqual(['first', 'second', 'second', 'late']);
  });

  it('lets a listener stop the run by throwing', () => {
    const bus = new TraceBus();
    bus.on(MAP, () => {
      throw new Error('sanitizer: stop');
    });
    expect(() => bus.point(MAP).emit({ pfn: 1 })).toThrow('sanitizer: stop');
  });
});

describe('a tracepoint whose layer passes the parts of an event', () => {
  const LINK = defineTracepoint('link', (pfn: number, pages: number) => ({ pfn, pages }));

  it('gives the parts to those who tap it, the event to the others, each in its turn', () => {
    const bus = new TraceBus();
    const log: unknown[] = [];
    bus.tap(LINK, (...args) => log.push(args));
    bus.point(LINK).emit(1, 2);
    bus.on(LINK, (event) => log.push(event));
    const stop = bus.onAll((record) => log.push(record));
    bus.point(LINK).emit(3, 4);
    expect(log).toEqual([
      [1, 2],
      [3, 4],
      { pfn: 3, pages: 4 },
      { name: 'link', event: { pfn: 3, pages: 4 } },
    ]);
    expect((log[3] as TraceRecord).event).toBe(log[2]);
    stop();
  });

  it('makes no object for one who taps it', () => {
    const bus = new TraceBus();
    let built = 0;
    const point = bus.point(defineTracepoint('counted', (pfn: number) => ({ pfn, built: ++built })));
    const stop = bus.tap(LINK, () => {});
    const seen: number[] = [];
    const stopCounted = bus.tap(
      defineTracepoint('counted', (pfn: number) => ({ pfn })),
      (pfn) => seen.push(pfn),
    );
    point.emit(7);
    expect([seen, built]).toEqual([[7], 0]);
    stop();
    stopCounted();
    expect([point.enabled, bus.point(LINK).enabled]).toEqual([false, false]);
    point.emit(8);
    expect([seen, built]).toEqual([[7], 0]);
  });
});
