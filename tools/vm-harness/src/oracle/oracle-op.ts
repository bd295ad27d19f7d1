import type { OracleModel } from './oracle-model.ts';

/** An operation: how many arguments it takes, and what it does; the result is the transcript's text. */
export interface OracleOp {
  readonly min: number;
  readonly max: number;
  readonly call: (model: OracleModel, args: readonly number[]) => string;
}
