import type { IotlbGather } from '@gpusvm/dma-iova';
import { type Bug, translated } from './bug.ts';
import { domainMap, domainUnmap, GUEST_PAGE } from './users/domain-user.ts';

/** An unmap that ends inside a 2 MiB leaf clears the leaf and invalidates only what was asked for. */
export const D6: Bug = {
  id: 'D6',
  title: 'an unmap inside a large leaf invalidates less than it clears',
  source: 'CVE-2026-31735 (6.19.12)',
  evidence: 'subject',
  rules: translated('I13'),
  patch(w) {
    const domain = w.dev.domain;
    if (domain === null) return;
    const unmapRange = domain.unmapRange.bind(domain);
    domain.unmapRange = (page: number, pages: number, gather: IotlbGather) => {
      const unmapped = unmapRange(page, pages, gather);
      if (unmapped > pages) gather.endPage = page + pages;
      return unmapped;
    };
  },
  trigger(w) {
    if (w.dev.domain === null) return;
    const pfn = w.alloc(9);
    domainMap(w.dev, GUEST_PAGE, pfn, 512);
    w.dev.writeTag((GUEST_PAGE + 300) * 4096, 1);
    domainUnmap(w.dev, GUEST_PAGE, 1);
    w.release(pfn, 9);
  },
};
