/** The scenario language alone: texts, their meaning as data, where buffers lie. Imports nothing outside of this folder. */
export * from './ast.ts';
export { allSteps, isFor } from './all-steps.ts';
export { Layout, type Placement } from './layout.ts';
export { parseScenario } from './parse.ts';
export { printScenario, printStep } from './print.ts';
export { ScenarioError } from './scenario-error.ts';
export { compressValues, expandValues, matches, printYield, type Yield } from './values.ts';
export { type Answer, parseAnswer, printAnswer, wireScenario } from './wire.ts';
