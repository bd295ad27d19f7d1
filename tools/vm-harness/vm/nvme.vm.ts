import { compareIovaTrace, LinuxRbtree } from '@gpusvm/dma-iova';
import { Machine } from '@gpusvm/kernel';
import { expect, test } from 'vitest';
import { bootGuest } from '../src/boot-guest.ts';
import { lostEvents } from '../src/trace/ftrace.ts';
import { expectedInvalidations, parseIommuEvents } from '../src/trace/iommu-events.ts';
import { invalidationOf, parseQemuTrace } from '../src/trace/qemu-trace.ts';
import { kernel } from './kernels.ts';

/** Reads and writes of many sizes, one after the other and then beside one another. */
const WORKLOAD = `
D=/dev/nvme0n1
for size in 512 4096 8192 12288 20480 65536 131072; do
  dd if=$D of=/dev/null bs=$size count=16 iflag=direct status=none || exit 1
  dd if=/dev/zero of=$D bs=$size count=16 oflag=direct status=none || exit 1
done
for size in 4096 12288 65536; do
  dd if=$D of=/dev/null bs=$size count=16 iflag=direct status=none &
done
wait
/sbin/rmmod nvme
`;
/** The device's DMA mask has 64 bits, the IOMMU's addresses 48. */
const LIMIT_PAGE = 2 ** 36 - 1;

test("the kernel's own NVMe driver: every address and every invalidation is the model's", async () => {
  const guest = await bootGuest({
    kernel: await kernel('7.3'),
    iommu: 'intel',
    root: 'host',
    modules: ['nvme-core.ko', 'nvme.ko'],
    command: WORKLOAD,
    trace: { qemu: ['vtd_inv_desc_iotlb*'], kernel: ['iommu:map', 'iommu:unmap'] },
  });
  expect([guest.exitCode, lostEvents(guest.kernelTrace)]).toEqual([0, 0]);

  const iova = new LinuxRbtree(new Machine());
  iova.reserve(0xfee00, 0xfeeff);
  const report = compareIovaTrace(guest.kernelTrace, iova, { limitPage: LIMIT_PAGE });
  expect(report.difference).toBeNull();
  expect(report.lostAtLine).toBe(0);
  // The driver is gone, and everything that it had mapped.
  expect(report.freed).toBe(report.compared);
  expect(report.compared).toBeGreaterThan(200);
  iova.check();

  const ranges = parseQemuTrace(guest.qemuTrace)
    .map(invalidationOf)
    .filter((invalidation) => invalidation?.kind === 'range')
    .map((invalidation) => `${invalidation!.iovaBytes.toString(16)}/${invalidation!.order}`);
  expect(ranges).toEqual(expectedInvalidations(parseIommuEvents(guest.kernelTrace)));
});
