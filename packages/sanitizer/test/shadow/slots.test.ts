import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Frames } from '../../src/shadow/frames.ts';
import { LINKED, ORPHAN, PRESENT, STALE, SYNCED } from '../../src/shadow/slot-flags.ts';
import { ClearedSlots, linkSlots, mapSlots, unmapSlots } from '../../src/shadow/slot-mapping.ts';
import { changeFlags, changeFlagsWhere, levelFlags, syncSlots } from '../../src/shadow/slot-ranges.ts';
import { visitSlots } from '../../src/shadow/slot-visit.ts';
import { Slots } from '../../src/shadow/slots.ts';

interface Slot {
  flags: number;
  link: number;
  pfn: number;
}

/** Two regions and the edges around them. */
const PAGES = 1100;
const step = fc.tuple(fc.nat(8), fc.nat(PAGES - 1), fc.nat(600), fc.nat(255), fc.nat(255));

it('slots hold what a list of slots holds, whole regions or not', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.constantFrom(0, 2 ** 26), (steps, base) => {
      // Compared once a program: thousands of expectations a program would be most of the time.
      const wrong: { ours: unknown; theirs: unknown }[] = [];
      const same = (ours: unknown, theirs: unknown): void => {
        if (ours !== theirs) wrong.push({ ours, theirs });
      };
      const slots = new Slots();
      const frames = new Frames();
      const cleared = new ClearedSlots();
      const list: Slot[] = Array.from({ length: PAGES }, () => ({ flags: 0, link: 0, pfn: 0 }));
      const counts = new Map<number, number>();
      // Only a map makes slots present: it says to what.
      for (const [kind, at, length, x, y] of steps) {
        const whole = x % 4 === 0;
        const first = whole ? at - (at % 512) : at;
        const n = Math.min(PAGES - first, whole ? 512 : 1 + length);
        const range = list.slice(first, first + n);
        if (kind === 0) {
          changeFlags(slots, base + first, n, x, y & ~x & ~PRESENT);
          for (const s of range) s.flags = (s.flags & ~x) | (y & ~x & ~PRESENT);
        } else if (kind === 1) {
          changeFlagsWhere(slots, base + first, n, x, y, x & ~y & ~PRESENT);
          for (const s of range) if ((s.flags & x) !== 0) s.flags = (s.flags & ~y) | (x & ~y & ~PRESENT);
        } else if (kind === 2) {
          mapSlots(slots, base + first, n, 5000 + at);
          for (const [i, s] of range.entries()) {
            s.flags |= PRESENT;
            s.pfn = 5000 + at + i;
          }
        } else if (kind === 3) {
          linkSlots(slots, base + first, n, y + 1, x);
          for (const s of range)
            Object.assign(s, { flags: (s.flags & ~(SYNCED | ORPHAN)) | LINKED, link: y + 1 });
        } else if (kind === 4) {
          const present = range.filter((s) => (s.flags & PRESENT) !== 0);
          unmapSlots(slots, base + first, n, frames, cleared);
          same(cleared.present, present.length);
          for (const s of present) {
            s.flags = (s.flags & ~(PRESENT | ORPHAN)) | STALE;
            counts.set(s.pfn, (counts.get(s.pfn) ?? 0) - 1);
          }
          same(
            cleared.any,
            range.reduce((f, s) => f | s.flags, 0),
          );
          same(
            cleared.all,
            range.reduce((f, s) => f & s.flags, 255),
          );
        } else if (kind === 5) {
          syncSlots(slots, base + first, n);
          for (const s of range) if ((s.flags & LINKED) !== 0) s.flags |= SYNCED;
        } else if (kind === 6) {
          const alike = range.every((s) => s.flags === range[0]!.flags) && range[0]!.flags !== 0;
          if (!alike) continue;
          const flags = y & ~(LINKED | PRESENT | STALE);
          levelFlags(slots, base + first, n, flags);
          for (const s of range) s.flags = flags;
        } else {
          const any = range.reduce((f, s) => f | s.flags, 0);
          const all = range.reduce((f, s) => f & s.flags, 255);
          same(slots.anyFlags(base + first, n), any);
          same(slots.allFlags(base + first, n), all);
          same(slots.haveExactly(base + first, n, any), any === all);
        }
      }
      let visited = 0;
      visitSlots(slots, base, PAGES, (page, n, flags, link) => {
        same(page, base + visited);
        for (let i = visited; i < visited + n; i++) {
          same(flags, list[i]!.flags);
          if ((flags & LINKED) !== 0) same(link, list[i]!.link);
        }
        visited += n;
      });
      same(visited, PAGES);
      for (const [i, s] of list.entries())
        if ((s.flags & (PRESENT | STALE)) === PRESENT) same(slots.pfnAt(base + i), s.pfn);
      for (const [pfn, count] of counts) same(frames.leaves(pfn), count);
      expect(wrong).toEqual([]);
    }),
    { numRuns: 300 },
  );
});
