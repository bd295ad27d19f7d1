import type { Task } from '@gpusvm/kernel';
import { migrateDeviceFinalize, migrateDevicePages, migrateDeviceRange } from '../migrate-device.ts';
import { MigratePfns } from '../migrate-pfns.ts';
import { copyToRam } from './copy.ts';
import type { DevmemChunk } from './devmem-chunk.ts';
import type { DmirrorDevice } from './dmirror-device.ts';

const BATCH = 512;
const MAX_ROUNDS = 1000;

/** Pages that somebody holds for good do not leave a device: the module would wait for ever. */
export class EvictionStuck extends Error {
  constructor(device: string, pages: number) {
    super(`${pages} pages of ${device} do not leave, because somebody holds them`);
    this.name = 'EvictionStuck';
  }
}

/**
 * Migrate every page of a chunk to RAM (dmirror_device_evict_chunk). Pages that somebody has locked are tried again. May
 * sleep.
 *
 * @throws EvictionStuck when pages do not leave however often it is tried.
 */
export function* evictChunk(device: DmirrorDevice, chunk: DevmemChunk): Task<void> {
  const { folios } = device;
  const { pagemap } = chunk;
  for (let round = 0; pagemap.liveReferences > 0; round++) {
    if (round === MAX_ROUNDS) throw new EvictionStuck(device.name, pagemap.liveReferences);
    // Somebody else holds what is left: let time pass for him.
    if (round > 0) yield { kind: 'sleep', ns: 1000, poll: true };
    for (let from = 0; from < pagemap.pages; from += BATCH) {
      const pages = Math.min(BATCH, pagemap.pages - from);
      const src = new MigratePfns(pages);
      const dst = new MigratePfns(pages);
      let live = false;
      for (let i = 0; i < pages; i++) live ||= folios.refcount(pagemap.basePfn + from + i) > 0;
      if (!live) continue;
      yield* migrateDeviceRange(folios, src, pagemap.basePfn + from, pages);
      copyToRam(device, src, dst, pages, { evicting: true });
      yield* migrateDevicePages(folios, src, dst, pages);
      yield* migrateDeviceFinalize(folios, src, dst, pages);
    }
  }
}
