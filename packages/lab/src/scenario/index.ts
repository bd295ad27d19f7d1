export { type Exploration, type ExploreOptions, exploreScenario, type Outcome } from './model/explore.ts';
export { generateScenario, type GenerateOptions, stepsOf, withSteps } from './generate.ts';
export * from './language.ts';
export { type RunOptions, runScenario, type ScenarioRun } from './model/run.ts';
export { shrinkScenario, shrinkScenarioInBatches, withAnswers } from './shrink.ts';
