import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  compressValues,
  expandValues,
  Layout,
  matches,
  parseAnswer,
  parseScenario,
  printAnswer,
  printScenario,
  printYield,
  runScenario,
  ScenarioError,
  wireScenario,
} from '../../src/scenario/index.ts';

const HEAD = 'scenario s\ndevice d0 private\nA open d0\nA mmap buf 8 rw\n';

function errorOf(text: string): string {
  try {
    parseScenario(text);
  } catch (error) {
    if (error instanceof ScenarioError) return error.message;
    throw error;
  }
  return 'no error';
}

describe('what is wrong with a text is said with its line', () => {
  test.each([
    ['A mmap buf 8 rw', "line 1: a scenario begins with 'scenario NAME'"],
    ['', "line 1: a scenario begins with 'scenario NAME'"],
    [`${HEAD}scenario t`, 'line 5: a file holds one scenario'],
    [`${HEAD}A mmap b 0 rw`, "line 5: the number of pages must be a whole number from 1 on, not '0'"],
    [`${HEAD}A mmap b 8 rwx`, "line 5: protection 'rwx' is unknown; use one of none, r, rw"],
    [`${HEAD}A read bufs`, "line 5: there is no buffer 'bufs': mmap it first"],
    [`${HEAD}A read buf[8]`, "line 5: buffer 'buf' has 8 pages; the range goes beyond"],
    [`${HEAD}A read buf[3..3]`, "line 5: range 'buf[3..3]' is empty"],
    [`${HEAD}A read buf[`, "line 5: 'buf[' is no range; write buf, buf[3] or buf[2..8]"],
    [`${HEAD}A write buf 1 2 3`, 'line 5: the range has 8 pages; give one value, or one for each'],
    [`${HEAD}A write buf DEV:W`, "line 5: 'DEV:W' cannot be written; write numbers"],
    [`${HEAD}A write buf`, 'line 5: there is nothing to write: give a value'],
    [`${HEAD}A read buf = maybe`, "line 5: 'maybe' is no result; write ok, ?, an errno, or values"],
    [`${HEAD}A read buf = 1.. 2`, 'no error'],
    [`${HEAD}A jump buf`, "line 5: operation 'jump' is unknown; use one of mmap"],
    [`${HEAD}A d0 jump buf`, "line 5: device command 'jump' is unknown; use one of read"],
    [`${HEAD}B read buf`, "line 5: there is no process 'B': fork it first"],
    [`${HEAD}A fork A`, "line 5: there is a process 'A' already: take another name"],
    [`${HEAD}A unpin p`, "line 5: there is no pin 'p'"],
    [`${HEAD}A open d9`, "line 5: there is no device 'd9': declare it first"],
    [`${HEAD}A munmap buf and more`, "line 5: 'and' is too much on this line"],
    [`${HEAD}@5.0 A munmap buf`, "line 5: '@5.0' names no kernel"],
    [`${HEAD}A mremap buf new`, "line 5: mremap needs 'to' and a new buffer"],
    [`${HEAD}thread t`, "line 5: a thread needs a race around it: write 'race' first"],
    [`${HEAD}race\nthread t\nend`, 'line 7: a race needs two threads at least'],
    [`${HEAD}race\nA munmap buf`, "line 6: steps of a race belong to a thread: write 'thread NAME' first"],
    [`${HEAD}race\nthread t`, "line 6: the race has no 'end'"],
    [`${HEAD}end`, "line 5: 'end' without a race"],
    [`${HEAD}must\nrace`, 'line 6: a race cannot begin here'],
    ['scenario s\ndevice d private\ndevice d private', 'line 1: two devices have the same name'],
    ['scenario s\nneeds luck', "line 2: feature 'luck' is unknown"],
    ['scenario s\nkernel 2.4', "line 2: kernel '2.4' is unknown; use one of 6.12, 7.0, 7.2, 7.3, next"],
  ])('%j', (text, message) => {
    expect(errorOf(text)).toContain(message);
  });
});

