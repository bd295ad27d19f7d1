import { markDirty } from './sim-dirty.ts';
import type { SimHwptObject } from './sim-objects.ts';

const IO_PAGE = 2048n;

/**
 * One device access through a page table, piece by piece, because each page translates on its own.
 *
 * @param hwpt - null when the device is not attached: everything faults.
 * @param iova - first address.
 * @param buffer - what is written to memory, or where what is read goes; untranslated pieces read as 0.
 * @param write - the device writes memory.
 * @returns whether every piece was translated with the right permission.
 */
export function simDma(
  hwpt: SimHwptObject | null,
  iova: bigint,
  buffer: Uint8Array,
  write: boolean,
): boolean {
  let good = true;
  for (let done = 0; done < buffer.length; ) {
    const at = iova + BigInt(done);
    const bytes = Math.min(Number(IO_PAGE - (at % IO_PAGE)), buffer.length - done);
    const piece = buffer.subarray(done, done + bytes);
    if (!access(hwpt, at, piece, write)) {
      if (!write) piece.fill(0);
      good = false;
    }
    done += bytes;
  }
  return good;
}

function access(hwpt: SimHwptObject | null, iova: bigint, piece: Uint8Array, write: boolean): boolean {
  const area = hwpt?.parent.ioas.areaAt(iova) ?? null;
  if (hwpt === null || area === null) return false;
  if (!(write ? area.writable : area.readable || hwpt.readsWriteOnly)) return false;
  const { region, at } = area.pages.locate(Number(area.startByte + iova - area.iova));
  if (write) {
    region.backing.set(piece, at);
    markDirty(hwpt, iova, piece.length);
  } else {
    piece.set(region.backing.subarray(at, at + piece.length));
  }
  return true;
}
