import { describe, expect, it } from 'vitest';
import { BUGS, NOT_SHOWN } from '../../src/bugs/catalogue.ts';
import { REPLAY_MODES, replay } from '../../src/bugs/replay.ts';

/** Rows that issue 3 asks for. */
const ASKED =
  'D2 D3 D4 D5 D6 D7 D8 BLK1 BLK2 BLK3 BLK4 BLK5 V2 V3 V4 V4b P9 P11 P12 G1 G9 ' +
  'RFC3-1 RFC3-2 RFC3-3 RFC3-4 RFC3-5 RFC3-6 RFC3-7';

describe.each(BUGS)('$id, $title', (bug) => {
  it.each(REPLAY_MODES)('is silent on the correct code in mode %s', (mode) => {
    expect(replay(bug, mode, false).reports.map((r) => r.message)).toEqual([]);
  });

  it.each(['strict', 'lazy'] as const)(
    'is silent on the correct code in mode %s when no reservation is to be had',
    (mode) => {
      expect(replay(bug, mode, false, false).reports.map((r) => r.message)).toEqual([]);
    },
  );

  it.each(REPLAY_MODES.filter((mode) => bug.rules[mode] !== undefined))(
    'is reported on the patched code in mode %s',
    (mode) => {
      const { rules, reports } = replay(bug, mode, true);
      expect(rules).toContain(bug.rules[mode]);
      expect(reports.find((r) => r.rule === bug.rules[mode])!.message).toContain('device');
    },
  );

  it.each(REPLAY_MODES.filter((mode) => bug.rules[mode] === undefined))(
    'does not show in mode %s, nor does the sanitizer say so',
    (mode) => {
      expect(replay(bug, mode, true).reports.map((r) => r.message)).toEqual([]);
    },
  );
});

it('the bugs that need a fall-back are seen there', () => {
  // Undo by a guess shows only where every page is mapped by itself.
  for (const id of ['BLK2', 'BLK4', 'BLK5', 'N1'])
    for (const mode of ['strict', 'lazy'] as const) {
      const bug = BUGS.find((b) => b.id === id)!;
      expect(replay(bug, mode, true, false).rules).toContain(bug.rules[mode]);
    }
});

it('has every row that belongs to the DMA layer, or says why not', () => {
  const known = new Set([...BUGS, ...NOT_SHOWN].map((b) => b.id));
  expect(ASKED.split(' ').filter((id) => !known.has(id))).toEqual([]);
  expect(new Set(BUGS.map((b) => b.id)).size).toBe(BUGS.length);
});
