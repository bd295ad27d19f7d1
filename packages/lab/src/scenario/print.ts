import type { Expectation, Range, Result, Scenario, Step } from './ast.ts';
import { printValueRun } from './values.ts';

/** A scenario as text; parsing it gives the same scenario again, line numbers aside. */
export function printScenario(s: Scenario): string {
  const lines = [`scenario ${s.name}`, ...s.about.map((text) => `about ${text}`.trimEnd())];
  if (s.kernels.length > 0) lines.push(`kernel ${s.kernels.join(' ')}`);
  if (s.needs.length > 0) lines.push(`needs ${s.needs.join(' ')}`);
  for (const device of s.devices) lines.push(`device ${device.name} ${device.type}`);
  for (const block of s.blocks) {
    lines.push('');
    if (block.kind === 'steps') {
      lines.push(...block.steps.map(printStep));
      continue;
    }
    lines.push('race');
    for (const thread of block.threads) {
      lines.push(`thread ${thread.name}`, ...thread.steps.map((step) => `  ${printStep(step)}`));
    }
    lines.push('end');
  }
  if (s.must.length > 0) lines.push('', 'must', ...s.must.map(printStep));
  return `${lines.join('\n')}\n`;
}

/** One step as a line. */
export function printStep(step: Step): string {
  const who = step.device === null ? step.process : `${step.process} ${step.device}`;
  const only = step.only.length === 0 ? '' : `@${step.only.join(',')} `;
  return `${only}${who} ${printWhat(step)}${printExpectation(step.expect)}`;
}

function printWhat({ what }: Step): string {
  let text: string;
  switch (what.op) {
    case 'mmap':
      text = ['mmap', what.buffer, what.pages, what.prot, ...what.flags].join(' ');
      break;
    case 'mprotect':
      text = `mprotect ${printRange(what.range)} ${what.prot}`;
      break;
    case 'mremap': {
      const at = what.at === 0 ? '' : ` at ${what.at}`;
      text = `mremap ${printRange(what.range)} to ${what.buffer}${at}${what.dontUnmap ? ' dontunmap' : ''}`;
      break;
    }
    case 'madvise':
      text = `madvise ${printRange(what.range)} ${what.advice}`;
      break;
    case 'write':
    case 'poke':
      text = `${what.op} ${printRange(what.range)} ${what.values.map(printValueRun).join(' ')}`;
      break;
    case 'fork':
      text = `fork ${what.child}`;
      break;
    case 'open':
    case 'close':
      text = `${what.op} ${what.device}`;
      break;
    case 'pin':
      text = ['pin', printRange(what.range), what.pin, ...what.flags].join(' ');
      break;
    case 'unpin':
      text = `unpin ${what.pin}`;
      break;
    case 'uffd':
      text = `uffd ${printRange(what.range)} ${what.value}`;
      break;
    case 'exit':
    case 'release':
    case 'fail-alloc':
      text = what.op;
      break;
    case 'munmap':
    case 'mlock':
    case 'munlock':
    case 'swap':
    case 'read':
    case 'peek':
    case 'read-unlocked':
    case 'migrate':
    case 'back':
    case 'snapshot':
    case 'exclusive':
    case 'check-exclusive':
      text = `${what.op} ${printRange(what.range)}`;
      break;
  }
  return text;
}

function printRange(r: Range): string {
  if (r.from === 0 && r.to === -1) return r.buffer;
  if (r.to === -1) return `${r.buffer}[${r.from}..]`;
  return r.to === r.from + 1 ? `${r.buffer}[${r.from}]` : `${r.buffer}[${r.from}..${r.to}]`;
}

function printExpectation(e: Expectation): string {
  const counts = `${e.pages === null ? '' : ` pages ${e.pages}`}${e.faults === null ? '' : ` faults ${e.faults}`}`;
  const plain = e.results.length === 1 && e.results[0]!.kind === 'ok';
  return plain ? counts : `${counts} = ${e.results.map(printResult).join(' or ')}`;
}

function printResult(r: Result): string {
  if (r.kind === 'any') return '?';
  if (r.kind === 'errno') return r.name;
  return r.kind === 'ok' ? 'ok' : r.runs.map(printValueRun).join(' ');
}
