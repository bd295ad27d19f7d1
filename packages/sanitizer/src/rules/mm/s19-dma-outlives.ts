import type { MmRule } from '../../mm/mm-rule.ts';

/**
 * S19. A DMA mapping holds no reference of its page: ib_umem_odp_unmap_dma_pages (drivers/infiniband/core/umem_odp.c)
 * unlinks in the callback, before mm frees or moves the page.
 */
export const DMA_OUTLIVES: MmRule = {
  id: 'S19',
  name: 'DMA_OUTLIVES',
  severity: 'U',
  statement: 'a page that is invalidated or free is not mapped for DMA',
  checks: {
    callback({ phase, sub, range, result }, state) {
      if (phase !== 'end' || !result) return;
      for (const pages of state.dma.values()) {
        for (const mapped of pages.values()) {
          const { sub: owner, device, page, pfn } = mapped;
          if (owner !== sub || page < range.startPage || page >= range.endPage) continue;
          state.told.add(mapped);
          state.report(
            DMA_OUTLIVES,
            `page ${page}, page frame ${pfn}, stays mapped for DMA of ${device} after its callback for ${range.event}`,
          );
        }
      }
    },
    sweep(_event, state) {
      const { folios } = state;
      for (const pages of state.dma.values())
        for (const mapped of pages.values()) {
          const { device, page, pfn } = mapped;
          if (state.told.has(mapped) || folios.refs[folios.head(pfn)] !== 0 || folios.zeroPages.has(pfn))
            continue;
          state.report(
            DMA_OUTLIVES,
            `page frame ${pfn} is free and mapped for DMA of ${device} as page ${page}`,
          );
        }
    },
  },
};
