// Instructions per operation, deterministic to about 1e-4: node bench/instructions.mjs [part of a name]. Needs valgrind.
import { runInstructions } from '@gpusvm/bench';
import groups from './scenarios.mjs';

runInstructions(import.meta.resolve('./scenarios.mjs'), groups, { filter: process.argv[2] ?? '' });
