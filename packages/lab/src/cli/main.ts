#!/usr/bin/env node
import { CommanderError } from 'commander';
import { CaptureError } from '../capture/capture-error.ts';
import { program } from './program.ts';
import { UserError } from './user-error.ts';

/** Exit code of bad input; 1 is left for failures of the program itself. */
const BAD_INPUT = 2;

try {
  await program().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : BAD_INPUT;
  } else if (error instanceof UserError || error instanceof CaptureError) {
    process.stderr.write(`gpusvm: ${error.message}\n`);
    process.exitCode = BAD_INPUT;
  } else {
    throw error;
  }
}
