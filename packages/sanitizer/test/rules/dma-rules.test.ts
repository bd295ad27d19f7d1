import { describe, expect, it } from 'vitest';
import { DMA_RULES, SanitizerError } from '../../src/index.ts';
import { type Rig, rig } from '../rig.ts';
import { BROKEN, type Broken } from './broken-rules.ts';

function run(broken: Broken, mode: 'report' | 'stop' | 'count'): Rig {
  const r = rig(
    broken.mode,
    broken.device,
    { mode },
    broken.profile === undefined ? {} : { profile: broken.profile },
  );
  broken.run(r);
  if (broken.ends === true) {
    r.sanitizer.releaseDevice(r.dev);
    r.sanitizer.finish();
  }
  return r;
}

describe.each(BROKEN)('$what', (broken) => {
  it(`is reported as ${broken.rules.join(', ')}`, () => {
    const r = run(broken, 'report');
    expect(r.broken()).toEqual(broken.rules);
    for (const { message, device } of r.sanitizer.reports) {
      expect(message).toContain('gpu0');
      expect(device).toBe('gpu0');
    }
  });

  it('is counted without a report in mode count', () => {
    const r = run(broken, 'count');
    expect(r.broken()).toEqual(broken.rules);
    expect(r.sanitizer.reports).toEqual([]);
  });

  it('stops the run in mode stop', () => {
    expect(() => run(broken, 'stop')).toThrow(SanitizerError);
  });
});

it('every rule of the specification has a program that breaks it', () => {
  const covered = new Set(BROKEN.flatMap((b) => b.rules));
  expect(DMA_RULES.map((rule) => rule.id)).toEqual(Array.from({ length: 30 }, (_, i) => `I${i + 1}`));
  expect(DMA_RULES.filter((rule) => !covered.has(rule.id))).toEqual([]);
});
