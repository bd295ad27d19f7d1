import type { DmaDevice } from './device.ts';

/**
 * The warning of drivers/iommu/dma-iommu.c when an unmap returned another length than asked, with the data that
 * the kernel's WARN lacks: where the first hole is and what is still mapped behind it.
 */
export function warnShortUnmap(
  dev: DmaDevice,
  caller: 'dma_iova_unlink' | '__iommu_dma_unmap',
  reservationBytes: number,
  page: number,
  pages: number,
  unmapped: number,
): void {
  const base = Math.floor(reservationBytes / 4096);
  let message = `${dev.name}: reservation at 0x${reservationBytes.toString(16)}: asked to unmap ${pages} pages from `;
  message += `offset 0x${((page - base) * 4096).toString(16)}, unmapped ${unmapped}`;
  if (unmapped < pages) {
    let survivors = 0;
    let survivorPages = 0;
    dev.domain!.forEachLeaf(
      (_page, _pfn, n) => {
        survivors++;
        survivorPages += n;
      },
      page + unmapped,
      page + pages,
    );
    message += `; first hole (or larger leaf) at offset 0x${((page + unmapped - base) * 4096).toString(16)}`;
    message += `; ${survivors} leaves (${survivorPages} pages) survive`;
  } else {
    message += '; a larger leaf lost its other pages too';
  }
  dev.machine.warn(`${caller}: unmapped != requested`, message);
}