describe('values', () => {
  test('one value stands for every page, a list for itself, and n.. counts on', () => {
    expect(expandValues([{ value: 7, count: 1, up: false }], 3)).toEqual([7, 7, 7]);
    const runs = [
      { value: 0, count: 2, up: false },
      { value: 5, count: 1, up: true },
    ];
    expect(expandValues(runs, 5)).toEqual([0, 0, 5, 6, 7]);
    expect(expandValues(runs, 1)).toBeNull();
    expect(printYield({ errno: null, values: [0, 0, 5, 6, 7] })).toBe('0*2 5..');
    expect(printYield({ errno: 'EPERM', values: null })).toBe('EPERM');
    expect(printYield({ errno: null, values: null })).toBe('ok');
  });

  test('compressing and expanding gives the same values, for any list', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(3), fc.constantFrom('W', 'DEV:R')), { minLength: 1 }),
        (values) => {
          const again = expandValues(compressValues(values), values.length);
          expect(again).toEqual(values);
        },
      ),
      { seed: 5, numRuns: 500 },
    );
  });

  test('a result matches by errno, by success, by values, or by anything', () => {
    const got = { errno: null, values: [1, 2] };
    const one = { kind: 'values' as const, runs: [{ value: 1, count: 1, up: true }] };
    expect(matches([one], got)).toBe(true);
    expect(matches([{ kind: 'errno', name: 'EFAULT' }, one], got)).toBe(true);
    expect(matches([{ kind: 'errno', name: 'EFAULT' }], got)).toBe(false);
    expect(matches([{ kind: 'ok' }], got)).toBe(true);
    expect(matches([one], { errno: 'EFAULT', values: null })).toBe(false);
    expect(matches([one], { errno: null, values: null })).toBe(false);
    expect(matches([{ kind: 'any' }], { errno: 'EFAULT', values: null })).toBe(true);
  });
});

const ALL = `scenario all
about every operation once
kernel 7.3 next
needs thp swap
device d0 private
device d2 coherent
A open d0
A open d2
A mmap buf 512 rw thp
@6.12,7.3 A mmap sh 4 r shared file
A write buf[2..] 7..
A read buf[1] = 0 or EFAULT
A mprotect buf[0..2] none
A madvise buf collapse = ?
A mlock buf
A munlock buf
A swap buf = ok or EINVAL
A pin buf[3] p write longterm
A unpin p
A peek buf[3] = ?
A poke buf[3] 9
A d0 write buf[5..7] 1 2 pages 2 faults 1 = ?
A d0 migrate buf = ?
A d0 check-exclusive buf
A d0 fail-alloc
A d0 release
A mremap buf[4..8] to new at 3 dontunmap
A uffd new[3] 5
A fork B
B close d0
B exit
race
thread one
  A d2 snapshot buf = ?
thread two
  A munmap buf[9..]
end
must
A read buf[9] = EFAULT
`;

test('every operation prints as it was written, and in words and numbers for a small interpreter', () => {
  const scenario = parseScenario(ALL);
  const text = printScenario(scenario);
  expect(printScenario(parseScenario(text))).toBe(text);
  expect(text.replace(/^\n/gm, '')).toBe(ALL.replaceAll('@7.0+', '@7.0,7.2,7.3,next'));
  const lines = wireScenario(scenario, '7.3').split('\n');
  const { page } = new Layout(scenario).buffer('buf');
  expect(lines.slice(0, 4)).toEqual([
    'device 0 private',
    'device 1 coherent',
    'step 0 0 -1 open 0 0 0',
    'step 1 0 -1 open 0 0 1',
  ]);
  expect(lines).toContain(`step 2 0 -1 mmap ${page} 512 rw thp`);
  expect(lines).toContain(`step 15 0 0 write ${page + 5} 2 1*1 2*1`);
  expect(lines).toContain('race');
  expect(lines.at(-2)).toBe(`step 27 0 -1 read ${page + 9} 1`);
  expect(wireScenario(scenario, 'next')).not.toContain('shared file');
});

test('buffers lie apart, at 2 MiB boundaries, and always at the same place', () => {
  const layout = new Layout(parseScenario(ALL));
  const places = ['buf', 'sh', 'new'].map((name) => layout.buffer(name));
  for (const { page } of places) expect(page % 512).toBe(0);
  expect(places[1]!.page - places[0]!.page).toBe(1024);
  expect(places[2]!.pages).toBe(7);
  expect(() => layout.buffer('none')).toThrow(RangeError);
});

test('an answer survives its line', () => {
  const answers = [
    { index: 3, errno: null, pages: 4, faults: 1, values: [1, 1, 'DEV:W+PMD', 0] },
    { index: 0, errno: 'EFAULT', pages: -1, faults: -1, values: null },
  ];
  for (const answer of answers) expect(parseAnswer(printAnswer(answer))).toEqual(answer);
  expect(printAnswer(answers[0]!)).toBe('3 ok 4 1 1*2 DEV:W+PMD*1 0*1');
  expect(parseAnswer('hello')).toBeNull();
});

