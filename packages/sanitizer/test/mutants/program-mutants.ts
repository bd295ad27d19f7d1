import {
  DMA_ATTR_MMIO,
  DmaDevice,
  dmaAllocCoherent,
  dmaFreeCoherent,
  dmaIovaDestroy,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaMapPhys,
  dmaMapResource,
  dmaMapSg,
  dmaSyncSingleForCpu,
  dmaUnmapPhys,
  dmaUnmapSg,
  PeerMemory,
  ScatterList,
} from '@gpusvm/dma-iova';
import type { Task } from '@gpusvm/kernel';
import type { Rig } from '../rig.ts';
import type { Mutant } from './mutant.ts';

const P = 4096;

/** Reserve some pages, link these one by one, sync. */
function linked(r: Rig, pages: number, which: readonly number[], dir: 0 | 1 | 2 = 0): DmaIovaState {
  const s = new DmaIovaState();
  const pfn = r.memory.allocPages(Math.ceil(Math.log2(pages)));
  dmaIovaTryAlloc(r.dev, s, 0, pages * P);
  for (const i of which) dmaIovaLink(r.dev, s, (pfn + i) * P, i * P, P, dir, 0);
  dmaIovaSync(r.dev, s, 0, pages * P);
  return s;
}

function list(r: Rig): ScatterList {
  const sg = new ScatterList(4);
  const pfn = r.memory.allocPages(1);
  sg.push((pfn + 1) * P, P);
  sg.push(pfn * P, P);
  return sg;
}

function other(r: Rig, iommu: 'strict' | 'none' = 'strict'): DmaDevice {
  return new DmaDevice(r.machine, r.memory, { name: 'nic', iommu });
}

