import { likelyCause } from './likely-cause.ts';
import { resultName } from './errno.ts';

/**
 * A system call failed. Says which, with what arguments, and what usually is the cause; `errno` is the negated
 * error number as in `@gpusvm/kernel`.
 */
export class KernelError extends Error {
  /** Name of the call, as in the kernel header. */
  readonly call: string;
  /** Negated error number. */
  readonly errno: number;
  /** `EPERM` and so on. */
  readonly code: string;
  /** Arguments by name. */
  readonly args: Readonly<Record<string, number | bigint | string>>;
  /** What usually is the cause and what to do; empty when there is no such experience. */
  readonly likelyCause: string;

  constructor(call: string, errno: number, args: Readonly<Record<string, number | bigint | string>>) {
    const code = resultName(errno);
    const cause = likelyCause(call, code);
    super(`${call}(${describe(args)}) failed with ${code}${cause === '' ? '' : `: ${cause}`}`);
    this.name = 'KernelError';
    this.call = call;
    this.errno = errno;
    this.code = code;
    this.args = args;
    this.likelyCause = cause;
  }
}

/** @internal Throw unless a result is good. */
export function check(
  call: string,
  result: number,
  args: Readonly<Record<string, number | bigint | string>>,
): number {
  if (result < 0) throw new KernelError(call, result, args);
  return result;
}

function describe(args: Readonly<Record<string, number | bigint | string>>): string {
  return Object.entries(args)
    .map(([name, value]) => `${name} ${typeof value === 'bigint' ? `0x${value.toString(16)}` : value}`)
    .join(', ');
}
