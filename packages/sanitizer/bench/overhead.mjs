// Cost of an attached sanitizer: the same work on two machines, one of them watched.
//   node bench/overhead.mjs [seconds a case]
import {
  DmaDevice,
  dmaIovaDestroy,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaMapPhys,
  dmaMapSg,
  dmaUnmapPhys,
  dmaUnmapSg,
  ScatterList,
  TagMemory,
} from '@gpusvm/dma-iova';
import { Machine } from '@gpusvm/kernel';
import { attachSanitizer } from '@gpusvm/sanitizer';
import { compare, print } from '@gpusvm/bench';

const seconds = Number(process.argv[2] ?? 1);
const P = 4096;

function rig(iommu, on) {
  const machine = new Machine();
  const memory = new TagMemory(machine, { pages: 16384 });
  const dev = new DmaDevice(machine, memory, { name: 'gpu0', iommu });
  const sanitizer = on ? attachSanitizer(machine, { mode: 'report', devices: [dev] }) : null;
  return { dev, memory, sanitizer };
}

function measure(title, iommu, ops, work, accesses = false) {
  const cases = [false, true].map((on) => {
    const r = rig(iommu, on);
    return { name: on ? 'watched' : 'not watched', ops, run: work(r), rig: r };
  });
  print(`${title} (per ${ops === 1 ? 'life' : 'page'})`, compare(cases, seconds));
  const found = cases[1].rig.sanitizer.reports;
  if (found.length > 0) throw new Error(found[0].message);
  return accesses;
}

/** Frames of which no two are neighbours, all over a good part of the memory. */
const frames = (memory, count) => {
  const all = Array.from({ length: 8000 }, () => memory.allocPages(0));
  return Array.from({ length: count }, (_, i) => all[(i * 7919) % all.length]);
};

const scattered = ({ dev, memory }) => {
  const pfns = frames(memory, 512);
  const s = new DmaIovaState();
  return () => {
    dmaIovaTryAlloc(dev, s, 0, 512 * P);
    for (let i = 0; i < 512; i++) dmaIovaLink(dev, s, pfns[i] * P, i * P, P, 0, 0);
    dmaIovaSync(dev, s, 0, 512 * P);
    dmaIovaDestroy(dev, s, 512 * P, 0, 0);
  };
};
const used = ({ dev, memory }) => {
  const life = scattered({ dev, memory });
  const pfn = memory.allocPages(9);
  const s = new DmaIovaState();
  dmaIovaTryAlloc(dev, s, 0, 512 * P);
  for (let i = 0; i < 512; i++) dmaIovaLink(dev, s, (pfn + i) * P, i * P, P, 0, 0);
  dmaIovaSync(dev, s, 0, 512 * P);
  return () => {
    life();
    for (let i = 0; i < 512; i++) dev.writeTag(s.addr + i * P, i);
  };
};
const run512 = ({ dev, memory }) => {
  const pfn = memory.allocPages(10) + 1;
  const s = new DmaIovaState();
  return () => {
    dmaIovaTryAlloc(dev, s, 0, 512 * P);
    dmaIovaLink(dev, s, pfn * P, 0, 512 * P, 0, 0);
    dmaIovaSync(dev, s, 0, 512 * P);
    dmaIovaDestroy(dev, s, 512 * P, 0, 0);
  };
};
const leaf = ({ dev, memory }) => {
  const pfn = memory.allocPages(9);
  const s = new DmaIovaState();
  return () => {
    for (let i = 0; i < 32; i++) {
      dmaIovaTryAlloc(dev, s, 0, 512 * P);
      dmaIovaLink(dev, s, pfn * P, 0, 512 * P, 0, 0);
      dmaIovaSync(dev, s, 0, 512 * P);
      dmaIovaDestroy(dev, s, 512 * P, 0, 0);
    }
  };
};
const classic = ({ dev, memory }) => {
  const pfns = Array.from({ length: 64 }, () => memory.allocPages(0));
  const addrs = new Float64Array(64);
  return () => {
    for (let i = 0; i < 64; i++) addrs[i] = dmaMapPhys(dev, pfns[i] * P, P, 0, 0);
    for (let i = 0; i < 64; i++) dmaUnmapPhys(dev, addrs[i], P, 0, 0);
  };
};

const lists = ({ dev, memory }) => {
  const pfns = frames(memory, 128);
  const sg = new ScatterList(128);
  for (const pfn of pfns) sg.push(pfn * P, P);
  return () => {
    for (let i = 0; i < 4; i++) {
      dmaMapSg(dev, sg, 0, 0);
      dmaUnmapSg(dev, sg, 0, 0);
    }
  };
};

measure('512 scattered pages, reserved, linked, synced, destroyed', 'strict', 512, scattered);
measure('the same, and the device writes 512 pages', 'strict', 512, used);
measure('one run of 512 small leaves', 'strict', 512, run512);
measure('scatter list of 128 pages, mapped and unmapped', 'strict', 512, lists);
measure('one 2 MiB leaf', 'strict', 32, leaf);
measure('dma_map_page and unmap, strict', 'strict', 64, classic);
measure('dma_map_page and unmap, lazy', 'lazy', 64, classic);
measure('dma_map_page and unmap, no IOMMU', 'none', 64, classic);
measure('dma_map_page and unmap, bounced', 'swiotlb', 64, classic);
