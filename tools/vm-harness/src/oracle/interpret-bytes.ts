import { hex, type OracleModel } from './oracle-model.ts';
import type { OracleOp } from './oracle-op.ts';
import { ORACLE_MEMORY_BYTES, ORACLE_SLOTS } from './program.ts';

/** Numbers from here on are states. */
const STATE_BASE = 0x40;
const MAX_BYTES = 2 ** 20;
const PAGE = 4096;

function byteOf(seed: number, i: number): number {
  return (seed + 7 * i + (i >> 8)) & 0xff;
}

function pattern(seed: number, first: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = byteOf(seed, first + i);
  return bytes;
}

function addToSum(sum: number, bytes: Uint8Array): number {
  let all = sum;
  for (let i = 0; i < bytes.length; i++) all = (Math.imul(31, all) + bytes[i]!) | 0;
  return all >>> 0;
}

function isTestMemory(start: number, size: number): boolean {
  return size <= MAX_BYTES && start + size <= ORACLE_MEMORY_BYTES;
}

/** The DMA address of a slot of mappings, or behind them of states; -1 when there is none. */
function addressOf(model: OracleModel, number: number): number {
  if (number >= STATE_BASE) {
    const { state, allocated } = model.states[number % ORACLE_SLOTS]!;
    return allocated ? state.addr : -1;
  }
  const slot = model.mappings[number]!;
  if (!slot.mapped) return -1;
  return slot.sg === null ? slot.addr : slot.sg.dmaAddrBytes[0]!;
}

/** Visit the bytes that a slot's device address reaches, by page. */
function touch(
  model: OracleModel,
  [number, offset, size]: readonly number[],
  visit: (phys: number, first: number, length: number) => void,
): string | null {
  const base = addressOf(model, number!);
  if (base < 0 || size! > MAX_BYTES) return 'skip';
  for (let done = 0; done < size!; ) {
    const addr = base + offset! + done;
    const length = Math.min(PAGE - (addr % PAGE), size! - done);
    const phys = model.domain === null ? addr : model.translate(addr);
    if (phys === 0) return `fault+${hex(done)}`;
    if (!model.isProgramMemory(phys)) return `foreign+${hex(done)}`;
    visit(phys, done, length);
    done += length;
  }
  return null;
}

/** What memory holds, for the CPU and for the device: bytes.c of the module. */
export const bytesOps: Readonly<Record<string, OracleOp>> = {
  fill: {
    min: 3,
    max: 3,
    call: (model, [start, size, seed]) => {
      if (!isTestMemory(start!, size!)) return 'skip';
      model.memory.write(model.phys(start!), pattern(seed!, 0, size!));
      return 'ok';
    },
  },
  sum: {
    min: 2,
    max: 2,
    call: (model, [start, size]) =>
      isTestMemory(start!, size!) ? hex(addToSum(0, model.memory.read(model.phys(start!), size!))) : 'skip',
  },
  dev_fill: {
    min: 4,
    max: 4,
    call: (model, args) =>
      touch(model, args, (phys, first, length) =>
        model.memory.write(phys, pattern(args[3]!, first, length)),
      ) ?? 'ok',
  },
  dev_sum: {
    min: 3,
    max: 3,
    call: (model, args) => {
      let sum = 0;
      const failure = touch(model, args, (phys, _, length) => {
        sum = addToSum(sum, model.memory.read(phys, length));
      });
      return failure ?? hex(sum);
    },
  },
};
