import {
  type DmaDataDirection,
  dmaSyncSgForCpu,
  dmaSyncSgForDevice,
  dmaSyncSingleForCpu,
  dmaSyncSingleForDevice,
} from '@gpusvm/dma-iova';
import type { MappingSlot, OracleModel } from './oracle-model.ts';
import type { OracleOp } from './oracle-op.ts';
import { ORACLE_SLOTS } from './program.ts';

function mappingOf(model: OracleModel, number: number, dir: number, isList: boolean): MappingSlot | null {
  const slot = model.mappings[number % ORACLE_SLOTS]!;
  const fits = slot.mapped && slot.coherent === null && (slot.sg !== null) === isList && dir <= 2;
  return fits ? slot : null;
}

function single(sync: typeof dmaSyncSingleForCpu): OracleOp {
  return {
    min: 4,
    max: 4,
    call: (model, [number, offset, size, dir]) => {
      const slot = mappingOf(model, number!, dir!, false);
      if (slot === null) return 'skip';
      sync(model.dev, slot.addr + offset!, size!, dir as DmaDataDirection);
      return 'ok';
    },
  };
}

function list(sync: typeof dmaSyncSgForCpu): OracleOp {
  return {
    min: 2,
    max: 2,
    call: (model, [number, dir]) => {
      const slot = mappingOf(model, number!, dir!, true);
      if (slot === null) return 'skip';
      sync(model.dev, slot.sg!, dir as DmaDataDirection);
      return 'ok';
    },
  };
}

/** dma_sync_*: sync.c of the module. */
export const syncOps: Readonly<Record<string, OracleOp>> = {
  sync_cpu: single(dmaSyncSingleForCpu),
  sync_device: single(dmaSyncSingleForDevice),
  sync_sg_cpu: list(dmaSyncSgForCpu),
  sync_sg_device: list(dmaSyncSgForDevice),
};
