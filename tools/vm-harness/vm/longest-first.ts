import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take longest, longest first: one of them at the end would keep one processor busy and the others not. */
const LONGEST: readonly string[] = [
  'hmm-random',
  'oracle-random',
  'native-vtd-7.3',
  'native-amd-6.12',
  'native-amd-7.3',
  'hmm-',
  'native-',
  'guest',
  'section8',
  'command',
];

function rank(file: TestSpecification): number {
  const name = file.moduleId.slice(file.moduleId.lastIndexOf('/') + 1);
  const found = LONGEST.findIndex((start) => name.startsWith(start));
  return found < 0 ? LONGEST.length : found;
}

/** Order of the files of the suite. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
