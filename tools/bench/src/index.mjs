export { compare, percentile10, print, runGroup, runRatios } from './ratios.mjs';
export { runInstructions, slopePerOp } from './instructions.mjs';
