import { behaviourContract } from '../dist/contract/index.js';
import { runChecks } from './run-checks.mjs';

/** Every behaviour row. @param engine - `nvme` or `edu`, on a driver of a PCI device. */
export function behaviour({ sys, driver, kernel }, engine = 'nvme') {
  const device = driver === 'mock' ? 'mock' : engine;
  return runChecks(behaviourContract(() => sys, { driver, kernel }, device));
}
