import { DmaIovaState } from '@gpusvm/dma-iova';
import { type Bug, translated } from './bug.ts';

const SPACE_PAGES = 2 ** 20;

/**
 * Rounding up near the top of the space wraps around; the test for the end passes and the range lands on one that
 * is in use. The space is the one below 4 GiB here.
 */
export const D7: Bug = {
  id: 'D7',
  title: 'rounding an address up near the top of the space overflows',
  source: 'CVE-2025-38688 (iommufd)',
  evidence: 'read',
  rules: translated('I23'),
  patch(w) {
    const { iova } = w.dev;
    if (iova === null) return;
    const alloc = iova.alloc.bind(iova);
    let newest = 0;
    iova.alloc = (pages, limitPage, flush, cpu) => {
      const aligned = Math.ceil((newest + 1) / pages) * pages;
      // The sum wraps, is taken for small, and the range that ends at the top is returned once more.
      if (newest !== 0 && (aligned + pages) % SPACE_PAGES < aligned && aligned + pages > SPACE_PAGES - 1024)
        return newest;
      newest = alloc(pages, limitPage, flush, cpu);
      return newest;
    };
  },
  trigger(w) {
    const states = [new DmaIovaState(), new DmaIovaState()].filter((s) =>
      w.dma.tryAlloc(w.dev, s, 0, 64 * 4096),
    );
    for (const s of states) w.dma.free(w.dev, s);
  },
};
