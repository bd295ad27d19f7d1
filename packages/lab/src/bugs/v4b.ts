import { type Bug, translated } from './bug.ts';
import { domainMap, domainUnmap, GUEST_PAGE } from './users/domain-user.ts';

/**
 * A release gives pages back and takes them out of the domain afterwards, so that the device keeps them for a while.
 * A reconstruction: the CVE is known by its effect, a wrong order of teardown, not by its code.
 */
export const V4B: Bug = {
  id: 'V4b',
  title: 'pages of a guest are given back before the domain forgets them',
  source: 'CVE-2026-74328 (iommufd)',
  evidence: 'inferred',
  rules: translated('I15'),
  patch(w) {
    w.guests.unmap = (dev, { page, pfn, order }, release) => {
      release(pfn, order);
      domainUnmap(dev, page, 2 ** order);
    };
  },
  trigger(w) {
    if (w.dev.domain === null) return;
    const pfn = w.alloc(2);
    domainMap(w.dev, GUEST_PAGE, pfn, 4);
    w.guests.unmap(w.dev, { page: GUEST_PAGE, pfn, order: 2 }, (at, order) => w.release(at, order));
  },
};
