import { describe, expect, it } from 'vitest';
import { PageFlag } from '../../src/capture/capture.ts';
import { participants } from '../../src/compare/participants.ts';
import { anonVma, layout } from '../support/layout.ts';

describe('participants', () => {
  it('numbers the pages of readable memory in address order', () => {
    const { stretches, pages } = participants(
      layout(
        [anonVma(10, 10), anonVma(30, 10)],
        [
          { page: 12, pages: 3, pfn: 5 },
          { page: 30, pages: 2, pfn: 9 },
        ],
      ),
    );
    expect(stretches.map((s) => [s.startPage, s.pages, s.firstIndex])).toEqual([
      [12, 3, 0],
      [30, 2, 3],
    ]);
    expect(pages).toBe(5);
  });

  it('leaves out, by reason, what a GPU fault cannot reach', () => {
    const unreadable = { read: false, write: false, exec: false };
    const { stretches, vmas, skipped } = participants(
      layout(
        [anonVma(0, 4), anonVma(10, 4, { prot: unreadable }), anonVma(20, 512, { hugetlb: true })],
        [
          { page: 0, pages: 1, flags: PageFlag.SWAPPED },
          { page: 10, pages: 2, pfn: 5 },
          { page: 20, pages: 512, pfn: 512, order: 9 },
        ],
      ),
    );
    expect(stretches).toEqual([]);
    expect(vmas).toHaveLength(1);
    expect(skipped).toEqual([
      { reason: 'swapped out', pages: 1 },
      { reason: 'no read permission', pages: 2 },
      { reason: 'hugetlbfs, which the process model does not have yet', pages: 512 },
    ]);
  });

  it('knows the zero page', () => {
    const { stretches } = participants(
      layout([anonVma(0, 4)], [{ page: 1, pages: 1, flags: PageFlag.ZERO }]),
    );
    expect(stretches[0]?.zero).toBe(true);
  });
});
