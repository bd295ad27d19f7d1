import { describe, expect, it } from 'vitest';
import { CLASSIC_BUGS } from './classic-bugs.ts';
import { endOf, runDriver, settingsOf } from './driver-bug.ts';
import { IOVA_BUGS } from './iova-bugs.ts';
import { STATE_BUGS } from './state-bugs.ts';

describe.each([...IOVA_BUGS, ...STATE_BUGS, ...CLASSIC_BUGS])('$what', (bug) => {
  it.each(settingsOf(bug))('is named, the cause first ($name)', (at) => {
    const { reports } = runDriver(bug.bad, at).sanitizer;
    const expected = typeof bug.reports === 'function' ? bug.reports(at) : bug.reports;
    expect(reports.map(({ rule }) => rule)).toEqual(expected);
    expect(reports[0]!.message).toContain(bug.says);
  });

  it.each(settingsOf(bug))('is not seen in the driver without it ($name)', (at) => {
    const r = runDriver(bug.good, at);
    endOf(r);
    expect(r.sanitizer.reports.map(({ message }) => message)).toEqual([]);
  });
});