/** Faults of drivers, in other shapes than those of the catalogue. */
export const PROGRAM_MUTANTS: readonly Mutant[] = [
  {
    what: 'an unlink that is done twice',
    rule: 'I6',
    run(r) {
      const s = linked(r, 4, [0, 1, 2, 3]);
      dmaIovaUnlink(r.dev, s, 0, 4 * P, 0, 0);
      dmaIovaUnlink(r.dev, s, 0, 4 * P, 0, 0);
    },
  },
  {
    what: 'an unlink of a part that is done twice',
    rule: 'I6',
    run(r) {
      const s = linked(r, 4, [0, 1, 2, 3]);
      dmaIovaUnlink(r.dev, s, P, P, 0, 0);
      dmaIovaUnlink(r.dev, s, P, P, 0, 0);
    },
  },
  {
    what: 'an unlink that is one page too long',
    rule: 'I6',
    run(r) {
      dmaIovaUnlink(r.dev, linked(r, 4, [0, 1]), 0, 3 * P, 0, 0);
    },
  },
  {
    what: 'an unlink that runs out of its reservation into a neighbour',
    rule: 'I6',
    run(r) {
      const high = linked(r, 4, [0, 1, 2, 3]);
      const low = linked(r, 4, [0, 1, 2, 3]);
      dmaIovaUnlink(r.dev, low, 0, high.addr - low.addr + P, 0, 0);
    },
  },
  {
    what: 'an unlink that is one page too short before the free',
    rule: 'I10',
    run(r) {
      const s = linked(r, 4, [0, 1, 2, 3]);
      dmaIovaUnlink(r.dev, s, 0, 3 * P, 0, 0);
      dmaIovaFree(r.dev, s);
    },
  },
  {
    what: 'a reservation that another task uses after it was freed and handed out again',
    rule: 'I11',
    run(r) {
      const old = linked(r, 4, []);
      const pfn = r.memory.allocPages(2);
      const owner = function* (): Task<void> {
        dmaIovaFree(r.dev, old);
        dmaIovaTryAlloc(r.dev, new DmaIovaState(), 0, 4 * P);
        yield { kind: 'point', name: 'new owner' };
      };
      const user = function* (): Task<void> {
        yield { kind: 'point', name: 'late' };
        dmaIovaLink(r.dev, old, pfn * P, 0, P, 0, 0);
      };
      r.machine.spawn(owner(), 'owner');
      r.machine.spawn(user(), 'user');
      r.machine.drain();
    },
  },
  {
    what: 'a second free of a reservation that belongs to somebody else by now',
    rule: 'I11',
    run(r) {
      const s = linked(r, 4, []);
      dmaIovaFree(r.dev, s);
      dmaIovaTryAlloc(r.dev, new DmaIovaState(), 0, 4 * P);
      dmaIovaFree(r.dev, s);
    },
  },
  {
    what: 'a destroy of a state whose address belongs to somebody else by now',
    rule: 'I11',
    run(r) {
      const s = linked(r, 4, [0]);
      dmaIovaDestroy(r.dev, s, P, 0, 0);
      dmaIovaTryAlloc(r.dev, new DmaIovaState(), 0, 4 * P);
      dmaIovaDestroy(r.dev, s, P, 0, 0);
    },
  },
  {
    what: 'a sync that leaves one of two ranges out',
    rule: 'I30',
    run(r) {
      const s = new DmaIovaState();
      const pfn = r.memory.allocPages(2);
      dmaIovaTryAlloc(r.dev, s, 0, 4 * P);
      dmaIovaLink(r.dev, s, pfn * P, 0, P, 0, 0);
      dmaIovaLink(r.dev, s, (pfn + 2) * P, 2 * P, P, 0, 0);
      dmaIovaSync(r.dev, s, 0, P);
      r.dev.writeTag(s.addr + 2 * P, 1);
    },
  },
  {
    what: 'a link after the sync that the device uses',
    rule: 'I5',
    run(r) {
      const s = linked(r, 4, [0]);
      dmaIovaLink(r.dev, s, r.memory.allocPages(0) * P, P, P, 0, 0);
      r.dev.writeTag(s.addr + P, 1);
    },
  },
  {
    what: 'an unlink with the device of somebody else',
    rule: 'I11',
    run(r) {
      dmaIovaUnlink(other(r), linked(r, 4, [0]), 0, P, 0, 0);
    },
  },
  {
    what: 'a free with the device of somebody else',
    rule: 'I11',
    run(r) {
      dmaIovaFree(other(r), linked(r, 4, []));
    },
  },
  ...(['none', 'strict', 'lazy', 'swiotlb'] as const).map(
    (mode): Mutant => ({
      what: `an unmap with the device of somebody else in mode ${mode}`,
      rule: 'I17',
      mode,
      run(r) {
        const addr = dmaMapPhys(r.dev, r.memory.allocPages(0) * P, P, 0, 0);
        dmaUnmapPhys(other(r, mode === 'none' || mode === 'swiotlb' ? 'none' : 'strict'), addr, P, 0, 0);
      },
    }),
  ),
  {
    what: 'an unmap of a mapping of MMIO as if it were memory',
    rule: 'I17',
    run(r) {
      dmaUnmapPhys(r.dev, dmaMapResource(r.dev, 2 ** 40, P, 0, 0), P, 0, 0);
    },
  },
  {
    what: 'an unmap of the second page of a mapping',
    rule: 'I17',
    run(r) {
      const addr = dmaMapPhys(r.dev, r.memory.allocPages(1) * P, 2 * P, 0, 0);
      dmaUnmapPhys(r.dev, addr + P, P, 0, 0);
    },
  },
  {
    what: 'a page that is unmapped twice',
    rule: 'I17',
    mode: 'none',
    run(r) {
      const addr = dmaMapPhys(r.dev, r.memory.allocPages(0) * P, P, 0, 0);
      dmaUnmapPhys(r.dev, addr, P, 0, 0);
      dmaUnmapPhys(r.dev, addr, P, 0, 0);
    },
  },
  {
    what: 'peer memory that is mapped as if it were memory of the CPU',
    rule: 'I17',
    run(r) {
      const peer = new PeerMemory({
        name: 'nvme',
        physBytes: 2 ** 36,
        pages: 16,
        upstreamBridge: 'elsewhere',
      });
      r.dev.connectPeer(peer);
      dmaMapPhys(r.dev, peer.pfn * P, P, 0, 0);
    },
  },
  {
    what: 'peer memory below the same switch that a device reaches without a mapping',
    rule: 'I16',
    run(r) {
      const peer = new PeerMemory({
        name: 'nvme',
        physBytes: 2 ** 36,
        pages: 16,
        upstreamBridge: r.dev.p2p.upstreamBridge,
      });
      r.dev.connectPeer(peer);
      r.dev.writeTag(peer.pfn * P, 1);
    },
  },
  {
    what: 'peer memory that a device writes although the list is to be read',
    rule: 'I18',
    run(r) {
      const peer = new PeerMemory({
        name: 'nvme',
        physBytes: 2 ** 36,
        pages: 16,
        upstreamBridge: r.dev.p2p.upstreamBridge,
      });
      r.dev.connectPeer(peer);
      const sg = new ScatterList(1);
      sg.push(peer.pfn * P, P, peer);
      dmaMapSg(r.dev, sg, 1, 0);
      r.dev.writeTag(sg.dmaAddrBytes[0]!, 1);
    },
  },
  {
    what: 'a scatter list that is unmapped with the other direction',
    rule: 'I17',
    run(r) {
      const sg = list(r);
      dmaMapSg(r.dev, sg, 1, 0);
      dmaUnmapSg(r.dev, sg, 2, 0);
    },
  },
  {
    what: 'a scatter list that lost a segment before its unmap',
    rule: 'I17',
    run(r) {
      const sg = list(r);
      dmaMapSg(r.dev, sg, 0, 0);
      sg.count = 1;
      dmaUnmapSg(r.dev, sg, 0, 0);
    },
  },
  {
    what: 'a scatter list whose unmap is shorter than its map',
    rule: 'I17',
    run(r) {
      const sg = list(r);
      dmaMapSg(r.dev, sg, 0, 0);
      sg.dmaLengthBytes[0] = P;
      dmaUnmapSg(r.dev, sg, 0, 0);
    },
  },
  {
    what: 'a piece of a scatter list that is unmapped alone',
    rule: 'I17',
    run(r) {
      const sg = list(r);
      dmaMapSg(r.dev, sg, 0, 0);
      dmaUnmapPhys(r.dev, sg.dmaAddrBytes[0]!, P, 0, 0);
    },
  },
  {
    what: 'a scatter list that is never unmapped',
    rule: 'I27',
    ends: true,
    run(r) {
      dmaMapSg(r.dev, list(r), 0, 0);
    },
  },
  {
    what: 'a scatter list whose pages are freed before its unmap',
    rule: 'I25',
    run(r) {
      const sg = list(r);
      dmaMapSg(r.dev, sg, 0, 0);
      r.memory.freePagesBlock(sg.physBytes[1]! / P, 1);
    },
  },
  {
    what: 'a scatter list of memory that is free',
    rule: 'I16',
    run(r) {
      const sg = list(r);
      r.memory.freePagesBlock(sg.physBytes[1]! / P, 1);
      dmaMapSg(r.dev, sg, 0, 0);
    },
  },
  {
    what: 'a device that writes a scatter list after its unmap',
    rule: 'I5',
    run(r) {
      const sg = list(r);
      dmaMapSg(r.dev, sg, 0, 0);
      const addr = sg.dmaAddrBytes[0]!;
      dmaUnmapSg(r.dev, sg, 0, 0);
      r.dev.writeTag(addr, 1);
    },
  },
  ...(['none', 'strict'] as const).map(
    (mode): Mutant => ({
      what: `coherent memory that is never freed in mode ${mode}`,
      rule: 'I27',
      mode,
      ends: true,
      run(r) {
        dmaAllocCoherent(r.dev, 3 * P);
      },
    }),
  ),
  {
    what: 'a device that uses coherent memory after its free',
    rule: 'I16',
    mode: 'none',
    run(r) {
      const buffer = dmaAllocCoherent(r.dev, P)!;
      dmaFreeCoherent(r.dev, buffer);
      r.dev.readTag(buffer.dmaAddrBytes);
    },
  },
  {
    what: 'coherent memory that is unmapped like a page',
    rule: 'I17',
    run(r) {
      dmaUnmapPhys(r.dev, dmaAllocCoherent(r.dev, P)!.dmaAddrBytes, P, 0, 0);
    },
  },
  {
    what: 'a sync of something that is not mapped',
    rule: 'I17',
    mode: 'swiotlb',
    run(r) {
      const addr = dmaMapPhys(r.dev, r.memory.allocPages(0) * P, P, 2, 0);
      dmaUnmapPhys(r.dev, addr, P, 2, 0);
      dmaSyncSingleForCpu(r.dev, addr, P, 2);
    },
  },
  {
    what: 'a sync with the other direction',
    rule: 'I17',
    device: { coherent: false },
    run(r) {
      const addr = dmaMapPhys(r.dev, r.memory.allocPages(0) * P, P, 2, 0);
      dmaSyncSingleForCpu(r.dev, addr, P, 1);
    },
  },
  {
    what: 'a sync that is longer than the mapping',
    rule: 'I17',
    mode: 'none',
    device: { coherent: false },
    run(r) {
      const addr = dmaMapPhys(r.dev, r.memory.allocPages(1) * P, P, 2, 0);
      dmaSyncSingleForCpu(r.dev, addr, 2 * P, 2);
    },
  },
  {
    what: 'a link of the wrong length over a hole that a later link fills twice',
    rule: 'I2',
    run(r) {
      const s = linked(r, 8, [4]);
      const pfn = r.memory.allocPages(3);
      dmaIovaLink(r.dev, s, pfn * P, 0, 5 * P, 0, 0);
    },
  },
  {
    what: 'a link with an offset below the reservation',
    rule: 'I1',
    run(r) {
      const s = linked(r, 8, []);
      dmaIovaLink(r.dev, s, r.memory.allocPages(0) * P, -P, P, 0, 0);
    },
  },
  {
    what: 'a destroy that is longer than what is linked',
    rule: 'I8',
    run(r) {
      dmaIovaDestroy(r.dev, linked(r, 4, [0, 1]), 4 * P, 0, 0);
    },
  },
  {
    what: 'a destroy of nothing while something is linked',
    rule: 'I8',
    run(r) {
      dmaIovaDestroy(r.dev, linked(r, 4, [1]), 0, 0, 0);
    },
  },
  {
    what: 'a reservation that is freed by one task between the link and the sync of another',
    rule: 'I20',
    run(r) {
      const s = linked(r, 4, []);
      const pfn = r.memory.allocPages(0);
      const mapper = function* (): Task<void> {
        dmaIovaLink(r.dev, s, pfn * P, 0, P, 0, 0);
        yield { kind: 'point', name: 'between link and sync' };
        dmaIovaSync(r.dev, s, 0, P);
      };
      const freer = function* (): Task<void> {
        dmaIovaFree(r.dev, s);
        yield { kind: 'point', name: 'done' };
      };
      r.machine.spawn(mapper(), 'mapper');
      r.machine.spawn(freer(), 'freer');
      r.machine.drain();
    },
  },
  {
    what: 'granules of 64 KiB: a link at an offset of 4 KiB',
    rule: 'I3',
    device: { ioPageTable: 'arm-lpae-64k' },
    run(r) {
      const s = new DmaIovaState();
      dmaIovaTryAlloc(r.dev, s, 0, 2 * 65536);
      dmaIovaLink(r.dev, s, r.memory.allocPages(4) * P, P, 65536, 0, 0);
    },
  },
  {
    what: 'granules of 16 KiB: a link that ends inside one, and another behind it',
    rule: 'I4',
    device: { ioPageTable: 'arm-lpae-16k' },
    run(r) {
      const s = new DmaIovaState();
      const pfn = r.memory.allocPages(3);
      dmaIovaTryAlloc(r.dev, s, 0, 2 * 16384);
      dmaIovaLink(r.dev, s, pfn * P, 0, P, 0, 0);
      dmaIovaLink(r.dev, s, (pfn + 4) * P, 16384, 16384, 0, 0);
    },
  },
  {
    what: 'MMIO that is linked and unlinked as memory on a device that does not snoop',
    rule: 'I17',
    device: { coherent: false },
    run(r) {
      const s = new DmaIovaState();
      dmaIovaTryAlloc(r.dev, s, 0, P);
      dmaIovaLink(r.dev, s, 2 ** 40, 0, P, 0, DMA_ATTR_MMIO);
      dmaIovaSync(r.dev, s, 0, P);
      dmaIovaDestroy(r.dev, s, P, 0, 0);
    },
  },
];
