import {
  type DmaDataDirection,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  type DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaUseIova,
} from '@gpusvm/dma-iova';
import { hex, type OracleModel } from './oracle-model.ts';
import type { OracleOp } from './oracle-op.ts';
import { ORACLE_SLOTS } from './program.ts';

/** A call on a state that try_alloc has filled; others are skipped, as in the module. */
function onState(
  count: number,
  call: (model: OracleModel, state: DmaIovaState, args: readonly number[]) => string,
): OracleOp {
  return {
    min: count,
    max: count,
    call: (model, args) => {
      const slot = model.states[args[0]! % ORACLE_SLOTS]!;
      return slot.allocated ? call(model, slot.state, args) : 'skip';
    },
  };
}

/** dma_iova_*: two_step.c of the module. */
export const twoStepOps: Readonly<Record<string, OracleOp>> = {
  alloc: {
    min: 3,
    max: 3,
    call: (model, [number, phys, size]) => {
      const slot = model.states[number! % ORACLE_SLOTS]!;
      slot.allocated = dmaIovaTryAlloc(model.dev, slot.state, model.phys(phys!), size!);
      return `${Number(slot.allocated)} ${hex(slot.state.addr)} ${hex(slot.state.size)}`;
    },
  },
  link: onState(6, (model, state, [, phys, offset, size, dir, attrs]) => {
    if (model.isUnbounceable(size!)) return 'skip';
    model.noteRange(state.addr + offset!, size! + 4096);
    const direction = dir as DmaDataDirection;
    const from = model.phys(phys!);
    return String(
      model.withFailure(() => dmaIovaLink(model.dev, state, from, offset!, size!, direction, attrs!)),
    );
  }),
  sync: onState(3, (model, state, [, offset, size]) => String(dmaIovaSync(model.dev, state, offset!, size!))),
  unlink: onState(5, (model, state, [, offset, size, dir, attrs]) => {
    dmaIovaUnlink(model.dev, state, offset!, size!, dir as DmaDataDirection, attrs!);
    return 'ok';
  }),
  free: onState(1, (model, state) => {
    dmaIovaFree(model.dev, state);
    return 'ok';
  }),
  destroy: onState(4, (model, state, [, mapped, dir, attrs]) => {
    dmaIovaDestroy(model.dev, state, mapped!, dir as DmaDataDirection, attrs!);
    return 'ok';
  }),
  state: {
    min: 1,
    max: 1,
    call: (model, [number]) => {
      const { state } = model.states[number! % ORACLE_SLOTS]!;
      return `${Number(dmaUseIova(state))} ${hex(state.addr)} ${hex(state.size)} ${Number(state.swiotlb)}`;
    },
  },
};
