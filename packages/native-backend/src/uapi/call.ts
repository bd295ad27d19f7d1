import type { Layout } from './layout.ts';

/** One ioctl as data: name and number of the kernel header, its structure, and the last field that must be there. */
export interface Call {
  readonly name: string;
  /** Request number. */
  readonly request: number;
  /** Name of the structure in the header. */
  readonly struct: string;
  /** The kernel refuses a structure that ends before this field's end with EINVAL. */
  readonly last: string;
  readonly fields: Layout;
}
