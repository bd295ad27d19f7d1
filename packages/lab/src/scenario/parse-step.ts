import {
  ADVICES,
  DEVICE_COMMANDS,
  type DeviceOp,
  type Expectation,
  KERNELS,
  type KernelName,
  MAP_FLAGS,
  PIN_FLAGS,
  type ProcessOp,
  type Protection,
  type Range,
  type Result,
  type Step,
  type ValueRun,
} from './ast.ts';
import type { Cursor } from './cursor.ts';
import { parseValueRun } from './values.ts';

const PROTECTIONS: readonly Protection[] = ['none', 'r', 'rw'];
const PROCESS_OPS = [
  'mmap',
  'munmap',
  'mprotect',
  'mremap',
  'madvise',
  'mlock',
  'munlock',
  'read',
  'write',
  'peek',
  'poke',
  'swap',
  'fork',
  'exit',
  'open',
  'close',
  'pin',
  'unpin',
  'uffd',
] as const;
const DEVICE_OPS = [...DEVICE_COMMANDS, 'write', 'release', 'fail-alloc'] as const;

/** One step: `[@kernel] process op ...` or `process device op ...`, then counts, then `= results`. */
export function parseStep(c: Cursor, devices: ReadonlySet<string>): Step {
  const only = c.peek()?.startsWith('@') === true ? kernels(c) : [];
  const process = c.name('a process');
  const next = c.peek();
  if (next !== undefined && devices.has(next)) {
    const device = c.word('device');
    const what = deviceOp(c);
    return { only, process, device, what, expect: expectation(c), line: c.line };
  }
  const what = processOp(c);
  return { only, process, device: null, what, expect: expectation(c), line: c.line };
}

/** `@6.12`, `@6.12,7.3`, or `@7.0+` for that kernel and all later ones. */
function kernels(c: Cursor): KernelName[] {
  const word = c.word('kernel');
  const out: KernelName[] = [];
  for (const name of word.slice(1).split(',')) {
    const later = name.endsWith('+');
    const at = KERNELS.findIndex((kernel) => kernel === (later ? name.slice(0, -1) : name));
    if (at < 0)
      throw c.error(`'${word}' names no kernel; use ${KERNELS.join(', ')}, or one with + for all later ones`);
    out.push(...KERNELS.slice(at, later ? undefined : at + 1));
  }
  return out;
}

function deviceOp(c: Cursor): DeviceOp {
  const op = c.oneOf(DEVICE_OPS, 'device command');
  if (op === 'release' || op === 'fail-alloc') return { op };
  const range = parseRange(c);
  return op === 'write' ? { op, range, values: values(c) } : { op, range };
}

function processOp(c: Cursor): ProcessOp {
  const op = c.oneOf(PROCESS_OPS, 'operation');
  let what: ProcessOp;
  switch (op) {
    case 'mmap': {
      const buffer = c.name('a buffer');
      const pages = c.number('the number of pages', 1);
      what = { op, buffer, pages, prot: c.oneOf(PROTECTIONS, 'protection'), flags: c.manyOf(MAP_FLAGS) };
      break;
    }
    case 'mprotect':
      what = { op, range: parseRange(c), prot: c.oneOf(PROTECTIONS, 'protection') };
      break;
    case 'mremap':
      what = mremap(c);
      break;
    case 'madvise':
      what = { op, range: parseRange(c), advice: c.oneOf(ADVICES, 'advice') };
      break;
    case 'read':
    case 'peek':
    case 'munmap':
    case 'mlock':
    case 'munlock':
    case 'swap':
      what = { op, range: parseRange(c) };
      break;
    case 'write':
    case 'poke':
      what = { op, range: parseRange(c), values: values(c) };
      break;
    case 'fork':
      what = { op, child: c.name('a process') };
      break;
    case 'open':
    case 'close':
      what = { op, device: c.name('a device') };
      break;
    case 'pin':
      what = { op, range: parseRange(c), pin: c.name('a pin'), flags: c.manyOf(PIN_FLAGS) };
      break;
    case 'unpin':
      what = { op, pin: c.name('a pin') };
      break;
    case 'uffd':
      what = { op, range: parseRange(c), value: c.number('the value that the handler fills in', 0) };
      break;
    case 'exit':
      what = { op };
      break;
  }
  return what;
}

function mremap(c: Cursor): ProcessOp {
  const range = parseRange(c);
  if (!c.accept('to')) throw c.error("mremap needs 'to' and a new buffer");
  const buffer = c.name('a buffer');
  const at = c.accept('at') ? c.number('the page where the new mapping begins', 0) : 0;
  return { op: 'mremap', range, buffer, at, dontUnmap: c.accept('dontunmap') };
}

function parseRange(c: Cursor): Range {
  const word = c.word('a range');
  const match = /^([A-Za-z][\w-]*)(?:\[(\d+)(?:(\.\.)(\d+)?)?\])?$/.exec(word);
  if (match === null) throw c.error(`'${word}' is no range; write buf, buf[3] or buf[2..8]`);
  const buffer = match[1]!;
  if (match[2] === undefined) return { buffer, from: 0, to: -1 };
  const from = Number(match[2]);
  if (match[3] === undefined) return { buffer, from, to: from + 1 };
  const to = match[4] === undefined ? -1 : Number(match[4]);
  if (to !== -1 && to <= from) throw c.error(`range '${word}' is empty`);
  return { buffer, from, to };
}

function values(c: Cursor): ValueRun[] {
  const out: ValueRun[] = [];
  for (let run = nextRun(c); run !== null; run = nextRun(c)) {
    if (typeof run.value === 'string') throw c.error(`'${run.value}' cannot be written; write numbers`);
    out.push(run);
  }
  if (out.length === 0) throw c.error('there is nothing to write: give a value');
  return out;
}

function nextRun(c: Cursor): ValueRun | null {
  const word = c.peek();
  const run = word === undefined ? null : parseValueRun(word);
  if (run !== null) c.word('value');
  return run;
}

function expectation(c: Cursor): Expectation {
  let pages: number | null = null;
  let faults: number | null = null;
  for (;;) {
    if (c.accept('pages')) pages = c.number('pages', 0);
    else if (c.accept('faults')) faults = c.number('faults', 0);
    else break;
  }
  const results: Result[] = [];
  if (c.accept('=')) {
    do results.push(result(c));
    while (c.accept('or'));
  } else {
    results.push({ kind: 'ok' });
  }
  c.end();
  return { results, pages, faults };
}

function result(c: Cursor): Result {
  if (c.accept('?')) return { kind: 'any' };
  if (c.accept('ok')) return { kind: 'ok' };
  const word = c.peek();
  if (word !== undefined && /^E[A-Z0-9]+$/.test(word) && parseValueRun(word) === null) {
    return { kind: 'errno', name: c.word('errno') };
  }
  const runs: ValueRun[] = [];
  for (let run = nextRun(c); run !== null; run = nextRun(c)) runs.push(run);
  if (runs.length === 0) throw c.error(`'${word ?? ''}' is no result; write ok, ?, an errno, or values`);
  return { kind: 'values', runs };
}
