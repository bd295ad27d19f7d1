import { describe, expect, test } from 'vitest';
import { compareSystems, describeDifference } from '../src/program/differential.ts';
import { randomProgram } from '../src/program/random-program.ts';
import type { RigDevice } from '../src/program/rig.ts';
import { ProgramSession, runProgram } from '../src/program/run-program.ts';
import { shrinkProgram } from '../src/program/shrink.ts';
import { SimSys } from '../src/sim/sim-sys.ts';

const DRIVERS = ['vtd', 'amd', 'mock'] as const;
const deviceOf = (driver: (typeof DRIVERS)[number]): RigDevice => (driver === 'mock' ? 'mock' : 'nvme');

describe.each(DRIVERS)('300 random programs on SimSys as %s', (driver) => {
  const device = deviceOf(driver);

  test('give the same transcript twice and leave no descriptor and no pinned page', () => {
    const transcripts = [0, 1].map(() => {
      const sys = new SimSys({ driver });
      const session = new ProgramSession(sys, device);
      const lines: string[] = [];
      for (let seed = 1; seed <= 300; seed++) {
        lines.push(...session.run(randomProgram(seed, { dma: device !== 'mock' })));
        expect(sys.memlock.lockedPages).toBe(0);
      }
      session[Symbol.dispose]();
      expect(sys.openFiles).toBe(0);
      return lines;
    });
    expect(transcripts[0]).toEqual(transcripts[1]);
    expect(transcripts[0]!.length).toBe(300 * 26);
  });

  test('run alone and in a session alike', () => {
    const session = new ProgramSession(new SimSys({ driver }), device);
    for (let seed = 1; seed <= 20; seed++) {
      const program = randomProgram(seed, { dma: false });
      expect(runProgram(new SimSys({ driver }), device, program)).toEqual(session.run(program));
    }
    session[Symbol.dispose]();
  });
});

describe('the comparison', () => {
  const options = { device: 'nvme', firstSeed: 1, programs: 60 } as const;

  test('finds nothing between equals', () => {
    const make = (): SimSys => new SimSys();
    expect(compareSystems(make, make, options)).toEqual([]);
  });

  test('finds what differs between VT-d and AMD and shrinks it to the few steps that show it', () => {
    const found = compareSystems(
      () => new SimSys({ driver: 'vtd', kernel: '7.3' }),
      () => new SimSys({ driver: 'amd', kernel: '7.3' }),
      { ...options, mostDifferences: 1 },
    );
    expect(found).toHaveLength(1);
    // What the two drivers answer differently: what they are, where they reserve, which page tables they make.
    const steps = found[0]!.program.map(({ op }) => op);
    expect([steps.length <= 5, ['hwInfo', 'ranges', 'map', 'hwpt'].includes(steps.at(-1)!)]).toEqual([
      true,
      true,
    ]);
    const text = describeDifference(found[0]!);
    expect(text).toContain(`shrunk to ${found[0]!.program.length} steps`);
    expect(text).toContain(`! ${JSON.stringify(found[0]!.program.at(-1))}`);
    expect(text).toContain(found[0]!.left.at(-1)!);
    expect(text).toContain(found[0]!.right.at(-1)!);
  });

  test('shrinks to a program of which no step can be dropped', () => {
    const program = randomProgram(5, { dma: false, steps: 60 });
    const overlaps = (p: typeof program): boolean =>
      runProgram(new SimSys(), 'nvme', p).some((line) => line === 'map: EEXIST');
    const short = shrinkProgram(program, overlaps);
    expect(overlaps(short)).toBe(true);
    expect(short.map(({ op }) => op).filter((op) => op !== 'ioas')).toEqual(['map', 'map']);
  });
});
