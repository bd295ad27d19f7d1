import type { Program } from '../program/program.ts';

/** On which kind of kernel a row runs: the IOMMU driver and the kernel version. */
export interface Platform {
  readonly driver: 'vtd' | 'amd' | 'mock';
  readonly kernel: '6.12' | '7.3';
}

/** What a platform does differently, and why that is so by nature. */
export interface Difference {
  readonly on: Partial<Platform>;
  readonly reason: string;
  readonly lines: readonly string[];
}

/**
 * One observed behaviour of the kernel as data: a program and the last lines of its transcript. The same rows run
 * on `SimSys` and on the real kernel.
 */
export interface Row {
  readonly name: string;
  readonly program: Program;
  /** The end of the transcript. */
  readonly lines: readonly string[];
  readonly differs?: readonly Difference[];
  /** Drivers on which it makes sense; default all. */
  readonly only?: readonly Platform['driver'][];
}

/** The transcript's end that a platform has to show. */
export function expectedLines(row: Row, platform: Platform): readonly string[] {
  const difference = row.differs?.find(
    ({ on }) =>
      (on.driver === undefined || on.driver === platform.driver) &&
      (on.kernel === undefined || on.kernel === platform.kernel),
  );
  return difference?.lines ?? row.lines;
}
