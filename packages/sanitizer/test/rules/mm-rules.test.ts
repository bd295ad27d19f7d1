import { Machine, random } from '@gpusvm/kernel';
import {
  attachMmSanitizer,
  explore,
  MM_RULES,
  type MmRuleId,
  type MmSanitizer,
  MmSanitizerError,
} from '@gpusvm/sanitizer';
import { describe, expect, it } from 'vitest';
import { mmProgram, type MmContext, type OperationName, OPERATIONS } from '../explore/mm-program.ts';
import { type Broken, brokenProgram, MORE } from './broken-mm.ts';

/** Two pages in RAM, a device, and a sanitizer from the start. */
function rig(attach: (c: MmContext) => MmSanitizer): { context: MmContext; sanitizer: MmSanitizer } {
  let sanitizer: MmSanitizer | null = null;
  const program = mmProgram([], 2, 'ram', (c) => {
    sanitizer = attach(c);
  });
  return { context: program.setup(new Machine()), sanitizer: sanitizer! };
}

function thrownBy(id: MmRuleId, broken: Broken): unknown {
  const { context, sanitizer } = rig(({ machine, folios }) =>
    attachMmSanitizer(machine, { folios, mode: 'stop', rules: [id] }),
  );
  try {
    context.machine.run(broken(context));
    sanitizer.finish();
  } catch (error) {
    return error;
  }
  return null;
}

describe.each(MM_RULES)('$id $name', ({ id, name, statement }) => {
  it(`stops a program where not "${statement}"`, () => {
    const error = thrownBy(id, brokenProgram(id));
    expect(error).toBeInstanceOf(MmSanitizerError);
    const { rule, message } = (error as MmSanitizerError).report;
    expect(rule).toBe(id);
    expect(message).toMatch(new RegExp(`^${id} ${name}: \\w`));
  });
});

it.each(MORE)('%s is broken when %s', (id, _what, broken) => {
  const error = thrownBy(id, broken);
  expect(error).toBeInstanceOf(MmSanitizerError);
  expect((error as MmSanitizerError).report.rule).toBe(id);
});

it('reports a lock order with both chains', () => {
  const error = thrownBy('LOCK', brokenProgram('LOCK'));
  expect((error as MmSanitizerError).message.split('\n')).toEqual([
    'LOCK LOCK_ORDER: mutex outer is taken under mutex inner',
    '  mutex inner -> mutex outer: main, holding mutex inner',
    '  the other way round:',
    '  mutex outer -> mutex inner: main, holding mutex outer',
  ]);
});

it('names the wait for callbacks in a circle through a notifier', () => {
  const { message } = thrownBy('S9', brokenProgram('S9')) as MmSanitizerError;
  expect(message).toContain('invalidate_range_start -> mutex user_lock');
  expect(message).toContain('mutex user_lock -> invalidate_range_start');
});

describe('modes', () => {
  const run = (mode: 'report' | 'count'): MmSanitizer => {
    const { context, sanitizer } = rig(({ machine, folios }) => attachMmSanitizer(machine, { folios, mode }));
    context.machine.run(brokenProgram('S7')(context));
    sanitizer.finish();
    return sanitizer;
  };

  it('report keeps what was found, with the task', () => {
    const { reports, brokenRules } = {
      reports: run('report').reports,
      brokenRules: run('report').brokenRules(),
    };
    expect(brokenRules).toEqual(['S7']);
    expect(reports.map(({ task, message }) => [task, message])).toEqual([
      [
        'main',
        'S7 AFTER_INVALIDATE: gpu maps page 1024 to page frame 1 after its callback for PROTECTION_VMA of pages 1024 to 1024 returned',
      ],
    ]);
  });

  it('count only counts', () => {
    const sanitizer = run('count');
    expect([
      sanitizer.reports.length,
      sanitizer.count(),
      sanitizer.count('S7'),
      sanitizer.count('S1'),
    ]).toEqual([0, 1, 1, 0]);
  });

  it('an unknown rule is refused', () => {
    expect(() =>
      rig(({ machine, folios }) => attachMmSanitizer(machine, { folios, mode: 'count', rules: ['S99'] })),
    ).toThrow('no rule S99');
  });
});

it('is silent on random legal programs, in every state', () => {
  const names = Object.keys(OPERATIONS) as OperationName[];
  let states = 0;
  for (let seed = 1; seed <= 120; seed++) {
    const { choice } = new Machine({ seed, strategy: random() });
    const drawn = Array.from({ length: 2 + choice.choose(3) }, () => names[choice.choose(names.length)]!);
    // A process exits once.
    const tasks = drawn.filter((name, i) => name !== 'exit' || drawn.indexOf('exit') === i);
    const placed = (['none', 'ram', 'device'] as const)[choice.choose(3)]!;
    const sanitizers: MmSanitizer[] = [];
    const program = mmProgram(tasks, 1 + choice.choose(2), placed, ({ machine, folios }) =>
      sanitizers.push(attachMmSanitizer(machine, { folios, mode: 'stop' })),
    );
    const result = explore({
      ...program,
      machine: { seed },
      search: seed % 2 === 0 ? 'random' : 'pct',
      bound: { runs: 6 },
      invariants: { sanitizer: () => (sanitizers.at(-1)!.check(), null) },
      atEnd: { 'nothing left': () => (sanitizers.at(-1)!.finish(), null) },
    });
    expect([tasks, placed, result.failure]).toEqual([tasks, placed, null]);
    states += result.states;
  }
  expect(states).toBeGreaterThan(2000);
});
