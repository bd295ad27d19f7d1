import type { EngineWindow } from './devices/dma-engine.ts';
import type { Ioas } from './ioas.ts';
import { KernelError } from './kernel-error.ts';
import type { Sys } from './sys.ts';

/**
 * Memory that the CPU and the devices of an address space share: mmap and map in one step. What an engine needs for its
 * rings, or a buffer.
 *
 * @param o - `lengthBytes`: a multiple of the page size. `iova`: where the devices see it.
 * @throws KernelError `mmap` ENOMEM, or as {@link Ioas.map}; nothing is left then.
 */
export function allocWindow(
  sys: Sys,
  ioas: Ioas,
  o: { readonly lengthBytes: number; readonly iova: number },
): EngineWindow {
  const memory = sys.mmap({ lengthBytes: o.lengthBytes });
  if (typeof memory === 'number') throw new KernelError('mmap', memory, { lengthBytes: o.lengthBytes });
  try {
    ioas.map({ memory, iova: o.iova });
  } catch (error) {
    memory.unmap();
    throw error;
  }
  return { bytes: memory.bytes, read16: (offset) => memory.read(offset, 16), iova: BigInt(o.iova) };
}
