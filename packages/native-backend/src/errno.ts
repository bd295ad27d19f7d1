import { getSystemErrorName } from 'node:util';

/** Error numbers that only the system-call layer meets; the others are in `@gpusvm/kernel`. */
export const ENXIO: 6 = 6;
export const EBADF: 9 = 9;
export const ENOTDIR: 20 = 20;
export const ENOTTY: 25 = 25;
export const EBADFD: 77 = 77;
export const ETIMEDOUT: 110 = 110;

/** Numbers that Node has no name for, or another one than the kernel. */
const KERNEL_NAMES: Readonly<Record<number, string>> = { 77: 'EBADFD', 95: 'EOPNOTSUPP' };

/**
 * Name of a result of a system call.
 *
 * @param result - not negative, or a negated errno.
 * @returns the number itself, or the name without sign (`'EINVAL'`).
 */
export function resultName(result: number): string {
  if (result >= 0) return String(result);
  return KERNEL_NAMES[-result] ?? getSystemErrorName(result);
}
