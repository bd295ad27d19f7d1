import { DMA_ATTR_MMIO, DMA_MAPPING_ERROR } from '@gpusvm/dma-iova';
import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import { LINKED } from '../../shadow/slots.ts';

/**
 * I17. A mapping is undone by the call that belongs to it, with its address, size, direction and attributes: the
 * slow pass of unlink and the bounce copy of unmap depend on them (1a96f3a22fd8: CPU maintenance of MMIO;
 * a54afbc8a213: address and length swapped). dma-debug checks this for the classic API only.
 */
export const DIR_MATCH: DmaRule = {
  id: 'I17',
  name: 'DIR_MATCH',
  statement: 'a mapping is undone with its own address, size, direction, attributes and function',
  checks: {
    unlink(op, found) {
      if (op.mismatched === 0) return;
      const { mappings } = op.device;
      const was = `direction ${mappings.dir(op.mismatched)}, attributes 0x${mappings.attrs(op.mismatched).toString(16)}`;
      found.report(
        DIR_MATCH,
        op,
        `an unlink with direction ${op.dir}, attributes 0x${op.attrs.toString(16)} of a link with ${was}`,
        { survivors: [found.mapping(op.device, op.mismatched)] },
      );
    },
    unmap(op, found) {
      if (op.addrBytes === DMA_MAPPING_ERROR) return;
      if (op.mapping === 0) unknown(op, found);
      else compare(op, found);
    },
  },
};

function unknown(op: DmaOp, found: Findings): void {
  const { device } = op;
  if (!device.complete) return;
  const linked = device.translated && (device.slots.flagsAt(op.firstPage) & LINKED) !== 0;
  const owner = linked ? device.mappings.reservation(device.slots.linkAt(op.firstPage)) : 0;
  const what = owner === 0 ? 'which is not the address of a mapping' : 'which is a link of a reservation';
  found.report(DIR_MATCH, op, `an unmap of 0x${op.addrBytes.toString(16)}, ${op.sizeBytes} bytes, ${what}`, {
    reservation: owner,
  });
}

function compare(op: DmaOp, found: Findings): void {
  const { mappings } = op.device;
  const id = op.mapping;
  const differs: string[] = [];
  if (mappings.sizeBytes(id) !== op.sizeBytes)
    differs.push(`size ${mappings.sizeBytes(id)} as ${op.sizeBytes}`);
  if (mappings.dir(id) !== op.dir) differs.push(`direction ${mappings.dir(id)} as ${op.dir}`);
  // SKIP_CPU_SYNC alone may differ: the caller has done or does not need the sync.
  if (((mappings.attrs(id) ^ op.attrs) & DMA_ATTR_MMIO) !== 0) differs.push('MMIO attribute');
  if (differs.length === 0) return;
  found.report(DIR_MATCH, op, `an unmap differs from its map: ${differs.join(', ')}`, {
    survivors: [found.mapping(op.device, id)],
  });
}
