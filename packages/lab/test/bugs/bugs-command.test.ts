import { afterEach, expect, it, vi } from 'vitest';
import { BUGS, NOT_SHOWN } from '../../src/bugs/catalogue.ts';
import { MM_BUGS } from '../../src/bugs/mm/mm-catalogue.ts';
import { bugsCommand } from '../../src/cli/bugs-command.ts';
import { UserError } from '../../src/cli/user-error.ts';

afterEach(() => vi.restoreAllMocks());

function run(...args: string[]): string {
  let out = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  bugsCommand().parse(args, { from: 'user' });
  return out;
}

it('lists every bug with the rule of each mode', () => {
  const lines = run().split('\n');
  for (const bug of BUGS) expect(lines.find((l) => l.startsWith(`${bug.id} `))).toContain(bug.title);
  expect(lines.find((l) => l.startsWith('P12 '))).toMatch(/^P12 +- +I6 +I6 +- +an unlink across holes/);
});

it('replays one bug, whatever the case of its id', () => {
  const out = run('rfc3-7');
  expect(out).toContain('strict   correct  silent');
  expect(out).toContain('strict   patched  I16');
  expect(out).toContain('page 1 of a mapping of 3 is frame 2, which is free');
  expect(out).not.toContain('NOT AS EXPECTED');
  expect(process.exitCode).toBeUndefined();
});

it('prints the same as JSON, byte for byte on every run', () => {
  const list = JSON.parse(run('--json')) as {
    bugs: { id: string }[];
    explored: { id: string }[];
    notShown: unknown[];
  };
  expect(list.bugs.map((b) => b.id)).toEqual(BUGS.map((b) => b.id));
  expect(list.notShown).toHaveLength(NOT_SHOWN.length);
  expect(list.explored.map((b) => b.id)).toEqual(MM_BUGS.map((b) => b.id));
  const replay = run('D6', '--json');
  expect(run('D6', '--json')).toBe(replay);
  const { asExpected, replays } = JSON.parse(replay) as {
    asExpected: boolean;
    replays: { reports: { rule: string }[] }[];
  };
  expect(asExpected).toBe(true);
  expect(replays).toHaveLength(8);
  expect(replays.flatMap((r) => r.reports).some((r) => r.rule === 'I13')).toBe(true);
});

it('refuses an unknown bug with a sentence, and says why a row is not replayed', () => {
  expect(() => run('nothing')).toThrow(UserError);
  expect(() => run('nothing')).toThrow("no bug 'nothing'");
  expect(() => run('RFC3-3')).toThrow('a lock of drm_gpusvm is released twice');
});

it('explores a bug of mm and prints the shortest schedule', () => {
  const out = run('hmm-b5');
  expect(out).toMatch(/^correct +silent in \d+ interleavings, \d+ states$/m);
  expect(out).toMatch(/^patched +S7$/m);
  expect(out).toContain('still writes page 1024');
  expect(out).toContain('the shortest there is:');
  expect(out).not.toContain('NOT AS EXPECTED');
  expect(run('HMM-B5')).toBe(out);
  const { bug, asExpected } = JSON.parse(run('HMM-B5', '--json')) as {
    bug: { finds: string };
    asExpected: boolean;
  };
  expect([bug.finds, asExpected]).toEqual(['S7', true]);
});

it('replays a bug of the whole driver stack in every mode', () => {
  expect(run()).toMatch(/^QJ +- +- +- +S13 +a page that comes back/m);
  const out = run('qj');
  expect(out).toMatch(/^swiotlb  patched  S13 .*seed \d+/m);
  expect(out).toMatch(/^strict   patched  silent$/m);
  expect(out).not.toContain('NOT AS EXPECTED');
  const { bug, asExpected } = JSON.parse(run('QJ', '--json')) as {
    bug: { kernel: string };
    asExpected: boolean;
  };
  expect([bug.kernel, asExpected]).toEqual(['linux-7.2', true]);
});
