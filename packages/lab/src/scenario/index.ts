export * from './language.ts';
export { type RunOptions, runScenario, type ScenarioRun } from './model/run.ts';
