import { describe, expect, it, vi } from 'vitest';
import { REPLAY_MODES } from '../../src/bugs/replay.ts';
import { XE_BUGS } from '../../src/bugs/xe/xe-catalogue.ts';
import { replayXe } from '../../src/bugs/xe/xe-replay.ts';

vi.setConfig({ testTimeout: 60_000 });

describe.each(XE_BUGS)('$id, $title', (bug) => {
  it.each(REPLAY_MODES)('is silent on the correct stack in mode %s', (mode) => {
    const { message, asExpected } = replayXe(bug, mode, false);
    expect(message).toBeNull();
    expect(asExpected).toBe(true);
  });

  it.each(REPLAY_MODES)('is named on the patched stack in mode %s, where it shows', (mode) => {
    const { rules, asExpected, message } = replayXe(bug, mode, true);
    const shows = (bug.modes ?? REPLAY_MODES).includes(mode);
    expect(message !== null && rules.includes(bug.finds)).toBe(shows);
    expect(message === null).toBe(!shows);
    expect(asExpected).toBe(true);
  });
});
