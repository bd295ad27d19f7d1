// Random programs on the real kernel and on SimSys, in a guest: every transcript must be the same.
//   node differential.mjs vtd|amd|mock 6.12|7.3 [programs] [first seed]
import { compareSystems, describeDifference, linuxSys, SimSys } from '../dist/index.js';

const [driver, kernel, programs = '1000', firstSeed = '1'] = process.argv.slice(2);
const found = linuxSys();
if (!found.available) throw new Error(found.message);
const options = {
  device: driver === 'mock' ? 'mock' : 'nvme',
  firstSeed: Number(firstSeed),
  programs: Number(programs),
};
const differences = compareSystems(
  () => new SimSys({ driver, kernel }),
  () => found.sys,
  options,
);
for (const difference of differences) process.stdout.write(`${describeDifference(difference)}\n`);
process.stdout.write(`${options.programs - differences.length} passed, ${differences.length} failed\n`);
if (differences.length > 0) process.exitCode = 1;
