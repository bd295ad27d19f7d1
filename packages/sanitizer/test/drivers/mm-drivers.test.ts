import { describe, expect, it } from 'vitest';
import { LIFETIME_BUGS } from './lifetime-bugs.ts';
import { MIGRATE_BUGS } from './migrate-bugs.ts';
import { runMmBug } from './mm-bug.ts';
import { NOTIFIER_BUGS } from './notifier-bugs.ts';

describe.each([...MIGRATE_BUGS, ...NOTIFIER_BUGS, ...LIFETIME_BUGS])('$what', (bug) => {
  it('is named, the cause first', () => {
    const { sanitizer, thrown } = runMmBug(bug, true);
    expect(sanitizer.reports.map(({ rule }) => rule)).toEqual(bug.reports);
    expect(sanitizer.reports[0]!.message).toContain(bug.says);
    expect([thrown.startsWith(bug.throws ?? ''), thrown !== '']).toEqual([true, bug.throws !== undefined]);
  });

  it('is not seen in the driver without it', () => {
    const { sanitizer, thrown } = runMmBug(bug, false);
    expect([...sanitizer.reports.map(({ message }) => message), thrown]).toEqual(['']);
  });
});
