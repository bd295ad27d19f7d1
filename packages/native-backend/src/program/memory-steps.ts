import { EINVAL } from '@gpusvm/kernel';
import type { DmaEngine } from '../devices/dma-engine.ts';
import { resultName } from '../errno.ts';
import { digest, fillPattern } from './pattern.ts';
import { bytes } from './program.ts';
import { AlignedMemory } from './rig.ts';
import type { RunState, StepTable } from './run-state.ts';

const PAGE = 4096;

/** @internal Steps on memory, by the CPU and by the device. */
export const MEMORY_STEPS: StepTable<
  'region' | 'munmap' | 'file' | 'fill' | 'look' | 'dmaWrite' | 'dmaRead'
> = {
  region: (run, { length, access }) => {
    run.regions.push(new AlignedMemory(run.rig.sys, length, access));
    return '0';
  },
  munmap: (run, { region }) => resultName(run.regions[region]?.memory.unmap() ?? -EINVAL),
  file: (run, { length }) => {
    const fd = run.rig.sys.memfd(length);
    if (fd < 0) return resultName(fd);
    run.files.push(fd);
    return '0';
  },
  fill: (run, { region, at, length, seed }) => {
    fillPattern(run.memory(region, at, length), seed);
    if (region === undefined || region === 0) run.known.learn(at, length);
    return '0';
  },
  look: (run, { region, at, length }) => pageDigests(run.memory(region, at, length)),
  dmaWrite: (run, { iova, length, seed }) => {
    const engine = engineOf(run);
    if (engine === null) return 'no DMA';
    const data = new Uint8Array(length);
    fillPattern(data, seed);
    engine.write(bytes(iova), data);
    const changed = run.known.changedPages();
    return changed.length === 0 ? 'nothing arrived' : `arrived in ${changed.join(' ')}`;
  },
  dmaRead: (run, { iova, length }) => {
    const engine = engineOf(run);
    return engine === null ? 'no DMA' : pageDigests(engine.read(bytes(iova), length));
  },
};

/** A device that cannot reach its own rings would hang. */
function engineOf(run: RunState): DmaEngine | null {
  return run.isAttached ? run.rig.device.engine() : null;
}

/** Digest of every page of a piece of memory. */
function pageDigests(data: Uint8Array): string {
  const out: string[] = [];
  for (let at = 0; at < data.length; at += PAGE) out.push(digest(data.subarray(at, at + PAGE)));
  return out.join(' ');
}
