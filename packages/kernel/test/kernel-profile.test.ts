import { describe, expect, it } from 'vitest';
import { KERNEL_PROFILES, type KernelProfile, type KernelProfileName } from '../src/index.ts';

const RELEASES: KernelProfileName[] = ['linux-6.12', 'linux-7.0', 'linux-7.2', 'linux-7.3', 'next'];

/** Leaves of a profile as `dma.twoStepApi` -> value. */
function fields(profile: KernelProfile): Map<string, unknown> {
  const out = new Map<string, unknown>();
  for (const [part, values] of Object.entries(profile)) {
    if (typeof values === 'string') continue;
    for (const [field, value] of Object.entries(values as object)) out.set(`${part}.${field}`, value);
  }
  return out;
}

describe('KERNEL_PROFILES', () => {
  it('lists the kernels from old to new, each under its own name', () => {
    expect(Object.keys(KERNEL_PROFILES)).toEqual(RELEASES);
    expect(RELEASES.map((name) => KERNEL_PROFILES[name].name)).toEqual(RELEASES);
  });

  it('is data that nobody can change', () => {
    expect(Object.isFrozen(KERNEL_PROFILES)).toBe(true);
    for (const profile of Object.values(KERNEL_PROFILES)) {
      expect(Object.isFrozen(profile)).toBe(true);
      expect(Object.values(profile).every((part) => Object.isFrozen(part))).toBe(true);
    }
  });

  it('holds only booleans and words, in the same fields for every kernel', () => {
    const names = [...fields(KERNEL_PROFILES.next).keys()];
    for (const profile of Object.values(KERNEL_PROFILES)) {
      expect([...fields(profile).keys()]).toEqual(names);
      expect(
        [...fields(profile).values()].every((v) => typeof v === 'boolean' || typeof v === 'string'),
      ).toBe(true);
    }
  });

  it('changes a behaviour once: what a kernel brings, later kernels keep', () => {
    const turns: string[] = [];
    for (const field of fields(KERNEL_PROFILES.next).keys()) {
      const values = RELEASES.map((name) => fields(KERNEL_PROFILES[name]).get(field));
      const changes = values.filter((v, i) => i > 0 && v !== values[i - 1]).length;
      if (changes > 1) turns.push(field);
    }
    expect(turns).toEqual([]);
  });
});
