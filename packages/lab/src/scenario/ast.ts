/**
 * The scenario language as data. This folder's language part (ast, values, parse, print, layout, wire) imports nothing
 * outside of itself, so that any interpreter can use it: the model here, the explorer, a program in a guest kernel.
 */

/** What a kernel or a build has to offer for a scenario to make sense. */
export const FEATURES = ['thp', 'hugetlb', 'swap', 'coherent', 'gup', 'userfaultfd', 'two-pass'] as const;
export type Feature = (typeof FEATURES)[number];

/** Kernels by their short names, oldest first. */
export const KERNELS = ['6.12', '7.0', '7.2', '7.3', 'next'] as const;
export type KernelName = (typeof KERNELS)[number];

/** A device of the test module. */
export interface DeviceDecl {
  readonly name: string;
  readonly type: 'private' | 'coherent';
}

/** A run of pages of a buffer: `buf`, `buf[3]`, `buf[2..8]` (end exclusive). `to` -1 = to the end of the buffer. */
export interface Range {
  readonly buffer: string;
  readonly from: number;
  readonly to: number;
}

/** One element of a list of values: a number or a snapshot word, `count` times; `up` counts on to the end. */
export interface ValueRun {
  readonly value: number | string;
  readonly count: number;
  readonly up: boolean;
}

/** What a step may yield: `any`, success without looking at values, an errno by name, or values page by page. */
export type Result =
  | { readonly kind: 'any' }
  | { readonly kind: 'ok' }
  | { readonly kind: 'errno'; readonly name: string }
  | { readonly kind: 'values'; readonly runs: readonly ValueRun[] };

/** What must come out of a step: one of the results, and the counts of a device command where they are given. */
export interface Expectation {
  readonly results: readonly Result[];
  readonly pages: number | null;
  readonly faults: number | null;
}

export type Protection = 'none' | 'r' | 'rw';
export const MAP_FLAGS = ['shared', 'file', 'thp', 'hugetlb', 'mixed', 'io', 'vvar', 'locked'] as const;
export type MapFlag = (typeof MAP_FLAGS)[number];
export const ADVICES = [
  'dontneed',
  'free',
  'cold',
  'pageout',
  'hugepage',
  'nohugepage',
  'collapse',
  'guard',
  'unguard',
] as const;
export type Advice = (typeof ADVICES)[number];
export const PIN_FLAGS = ['write', 'longterm', 'get'] as const;
export type PinFlag = (typeof PIN_FLAGS)[number];

/** What a process does by itself. */
export type ProcessOp =
  | {
      readonly op: 'mmap';
      readonly buffer: string;
      readonly pages: number;
      readonly prot: Protection;
      readonly flags: readonly MapFlag[];
    }
  | { readonly op: 'munmap' | 'mlock' | 'munlock' | 'swap'; readonly range: Range }
  | { readonly op: 'mprotect'; readonly range: Range; readonly prot: Protection }
  | {
      readonly op: 'mremap';
      readonly range: Range;
      readonly buffer: string;
      readonly at: number;
      readonly dontUnmap: boolean;
    }
  | { readonly op: 'madvise'; readonly range: Range; readonly advice: Advice }
  | { readonly op: 'read' | 'peek'; readonly range: Range }
  | { readonly op: 'write' | 'poke'; readonly range: Range; readonly values: readonly ValueRun[] }
  | { readonly op: 'fork'; readonly child: string }
  | { readonly op: 'exit' }
  | { readonly op: 'open'; readonly device: string }
  | { readonly op: 'close'; readonly device: string }
  | { readonly op: 'pin'; readonly range: Range; readonly pin: string; readonly flags: readonly PinFlag[] }
  | { readonly op: 'unpin'; readonly pin: string }
  | { readonly op: 'uffd'; readonly range: Range; readonly value: number };

export const DEVICE_COMMANDS = [
  'read',
  'read-unlocked',
  'migrate',
  'back',
  'snapshot',
  'exclusive',
  'check-exclusive',
] as const;
export type DeviceCommand = (typeof DEVICE_COMMANDS)[number];

/** What a process asks an open device to do. */
export type DeviceOp = DeviceRangeOp | { readonly op: 'release' } | { readonly op: 'fail-alloc' };

/** A command for pages. */
export type DeviceRangeOp =
  | { readonly op: DeviceCommand; readonly range: Range }
  | { readonly op: 'write'; readonly range: Range; readonly values: readonly ValueRun[] };

/** One line: somebody does something and something must come of it. */
export interface Step {
  /** Kernels on which the step is done; all when empty. */
  readonly only: readonly KernelName[];
  readonly process: string;
  /** Set for a command of a device. */
  readonly device: string | null;
  readonly what: ProcessOp | DeviceOp;
  readonly expect: Expectation;
  /** Line of the source text, from 1. */
  readonly line: number;
}

/** Steps one after the other, or threads of steps against each other. */
export type Block =
  | { readonly kind: 'steps'; readonly steps: readonly Step[] }
  | { readonly kind: 'race'; readonly threads: readonly Thread[] };

export interface Thread {
  readonly name: string;
  readonly steps: readonly Step[];
}

/** A scenario: what there is, what is done, and what must hold at the end. */
export interface Scenario {
  readonly name: string;
  /** Free text, one element a line. */
  readonly about: readonly string[];
  /** Kernels that it is for; all when empty. */
  readonly kernels: readonly KernelName[];
  readonly needs: readonly Feature[];
  readonly devices: readonly DeviceDecl[];
  readonly blocks: readonly Block[];
  /** Must hold at the end, for every schedule. */
  readonly must: readonly Step[];
}
