import { DMA_ATTR_MMIO, DMA_BIDIRECTIONAL, DMA_MAPPING_ERROR } from '@gpusvm/dma-iova';
import type { DmaOp } from '../../op.ts';
import type { DmaRule, Findings } from '../../rule.ts';
import type { MappingKind } from '../../shadow/inline-link.ts';
import type { MappingView } from '../../shadow/mapping-view.ts';
import { isPeer } from './peer.ts';

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
      if (op.mismatched === null) return;
      const { dir, attrs } = op.mismatched;
      const was = `direction ${dir}, attributes 0x${attrs.toString(16)}`;
      found.report(
        DIR_MATCH,
        op,
        `an unlink with direction ${op.dir}, attributes 0x${op.attrs.toString(16)} of a link with ${was}`,
        { survivors: [found.mapping(op.device, op.mismatched)] },
      );
    },
    unmap(op, found) {
      if (op.addrBytes === DMA_MAPPING_ERROR) return;
      if (op.mapping === null) unknown(op, found);
      else compare(op, op.mapping, found);
    },
    link: (op, found) => peerAsMemory(op, found),
    map: (op, found) => peerAsMemory(op, found),
    mapSegment: (op, found) => peerAsMemory(op, found),
    unmapList: (op, found) => compareList(op, found),
    syncSingle: (op, found) => compareSync(op, found),
    freeCoherent(op, found) {
      if (op.device.complete) found.report(DIR_MATCH, op, 'a free of coherent memory that is not allocated');
    },
  },
};

/** Memory behind a BAR is mapped as MMIO, or CPU caches are maintained for it. */
function peerAsMemory(op: DmaOp, found: Findings): void {
  if (op.err !== 0 || op.pages <= 0 || (op.attrs & DMA_ATTR_MMIO) !== 0) return;
  const pfn = Math.floor(op.physBytes / 4096);
  if (!isPeer(op.device, pfn)) return;
  found.report(DIR_MATCH, op, `frame ${pfn} of a peer is mapped without DMA_ATTR_MMIO`);
}

function compareSync(op: DmaOp, found: Findings): void {
  const { mapping, device } = op;
  if (mapping === null) {
    if (!device.complete) return;
    const at = `0x${op.addrBytes.toString(16)}, ${op.sizeBytes} bytes`;
    found.report(DIR_MATCH, op, `a sync of ${at}, which no one mapping covers`);
  } else if (mapping.dir !== DMA_BIDIRECTIONAL && mapping.dir !== op.dir) {
    const what = `a sync with direction ${op.dir} of a mapping with direction ${mapping.dir}`;
    found.report(DIR_MATCH, op, what, { survivors: [found.mapping(device, mapping)] });
  }
}

function unknown(op: DmaOp, found: Findings): void {
  const { device } = op;
  if (!device.complete) return;
  const other = device.translated ? device.mappingAtPage(op.firstPage) : null;
  const owner = other === null ? 0 : other.reservation;
  const what = other === null ? 'which is not mapped' : OTHER[other.kind];
  found.report(DIR_MATCH, op, `an unmap of 0x${op.addrBytes.toString(16)}, ${op.sizeBytes} bytes, ${what}`, {
    reservation: owner,
  });
}

function compare(op: DmaOp, mapping: MappingView, found: Findings): void {
  const differs: string[] = [];
  if (mapping.sizeBytes !== op.sizeBytes) differs.push(`size ${mapping.sizeBytes} as ${op.sizeBytes}`);
  if (mapping.dir !== op.dir) differs.push(`direction ${mapping.dir} as ${op.dir}`);
  // SKIP_CPU_SYNC alone may differ: the caller has done or does not need the sync.
  if (((mapping.attrs ^ op.attrs) & DMA_ATTR_MMIO) !== 0) differs.push('MMIO attribute');
  if (differs.length === 0) return;
  found.report(DIR_MATCH, op, `an unmap differs from its map: ${differs.join(', ')}`, {
    survivors: [found.mapping(op.device, mapping)],
  });
}

function compareList(op: DmaOp, found: Findings): void {
  const { list, device } = op;
  if (list === null) {
    if (!device.complete) return;
    if (op.sizeBytes > 0) unknown(op, found);
    else
      found.report(DIR_MATCH, op, `an unmap of a scatter list of ${op.segments} segments that is not mapped`);
    return;
  }
  const differs: string[] = [];
  if (list.pages > 0 && (list.addrBytes !== op.addrBytes || list.endBytes !== op.addrBytes + op.sizeBytes)) {
    const was = `[0x${list.addrBytes.toString(16)}, 0x${list.endBytes.toString(16)})`;
    differs.push(`${was} as ${op.sizeBytes} bytes at 0x${op.addrBytes.toString(16)}`);
  }
  if (list.segments !== op.segments) differs.push(`${list.segments} segments as ${op.segments}`);
  if (list.dir !== op.dir) differs.push(`direction ${list.dir} as ${op.dir}`);
  if (((list.attrs ^ op.attrs) & DMA_ATTR_MMIO) !== 0) differs.push('MMIO attribute');
  if (differs.length === 0) return;
  found.report(DIR_MATCH, op, `an unmap of a scatter list differs from its map: ${differs.join(', ')}`, {
    survivors: [found.list(device, list)],
  });
}

const OTHER: Readonly<Record<MappingKind, string>> = {
  link: 'which is a link of a reservation',
  page: 'which lies inside a mapping',
  list: 'which belongs to a scatter list',
  coherent: 'which belongs to coherent memory',
};
