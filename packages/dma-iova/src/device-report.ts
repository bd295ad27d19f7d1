import type { LiveItem } from '@gpusvm/kernel';
import type { DmaDevice } from './device.ts';

const SHOWN = 4;

/** What a device holds: for the ledger, and for the report of leaks at its destruction. */
export function liveResources(dev: DmaDevice): LiveItem[] {
  const items: LiveItem[] = [];
  if (dev.domain !== null) {
    const leaves = new Listing();
    dev.domain.forEachLeaf((page, pfn, pages) => leaves.add(`${range(page, pages)} -> pfn ${pfn}`));
    items.push(leaves.item(dev, 'io page table leaf'));
    items.push({
      kind: 'io page table',
      count: dev.domain.tables,
      detail: `${dev.name}: tables below the root`,
    });
  }
  const queued = new Set<number>();
  if (dev.flushQueue !== null) {
    const entries = new Listing();
    dev.flushQueue.forEach((page, pages) => {
      queued.add(page);
      entries.add(range(page, pages));
    });
    items.push(entries.item(dev, 'flush queue entry'));
  }
  if (dev.iova !== null) {
    const reservations = new Listing();
    const per = dev.granulePages;
    dev.iova.forEachLive((first, last) => {
      if (!queued.has(first * per)) reservations.add(range(first * per, (last - first + 1) * per));
    });
    items.push(reservations.item(dev, 'iova reservation'));
  }
  if (dev.swiotlb !== null) {
    items.push({ kind: 'swiotlb slot', count: dev.swiotlb.live, detail: `${dev.name}: bounced mappings` });
  }
  return items;
}

class Listing {
  count = 0;
  readonly first: string[] = [];

  add(text: string): void {
    this.count++;
    if (this.first.length < SHOWN) this.first.push(text);
  }

  item(dev: DmaDevice, kind: string): LiveItem {
    const more = this.count > SHOWN ? ', ...' : '';
    return { kind, count: this.count, detail: `${dev.name}: ${this.first.join(', ')}${more}` };
  }
}

function range(page: number, pages: number): string {
  return `[0x${(page * 4096).toString(16)}, +${pages} pages)`;
}
