/**
 * Error numbers of include/uapi/asm-generic/errno*.h that the modelled code returns.
 *
 * Functions whose kernel counterpart returns an errno return `0` or the negated value (`-EBUSY`), as in the
 * kernel; nothing is thrown, because every retry protocol of the stack works on these values.
 */
const TABLE = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  ERANGE: 34,
  ENOLINK: 67,
  EOVERFLOW: 75,
  ENODATA: 61,
  ETIME: 62,
  EPROTO: 71,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  ENOBUFS: 105,
  EADDRINUSE: 98,
  EREMOTEIO: 121,
  ECANCELED: 125,
} as const;

export const EPERM: 1 = TABLE.EPERM;
export const ENOENT: 2 = TABLE.ENOENT;
export const EINTR: 4 = TABLE.EINTR;
export const EIO: 5 = TABLE.EIO;
export const ENXIO: 6 = TABLE.ENXIO;
export const E2BIG: 7 = TABLE.E2BIG;
export const EBADF: 9 = TABLE.EBADF;
export const EAGAIN: 11 = TABLE.EAGAIN;
export const ENOMEM: 12 = TABLE.ENOMEM;
export const EACCES: 13 = TABLE.EACCES;
export const EFAULT: 14 = TABLE.EFAULT;
export const EBUSY: 16 = TABLE.EBUSY;
export const EEXIST: 17 = TABLE.EEXIST;
export const ENODEV: 19 = TABLE.ENODEV;
export const EINVAL: 22 = TABLE.EINVAL;
export const ENOSPC: 28 = TABLE.ENOSPC;
export const ERANGE: 34 = TABLE.ERANGE;
export const ENODATA: 61 = TABLE.ENODATA;
export const ETIME: 62 = TABLE.ETIME;
export const ENOLINK: 67 = TABLE.ENOLINK;
export const EPROTO: 71 = TABLE.EPROTO;
export const EOVERFLOW: 75 = TABLE.EOVERFLOW;
export const EMSGSIZE: 90 = TABLE.EMSGSIZE;
export const EOPNOTSUPP: 95 = TABLE.EOPNOTSUPP;
export const EADDRINUSE: 98 = TABLE.EADDRINUSE;
export const ENOBUFS: 105 = TABLE.ENOBUFS;
export const EREMOTEIO: 121 = TABLE.EREMOTEIO;
export const ECANCELED: 125 = TABLE.ECANCELED;

/** `0` for success or a negated error number. */
export type Errno = number;

const NAMES = new Map<number, string>(Object.entries(TABLE).map(([name, value]) => [value, name]));

/**
 * Name of a return value as a kernel log would print it.
 *
 * @param err - `0` or a negated errno.
 * @returns `'0'`, `'-EBUSY'`, or the number itself when it is not in the table.
 */
export function errnoName(err: Errno): string {
  if (err === 0) return '0';
  const name = NAMES.get(-err);
  return name === undefined ? String(err) : `-${name}`;
}
