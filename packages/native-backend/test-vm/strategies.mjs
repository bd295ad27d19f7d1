import { nativeMapContract } from '../dist/contract/index.js';
import { runChecks } from './run-checks.mjs';

/** The suite of the mapping strategies, on memory behind the IOAS: what the device sees is what it moves by DMA. */
export function strategies({ sys, driver }) {
  return runChecks(nativeMapContract(() => sys, driver === 'mock' ? 'mock' : 'nvme'));
}
