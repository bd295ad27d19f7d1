// Suites on the real kernel, in a guest, one after the other in one process: starting Node and loading the package take
// longer there than most of them. Suites of a user's rights come last, because root is given up for them.
//   node run.mjs vtd|amd|mock 6.12|7.3 suite[=option]...
import { linuxSys } from '../dist/index.js';
import { behaviour } from './behaviour.mjs';
import { differential } from './differential.mjs';
import { faults } from './faults.mjs';
import { hugePages } from './huge-pages.mjs';
import { refusals } from './refusals.mjs';
import { seam } from './seam.mjs';
import { strategies } from './strategies.mjs';
import { transcripts } from './transcripts.mjs';

const SUITES = {
  behaviour,
  seam,
  strategies,
  differential,
  transcripts,
  'huge-pages': hugePages,
  refusals,
  faults,
};

const [driver, kernel, ...wanted] = process.argv.slice(2);
const found = linuxSys();
if (!found.available) throw new Error(found.message);
for (const word of wanted) {
  const [name, option] = word.split('=');
  if (!Object.hasOwn(SUITES, name))
    throw new Error(`no suite '${name}', there are ${Object.keys(SUITES).join(', ')}`);
  const { passed, failures } = await SUITES[name]({ sys: found.sys, driver, kernel }, option);
  for (const failure of failures) process.stdout.write(`FAIL ${failure}\n`);
  process.stdout.write(`${name}: ${passed} passed, ${failures.length} failed\n`);
  if (failures.length > 0) process.exitCode = 1;
}