/** Files of the folder that run scenarios. */
const BEYOND = new Set(['index.ts', 'generate.ts', 'shrink.ts']);

test('the language imports nothing outside of its folder, so that any program can use it', () => {
  const folder = new URL('../../src/scenario/', import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith('.ts') && !BEYOND.has(file));
  expect(files).toContain('language.ts');
  for (const file of files) {
    const imports = readFileSync(new URL(file, folder), 'utf8').matchAll(/from '([^']+)'/g);
    for (const [, specifier] of imports) expect(specifier).toMatch(/^\.\/[a-z-]+\.ts$/);
  }
});

describe('running', () => {
  test('says what came out where something else was demanded', () => {
    const run = runScenario(
      parseScenario(`${HEAD}A write buf 1..\nA read buf = 2..\nA d0 read buf faults 2 pages 7`),
      {
        kernel: '7.3',
      },
    );
    expect(run.failures).toEqual([
      'line 6: A read buf = 2.., but came out 1..',
      'line 7: A d0 read buf pages 7 faults 2, but copied 8 pages',
      'line 7: A d0 read buf pages 7 faults 2, but took 1 fault rounds',
    ]);
  });

  test('marks what a real kernel would not survive: finding F2', () => {
    const text = `${HEAD}A write buf 1..\nA d0 migrate buf\nA mprotect buf r\nA d0 read buf[0] = 1`;
    const run = runScenario(parseScenario(text), { kernel: '6.12' });
    expect(run.failures).toEqual([]);
    expect(run.unsafe).toContain('line 8');
  });

  test('a device write to what was a hole when it migrated is F2 since device THP', () => {
    const migrated = `${HEAD}A d0 migrate buf\nA d0 write buf[0] 5`;
    expect(runScenario(parseScenario(migrated), { kernel: '7.3' }).unsafe).toContain('F2');
    expect(runScenario(parseScenario(migrated), { kernel: '6.12' }).unsafe).toBeNull();
    const touched = parseScenario(`${HEAD}A write buf 1..\nA d0 migrate buf\nA d0 write buf[0] 5`);
    expect(runScenario(touched, { kernel: '7.3' })).toMatchObject({ failures: [], unsafe: null });
  });

  test('an eviction that would wait for ever, and a fallback without pages, are not for a real kernel', () => {
    const head = 'scenario s\ndevice d2 coherent\nA open d2\n';
    const pinned = parseScenario(`${head}A mmap b 1 rw\nA d2 migrate b\nA pin b p write get\nA d2 release`);
    expect(runScenario(pinned, { kernel: '7.3' })).toMatchObject({
      failures: [],
      unsafe: expect.stringMatching(/^line 7/),
    });
    const full = parseScenario(`${head}A d2 release\nA mmap b 2560 rw thp\nA write b 1\nA d2 migrate b = ?`);
    expect(runScenario(full, { kernel: '7.3' }).unsafe).toContain('F7');
    const exclusive = parseScenario(`${head}A mmap b 1 rw\nA d2 migrate b\nA d2 exclusive b\nA d2 release`);
    expect(runScenario(exclusive, { kernel: '6.12' }).unsafe).toMatch(/^line 7/);
    expect(runScenario(exclusive, { kernel: '7.3' }).unsafe).toBeNull();
  });

  test('a device that is not open, a process that is gone, a wait without end', () => {
    const closed = runScenario(
      parseScenario(`${HEAD}A close d0\nA close d0 = EBADF\nA d0 read buf = EBADF`),
      {
        kernel: '7.3',
      },
    );
    expect(closed.failures).toEqual([]);
    const gone = runScenario(parseScenario(`${HEAD}A exit\nA read buf = EFAULT`), { kernel: '7.3' });
    expect(gone.failures).toEqual([]);
  });

  test('the same seed gives the same answers', () => {
    const race = `${HEAD}A write buf 1..\nrace\nthread a\nA d0 read buf = ?\nthread b\nA munmap buf\nend`;
    const lines = (seed: number): string[] =>
      runScenario(parseScenario(race), { kernel: '7.3', seed }).answers.map(printAnswer);
    expect(lines(4)).toEqual(lines(4));
  });
});
