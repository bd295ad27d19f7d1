// Instructions per operation, repeatable within half a percent: node bench/instructions.mjs [part of a name]. Needs valgrind.
import { runInstructions } from '@gpusvm/bench';
import groups from './scenarios.mjs';

runInstructions(import.meta.resolve('./scenarios.mjs'), groups, { filter: process.argv[2] ?? '' });
