import type { Task } from '@gpusvm/kernel';
import { migrateDeviceFinalize, migrateDevicePages, migrateDevicePfns } from '../migrate-device.ts';
import { MigratePfns } from '../migrate-pfns.ts';
import { copyToRam } from './copy.ts';
import type { DevmemChunk } from './devmem-chunk.ts';
import type { DmirrorDevice } from './dmirror-device.ts';

const BATCH = 512;
const MAX_ROUNDS = 1000;

/**
 * Migrate every page of a chunk to RAM (dmirror_device_evict_chunk). Pages that somebody has locked are tried again. May
 * sleep.
 *
 * @throws Error when pages do not leave however often it is tried.
 */
export function* evictChunk(device: DmirrorDevice, chunk: DevmemChunk): Task<void> {
  const { folios } = device;
  const { pagemap } = chunk;
  for (let round = 0; pagemap.liveReferences > 0; round++) {
    if (round === MAX_ROUNDS)
      throw new Error(`${pagemap.liveReferences} pages of ${device.name} do not leave`);
    // Somebody else holds what is left: let time pass for him.
    if (round > 0) yield { kind: 'sleep', ns: 1000 };
    for (let from = 0; from < pagemap.pages; from += BATCH) {
      const pages = Math.min(BATCH, pagemap.pages - from);
      const src = new MigratePfns(pages);
      const dst = new MigratePfns(pages);
      let live = false;
      for (let i = 0; i < pages; i++) {
        src.pfn[i] = pagemap.basePfn + from + i;
        live ||= folios.refcount(src.pfn[i]!) > 0;
      }
      if (!live) continue;
      yield* migrateDevicePfns(folios, src, pages);
      copyToRam(device, src, dst, pages, () => {});
      yield* migrateDevicePages(folios, src, dst, pages);
      yield* migrateDeviceFinalize(folios, src, dst, pages);
    }
  }
}
