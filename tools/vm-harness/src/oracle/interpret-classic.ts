import {
  DMA_ATTR_FORCE_CONTIGUOUS,
  type DmaDataDirection,
  dmaAllocCoherent,
  dmaFreeCoherent,
  dmaMapPage,
  dmaMapPhys,
  dmaMappingError,
  dmaMapResource,
  dmaMapSg,
  dmaUnmapPage,
  dmaUnmapPhys,
  dmaUnmapResource,
  dmaUnmapSg,
  ScatterList,
} from '@gpusvm/dma-iova';
import { hex, type OracleModel } from './oracle-model.ts';
import type { OracleOp } from './oracle-op.ts';
import { ORACLE_SLOTS } from './program.ts';

type MapCall = (
  model: OracleModel,
  phys: number,
  size: number,
  dir: DmaDataDirection,
  attrs: number,
) => number;
type UnmapCall = (
  model: OracleModel,
  addr: number,
  size: number,
  dir: DmaDataDirection,
  attrs: number,
) => void;

/** DMA_FROM_DEVICE: the kernel stops at a direction beyond it (BUG_ON), the module skips the call. */
const LAST_DIRECTION = 2;

function isMappable(model: OracleModel, size: number, dir: number): boolean {
  return dir <= LAST_DIRECTION && !model.isUnbounceable(size);
}

function mapOp(map: MapCall): OracleOp {
  return {
    min: 5,
    max: 5,
    call: (model, [number, phys, size, dir, attrs]) => {
      const slot = isMappable(model, size!, dir!) ? model.claim(number!) : null;
      if (slot === null) return 'skip';
      const addr = map(model, model.phys(phys!), size!, dir as DmaDataDirection, attrs!);
      if (dmaMappingError(addr)) return 'error';
      slot.mapped = true;
      slot.addr = addr;
      model.noteRange(addr, size!);
      return model.nameAddress(addr);
    },
  };
}

function unmapOp(unmap: UnmapCall): OracleOp {
  return {
    min: 4,
    max: 4,
    call: (model, [number, size, dir, attrs]) => {
      const slot = model.mappings[number! % ORACLE_SLOTS]!;
      if (dir! > LAST_DIRECTION || !slot.mapped || slot.coherent !== null || slot.sg !== null) return 'skip';
      unmap(model, slot.addr, size!, dir as DmaDataDirection, attrs!);
      return 'ok';
    },
  };
}

function mapSg(model: OracleModel, args: readonly number[]): string {
  const [number, dir, attrs] = args;
  const count = Math.floor((args.length - 3) / 2);
  for (let i = 0; i < count; i++) if (!isMappable(model, args[4 + 2 * i]!, dir!)) return 'skip';
  const slot = model.claim(number!);
  if (slot === null) return 'skip';
  const sg = new ScatterList(count);
  for (let i = 0; i < count; i++) sg.push(model.phys(args[3 + 2 * i]!), args[4 + 2 * i]!);
  const segments = dmaMapSg(model.dev, sg, dir as DmaDataDirection, attrs!);
  if (segments < 0) return String(segments);
  slot.mapped = true;
  slot.sg = sg;
  let text = String(segments);
  for (let i = 0; i < segments; i++) {
    const addr = sg.dmaAddrBytes[i]!;
    model.noteRange(addr, sg.dmaLengthBytes[i]!);
    text += ` ${model.nameAddress(addr)}+${hex(sg.dmaLengthBytes[i]!)}`;
  }
  return text;
}

function unmapSg(model: OracleModel, [number, dir, attrs]: readonly number[]): string {
  const slot = model.mappings[number! % ORACLE_SLOTS]!;
  if (dir! > LAST_DIRECTION || !slot.mapped || slot.sg === null) return 'skip';
  dmaUnmapSg(model.dev, slot.sg, dir as DmaDataDirection, attrs!);
  slot.sg = null;
  slot.mapped = false;
  return 'ok';
}

/** The module asks with GFP_ATOMIC: then iommu_dma_alloc takes one contiguous block, whatever the attributes. */
function coherent(model: OracleModel, [number, size]: readonly number[]): string {
  const slot = model.claim(number!);
  if (slot === null) return 'skip';
  const buffer = dmaAllocCoherent(model.dev, size!, DMA_ATTR_FORCE_CONTIGUOUS);
  if (buffer === null) return 'error';
  Object.assign(slot, { mapped: true, addr: buffer.dmaAddrBytes, coherent: buffer });
  model.noteRange(buffer.dmaAddrBytes, size!);
  return model.nameAddress(buffer.dmaAddrBytes);
}

function freeCoherent(model: OracleModel, [number]: readonly number[]): string {
  const slot = model.mappings[number! % ORACLE_SLOTS]!;
  if (slot.coherent === null) return 'skip';
  dmaFreeCoherent(model.dev, slot.coherent);
  slot.coherent = null;
  slot.mapped = false;
  return 'ok';
}

/** dma_map_*, dma_unmap_*, dma_alloc_coherent: classic.c of the module. */
export const classicOps: Readonly<Record<string, OracleOp>> = {
  map_phys: mapOp((model, phys, size, dir, attrs) => dmaMapPhys(model.dev, phys, size, dir, attrs)),
  unmap_phys: unmapOp((model, addr, size, dir, attrs) => dmaUnmapPhys(model.dev, addr, size, dir, attrs)),
  map_page: mapOp((model, phys, size, dir, attrs) =>
    dmaMapPage(model.dev, Math.floor(phys / 4096), phys % 4096, size, dir, attrs),
  ),
  unmap_page: unmapOp((model, addr, size, dir, attrs) => dmaUnmapPage(model.dev, addr, size, dir, attrs)),
  map_resource: mapOp((model, phys, size, dir, attrs) => dmaMapResource(model.dev, phys, size, dir, attrs)),
  unmap_resource: unmapOp((model, addr, size, dir, attrs) =>
    dmaUnmapResource(model.dev, addr, size, dir, attrs),
  ),
  map_sg: { min: 5, max: 67, call: mapSg },
  unmap_sg: { min: 3, max: 3, call: unmapSg },
  coherent: { min: 2, max: 2, call: coherent },
  free_coherent: { min: 1, max: 1, call: freeCoherent },
};
