import { describe, expect, it } from 'vitest';
import { Counters } from '../src/index.ts';

describe('Counters', () => {
  it('gives everybody who asks the same group', () => {
    const counters = new Counters();
    const group = counters.group('dma', ['map', 'unmap']);
    group.values[1]! += 2;
    expect(counters.group('dma', ['map', 'unmap'])).toBe(group);
    expect([group.get('map'), group.get('unmap')]).toEqual([0, 2]);
  });

  it('refuses a group with the same name and other counters', () => {
    const counters = new Counters();
    counters.group('dma', ['map', 'unmap']);
    for (const names of [['map'], ['unmap', 'map'], ['map', 'unmap', 'sync']]) {
      expect(() => counters.group('dma', names)).toThrow(
        'counter group dma is already registered with other counters',
      );
    }
  });

  it('refuses a counter that the group does not have', () => {
    const group = new Counters().group<string>('dma', ['map']);
    expect(() => group.get('walk')).toThrow(new RangeError('counter group dma has no counter walk'));
  });

  it('lists all counters by group name and then as declared, and resets them', () => {
    const counters = new Counters();
    counters.group('xe', ['b', 'a']).values[0] = 5;
    counters.group('dma', ['map']).values[0] = 1;
    expect([...counters.snapshot()]).toEqual([
      ['dma.map', 1],
      ['xe.b', 5],
      ['xe.a', 0],
    ]);
    counters.reset();
    expect([...counters.snapshot().values()]).toEqual([0, 0, 0]);
  });

  it('folds in what is counted elsewhere before every read, until that ends', () => {
    const counters = new Counters();
    const group = counters.group('dma', ['walk', 'touch']);
    let pages = 0;
    const end = group.addSource(() => {
      group.values[0]! += pages;
      group.values[1]! += 4 * pages;
      pages = 0;
    });
    pages = 3;
    expect(group.get('touch')).toBe(12);
    pages = 2;
    expect([...counters.snapshot().values()]).toEqual([5, 20]);
    pages = 7;
    counters.reset();
    expect(group.get('walk')).toBe(0);
    pages = 1;
    end();
    pages = 9;
    end();
    expect(group.get('walk')).toBe(1);
  });
});
