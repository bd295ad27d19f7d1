import { ENOENT, type Errno } from '@gpusvm/kernel';
import type { SimContext } from './sim-context.ts';
import type { SimRange } from './sim-driver.ts';
import type { SimArea } from './sim-area.ts';
import type { SimAccessObject, SimIoasObject } from './sim-objects.ts';

/** The selftest's access lets go of everything that touches the area, as a driver must. */
export function dropAccesses(ctx: SimContext, parent: SimIoasObject, area: SimArea): void {
  for (const object of ctx.objects.all()) {
    if (object.kind !== 'access' || object.parent !== parent) continue;
    for (const [item, range] of object.items) {
      if (range.start <= area.last && range.last >= area.iova) unpinAccess(object, item);
    }
  }
}

/** Unpin one range of an access. */
export function unpinAccess(access: SimAccessObject, item: number): Errno {
  const range = access.items.get(item);
  if (range === undefined) return -ENOENT;
  access.items.delete(item);
  for (const area of access.parent.ioas.areas) {
    if (area.iova > range.last || area.last < range.start) continue;
    area.accesses--;
    area.pages.unpin(...accessPages(area, range));
  }
  return 0;
}

/** Pages of an area inside of a range. */
export function accessPages(area: SimArea, range: SimRange): readonly [number, number] {
  const start = range.start > area.iova ? range.start : area.iova;
  const last = range.last < area.last ? range.last : area.last;
  const page = (iova: bigint): number => Number((area.startByte + iova - area.iova) / 4096n);
  return [page(start), page(last) + 1];
}
