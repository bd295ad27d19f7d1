import { writeFileSync } from 'node:fs';
import { ProgramSession, randomProgram } from '../dist/index.js';

/**
 * Random programs on the real kernel; their transcripts go into the file `transcripts` of the current folder, as JSON, to
 * be compared with those of SimSys on a faster machine.
 *
 * @param option - `programs[,first seed]`.
 */
export function transcripts({ sys, driver }, option = '1000') {
  const [programs, firstSeed = 1] = option.split(',').map(Number);
  const device = driver === 'mock' ? 'mock' : 'nvme';
  const session = new ProgramSession(sys, device);
  const all = Array.from({ length: programs }, (_, i) =>
    session.run(randomProgram(firstSeed + i, { dma: device !== 'mock' })),
  );
  session[Symbol.dispose]();
  writeFileSync('transcripts', JSON.stringify(all));
  return { passed: programs, failures: [] };
}
