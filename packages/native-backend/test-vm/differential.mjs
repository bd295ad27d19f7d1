import { compareSystems, describeDifference, SimSys } from '../dist/index.js';

/** Random programs on the real kernel and on SimSys: every transcript must be the same. @param option - `programs[,first seed]`. */
export function differential({ sys, driver, kernel }, option = '1000') {
  const [programs, firstSeed = 1] = option.split(',').map(Number);
  const differences = compareSystems(
    () => new SimSys({ driver, kernel }),
    () => sys,
    { device: driver === 'mock' ? 'mock' : 'nvme', firstSeed, programs },
  );
  return { passed: programs - differences.length, failures: differences.map(describeDifference) };
}
