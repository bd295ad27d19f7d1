import { describe, expect, it } from 'vitest';
import { rig } from '../rig.ts';
import { LAYER_MUTANTS } from './layer-mutants.ts';
import type { Mutant } from './mutant.ts';
import { PROGRAM_MUTANTS } from './program-mutants.ts';

/** What the mutant makes the sanitizer say, and nothing that happens after the first finding may throw. */
function found(mutant: Mutant): readonly string[] {
  const r = rig(
    mutant.mode,
    mutant.device,
    {},
    mutant.profile === undefined ? {} : { profile: mutant.profile },
  );
  mutant.run(r);
  if (mutant.ends === true) {
    r.sanitizer.releaseDevice(r.dev);
    r.sanitizer.finish();
  }
  return r.broken();
}

describe.each([...LAYER_MUTANTS, ...PROGRAM_MUTANTS])('$what', (mutant) => {
  it(`is reported as ${mutant.rule}`, () => {
    expect(found(mutant)).toContain(mutant.rule);
  });
});

it('there are more of them than rules', () => {
  const whats = [...LAYER_MUTANTS, ...PROGRAM_MUTANTS].map(({ what }) => what);
  expect(new Set(whats).size).toBe(whats.length);
  expect(whats.length).toBeGreaterThan(60);
});
