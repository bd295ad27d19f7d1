import { expect, test } from 'vitest';
import {
  countEvents,
  invalidationOf,
  MARKER_IOVA_BYTES,
  parseQemuTrace,
  splitPhases,
} from '../../src/trace/qemu-trace.ts';

const hex = (n: number): string => `0x${n.toString(16)}`;
const pages = (addr: number, mask: number): string =>
  `vtd_inv_desc_iotlb_pages iotlb invalidate domain 0x3 addr ${hex(addr)} mask ${hex(mask)}`;
const LOG = [
  '1234@1700000000.123456:vtd_iotlb_cc_update IOTLB context update bus 0x0 devfn 0x20 high 0x1 low 0x2 gen 1 -> gen 2',
  pages(0x12000000, 2),
  pages(MARKER_IOVA_BYTES + 4096, 0),
  pages(MARKER_IOVA_BYTES + 4096, 0),
  'vtd_inv_desc_iotlb_domain iotlb invalidate whole domain 0x3',
  'vtd_inv_desc_iotlb_global iotlb invalidate global',
  pages(MARKER_IOVA_BYTES + 2 * 4096, 0),
  '',
  'qemu: a warning that is no event',
  'vtd_frr_new frr 0x1',
].join('\n');

test('a line is an event with or without the process and time in front, and warnings are not', () => {
  expect(parseQemuTrace(LOG).map((event) => event.name)).toEqual([
    'vtd_iotlb_cc_update',
    'vtd_inv_desc_iotlb_pages',
    'vtd_inv_desc_iotlb_pages',
    'vtd_inv_desc_iotlb_pages',
    'vtd_inv_desc_iotlb_domain',
    'vtd_inv_desc_iotlb_global',
    'vtd_inv_desc_iotlb_pages',
    'vtd_frr_new',
  ]);
});

test('invalidations keep their kind, domain, address and order', () => {
  const found = parseQemuTrace(LOG).map(invalidationOf);
  expect(found[0]).toBeNull();
  expect(found[1]).toEqual({ kind: 'range', domainId: 3, iovaBytes: 0x12000000, order: 2 });
  expect(found[4]).toEqual({ kind: 'domain', domainId: 3, iovaBytes: 0, order: -1 });
  expect(found[5]).toEqual({ kind: 'global', domainId: 0, iovaBytes: 0, order: -1 });
});

test('phases end at markers, a marker that is invalidated twice is one, and markers are in no phase', () => {
  const phases = splitPhases(parseQemuTrace(LOG));
  expect(phases.map((phase) => phase.marker)).toEqual([1, 2, null]);
  expect(phases.map((phase) => [...countEvents(phase.events)])).toEqual([
    [
      ['vtd_iotlb_cc_update', 1],
      ['vtd_inv_desc_iotlb_pages', 1],
    ],
    [
      ['vtd_inv_desc_iotlb_domain', 1],
      ['vtd_inv_desc_iotlb_global', 1],
    ],
    [['vtd_frr_new', 1]],
  ]);
});
