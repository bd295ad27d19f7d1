import { runProgram } from '../program/run-program.ts';
import type { RigDevice } from '../program/rig.ts';
import type { Sys } from '../sys.ts';
import { expectedLines, type Platform, type Row } from './row.ts';
import { ABI_ROWS } from './rows-abi.ts';
import { ATTACH_ROWS } from './rows-attach.ts';
import { DMA_ROWS } from './rows-dma.ts';
import { MAP_ROWS } from './rows-map.ts';
import { MOCK_ROWS } from './rows-mock.ts';
import { UNMAP_ROWS } from './rows-unmap.ts';

/** Every row, in the order of the specification. */
export const BEHAVIOUR_ROWS: readonly Row[] = [
  ...MAP_ROWS,
  ...UNMAP_ROWS,
  ...ATTACH_ROWS,
  ...DMA_ROWS,
  ...MOCK_ROWS,
  ...ABI_ROWS,
];

/** One row to run; throws an Error that says what differs. */
export interface BehaviourCheck {
  readonly name: string;
  readonly run: () => void;
}

/**
 * How iommufd behaves, row by row, on a platform: the contract between `SimSys` and the real kernel.
 *
 * @param makeSys - a system for each row; the same one may be returned again.
 * @param device - what the rows run with: `mock` on driver `mock`, otherwise a device that can DMA.
 */
export function behaviourContract(
  makeSys: () => Sys,
  platform: Platform,
  device: RigDevice,
): readonly BehaviourCheck[] {
  return BEHAVIOUR_ROWS.filter(({ only }) => only === undefined || only.includes(platform.driver)).map(
    (row) => ({
      name: row.name,
      run: () => checkRow(row, runProgram(makeSys(), device, row.program), platform),
    }),
  );
}

function checkRow(row: Row, transcript: readonly string[], platform: Platform): void {
  const wanted = expectedLines(row, platform);
  const got = transcript.slice(-wanted.length);
  if (got.join('\n') === wanted.join('\n')) return;
  throw new Error(
    `got\n  ${got.join('\n  ')}\nexpected\n  ${wanted.join('\n  ')}\nafter\n  ${transcript.join('\n  ')}`,
  );
}
