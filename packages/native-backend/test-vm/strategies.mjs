import { nativeMapContract } from '../dist/contract/index.js';
import { runChecks } from './run-checks.mjs';

/**
 * The suite of the mapping strategies, on memory behind the IOAS: what the device sees is what it moves by DMA.
 *
 * @param option - mode of the DMA layer, `strict` or `lazy`; default both.
 */
export function strategies({ sys, driver }, option) {
  const modes = option === undefined ? ['strict', 'lazy'] : [option];
  return runChecks(nativeMapContract(() => sys, driver === 'mock' ? 'mock' : 'nvme', modes));
}
