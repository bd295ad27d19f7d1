import {
  DMA_ATTR_FORCE_CONTIGUOUS,
  DMA_ATTR_MMIO,
  DMA_ATTR_SKIP_CPU_SYNC,
  DMA_MAPPING_ERROR,
  dmaAllocCoherent,
  dmaFreeCoherent,
  dmaSyncSgForCpu,
  dmaSyncSgForDevice,
  dmaSyncSingleForCpu,
  dmaSyncSingleForDevice,
  type CoherentBuffer,
  type DmaDevice,
  type DmaDataDirection,
  dmaIovaDestroy,
  dmaIovaDestroyHoles,
  dmaIovaFree,
  dmaIovaLink,
  DmaIovaState,
  dmaIovaSync,
  dmaIovaTryAlloc,
  dmaIovaUnlink,
  dmaIovaUnlinkRuns,
  dmaMapPhys,
  dmaMapSg,
  dmaUnmapPhys,
  dmaUnmapSg,
  PeerMemory,
  ScatterList,
} from '@gpusvm/dma-iova';
import type { Rig } from './rig.ts';

/** One step: what to do, and three free numbers that decide how. */
export type Step = readonly [kind: number, a: number, b: number, c: number];
export const STEP_KINDS = 17;

/** A block of physical pages, counted in granules of the device that made it. */
export interface Buffer {
  readonly pfn: number;
  readonly order: number;
  users: number;
}

interface Link {
  readonly first: number;
  readonly pages: number;
  readonly offset: number;
  readonly size: number;
  readonly dir: DmaDataDirection;
  readonly attrs: number;
  readonly buffer: Buffer | null;
  synced: boolean;
}

interface Reserved {
  readonly state: DmaIovaState;
  readonly pad: number;
  readonly pages: number;
  links: Link[];
}

interface Mapped {
  readonly addr: number;
  readonly size: number;
  readonly dir: DmaDataDirection;
  readonly attrs: number;
  readonly buffer: Buffer | null;
}

/**
 * Interprets steps as a program that keeps every rule of the API, whatever the numbers: it knows what it has
 * mapped, and bends each step to something legal. Errors of the layer are handled as a careful driver does.
 */
export class LegalProgram {
  readonly #rig: Rig;
  readonly #dev: DmaDevice;
  readonly #buffers: Buffer[];
  /** Bytes of a granule, and log2 of its pages. */
  readonly #unit: number;
  readonly #unitOrder: number;
  readonly #reserved: Reserved[] = [];
  readonly #mapped: Mapped[] = [];
  readonly #lists: { sg: ScatterList; buffer: Buffer; dir: DmaDataDirection; attrs: number }[] = [];
  readonly #coherent: CoherentBuffer[] = [];
  /** Mappings that write must not share a page where caches are maintained by hand or bytes are copied. */
  readonly #exclusive: boolean;

  readonly #failing: boolean;
  /** Memory of another function, below the same switch for some devices. */
  readonly #peer: PeerMemory;

  /**
   * @param failing - allocations fail now and then.
   * @param buffers - blocks that another program on the same machine uses too, when mappings may share memory.
   */
  constructor(rig: Rig, dev: DmaDevice, failing: boolean, buffers: Buffer[] = []) {
    this.#rig = rig;
    this.#dev = dev;
    this.#failing = failing;
    this.#buffers = buffers;
    this.#unit = dev.granuleBytes;
    this.#unitOrder = Math.log2(dev.granulePages);
    this.#exclusive = !dev.coherent || dev.swiotlb !== null;
    const upstreamBridge = dev.untrusted ? 'another switch' : dev.p2p.upstreamBridge;
    const name = `peer of ${dev.name}`;
    this.#peer = new PeerMemory({
      name,
      physBytes: 2 ** 36,
      pages: 256,
      upstreamBridge,
      busOffsetBytes: 2 ** 30,
    });
    dev.connectPeer(this.#peer);
  }

  step([kind, a, b, c]: Step): void {
    switch (kind) {
      case 0:
        return this.#allocBuffer(a);
      case 1:
        return this.#reserve(a, b);
      case 2:
      case 3:
      case 4:
        return this.#link(a, b, c);
      case 5:
        return this.#sync(a, b, c);
      case 6:
        return this.#access(a, b, c);
      case 7:
        return this.#unlinkSome(a, b);
      case 8:
        return this.#end(a, b);
      case 9:
        return this.#map(a, b, c);
      case 10:
        return this.#unmap(a);
      case 11:
        return this.#sg(a, b);
      case 12:
        return this.#freeBuffer(a);
      case 13:
        return this.#allocCoherent(a, b);
      case 14:
        return this.#freeCoherent(a);
      case 15:
        return this.#handOver(a, b);
      default:
        if (this.#failing) this.#rig.machine.faultInjection.failAnyNth(1 + (b % 8));
        this.#rig.machine.clock.advance((a % 20) * 1e6);
    }
  }

  /** Undo everything. */
  finish(): void {
    this.#rig.machine.faultInjection.reset();
    while (this.#reserved.length > 0) this.#end(0, 0);
    while (this.#mapped.length > 0) this.#unmap(0);
    while (this.#lists.length > 0) this.#unmapSg(0);
    while (this.#coherent.length > 0) this.#freeCoherent(0);
  }

  /** Give the blocks back, when nobody maps them any more. */
  freeBuffers(): void {
    for (const { pfn, order } of this.#buffers.splice(0))
      this.#rig.memory.freePagesBlock(pfn, order + this.#unitOrder);
  }

  #allocBuffer(a: number): void {
    const order = a % (11 - this.#unitOrder);
    const pfn = this.#rig.memory.allocPages(order + this.#unitOrder);
    if (pfn >= 0) this.#buffers.push({ pfn, order, users: 0 });
  }

  #buffer(a: number): Buffer | null {
    const free = this.#exclusive ? this.#buffers.filter((b) => b.users === 0) : this.#buffers;
    return free.length === 0 ? null : free[a % free.length]!;
  }

  #freeBuffer(a: number): void {
    const idle = this.#buffers.filter((b) => b.users === 0);
    const buffer = idle[a % Math.max(1, idle.length)];
    if (buffer === undefined) return;
    this.#buffers.splice(this.#buffers.indexOf(buffer), 1);
    this.#rig.memory.freePagesBlock(buffer.pfn, buffer.order + this.#unitOrder);
  }

  #reserve(a: number, b: number): void {
    const state = new DmaIovaState();
    const pad = b % 3 === 0 ? (b % 64) * 64 : 0;
    const pages = 1 + (a % (b % 4 === 1 ? 1200 : 40));
    if (!dmaIovaTryAlloc(this.#dev, state, pad, pages * this.#unit - pad)) return;
    this.#reserved.push({ state, pad, pages, links: [] });
  }

  #link(a: number, b: number, c: number): void {
    const r = this.#reserved[a % Math.max(1, this.#reserved.length)];
    if (r === undefined) return;
    const mmio = c % 11 === 0 && !r.state.swiotlb;
    const buffer = mmio ? null : this.#buffer(b);
    if (!mmio && buffer === null) return;
    const sorted = [...r.links].sort((x, y) => x.first - y.first);
    // A gap behind link number g (or before the first one).
    const g = c % (sorted.length + 1);
    const from = g === 0 ? 0 : sorted[g - 1]!.first + sorted[g - 1]!.pages;
    const to = g === sorted.length ? r.pages : sorted[g]!.first;
    const last = sorted[sorted.length - 1];
    if (
      g === sorted.length &&
      last !== undefined &&
      ((r.state.addr + last.offset + last.size) & (this.#unit - 1)) !== 0
    )
      return;
    const first = from + (a % 3 === 0 ? Math.floor((to - from) / 2) : 0);
    if (first >= to) return;
    const bufferPages = buffer === null ? 64 : 1 << buffer.order;
    const start = b % bufferPages;
    const pages = Math.min(to - first, bufferPages - start, 1 + (c % 700));
    const pad = first === 0 ? r.pad : 0;
    if (mmio && pad !== 0 && this.#dev.swiotlb !== null) return;
    const ragged = g === sorted.length && c % 5 === 0 && !mmio ? c % 4000 : 0;
    const size = pages * this.#unit - pad - Math.min(ragged, pages * this.#unit - pad - 1);
    const phys = (buffer === null ? 2 ** 40 : buffer.pfn * 4096) + start * this.#unit + pad;
    const offset = first * this.#unit - r.pad + pad;
    const dir = (b % 3) as DmaDataDirection;
    const attrs = mmio ? DMA_ATTR_MMIO : b % 7 === 0 ? DMA_ATTR_SKIP_CPU_SYNC : 0;
    if (dmaIovaLink(this.#dev, r.state, phys, offset, size, dir, attrs) !== 0) return;
    if (buffer !== null) buffer.users++;
    r.links.push({ first, pages, offset, size, dir, attrs, buffer, synced: false });
  }

  #sync(a: number, b: number, c: number): void {
    const r = this.#reserved[a % Math.max(1, this.#reserved.length)];
    if (r === undefined) return;
    const first = c % 3 === 0 ? b % r.pages : 0;
    const pages = c % 3 === 0 ? 1 + (c % (r.pages - first)) : r.pages;
    const offset = Math.max(0, first * this.#unit - r.pad);
    if (dmaIovaSync(this.#dev, r.state, offset, (first + pages) * this.#unit - r.pad - offset) !== 0) return;
    for (const link of r.links)
      if (link.first >= first && link.first + link.pages <= first + pages) link.synced = true;
  }

  #access(a: number, b: number, c: number): void {
    const dev = this.#dev;
    if (c % 5 === 4) return this.#accessOther(a, b, c);
    if (c % 2 === 0) {
      const m = this.#mapped[a % Math.max(1, this.#mapped.length)];
      if (m !== undefined && m.buffer !== null) touch(dev, m.addr + (b % m.size), m.dir, c);
      return;
    }
    const r = this.#reserved[a % Math.max(1, this.#reserved.length)];
    const link = r?.links[b % Math.max(1, r.links.length)];
    if (link === undefined || !link.synced || link.buffer === null) return;
    touch(dev, r!.state.addr + link.offset + (c % link.size), link.dir, c);
  }

  /** Unlink a link, with neighbours of its kind that follow without a gap. */
  #unlinkSome(a: number, b: number): void {
    const r = this.#reserved[a % Math.max(1, this.#reserved.length)];
    if (r === undefined || r.links.length === 0) return;
    const first = r.links[b % r.links.length]!;
    this.#unlinkRun(r, first, b % 4);
  }

  #unlinkRun(r: Reserved, first: Link, more: number): void {
    let last = first;
    const gone = [first];
    for (let i = 0; i < more; i++) {
      const next = r.links.find((l) => l.first === last.first + last.pages);
      if (next === undefined || next.dir !== first.dir || next.attrs !== first.attrs) break;
      gone.push(next);
      last = next;
    }
    const size = last.offset + last.size - first.offset;
    dmaIovaUnlink(this.#dev, r.state, first.offset, size, first.dir, first.attrs);
    this.#forget(r, gone);
  }

  #forget(r: Reserved, gone: readonly Link[]): void {
    for (const link of gone) if (link.buffer !== null) link.buffer.users--;
    r.links = r.links.filter((l) => !gone.includes(l));
  }

  #end(a: number, b: number): void {
    const index = a % Math.max(1, this.#reserved.length);
    const r = this.#reserved[index];
    if (r === undefined) return;
    const { machine } = this.#rig;
    const dev = this.#dev;
    this.#reserved.splice(index, 1);
    const sorted = [...r.links].sort((x, y) => x.first - y.first);
    const first = sorted[0];
    const last = sorted[sorted.length - 1];
    const uniform =
      first !== undefined && sorted.every((l) => l.dir === first.dir && l.attrs === first.attrs);
    const mapped = sorted.reduce((sum, l) => sum + l.pages, 0);
    const prefix = uniform && first.first === 0 && last!.first + last!.pages === mapped;
    const whole = machine.profile.dma.destroyMode === 'strict-full' || mapped === r.pages;
    if (b % 3 === 0 && prefix && whole) {
      dmaIovaDestroy(dev, r.state, last!.offset + last!.size, first.dir, first.attrs);
    } else if (b % 3 === 1 && uniform) {
      dmaIovaDestroyHoles(dev, r.state, first.dir, first.attrs);
    } else {
      if (b % 2 === 0 && uniform) {
        const offsets = Float64Array.from(sorted, (l) => l.offset);
        const sizes = Float64Array.from(sorted, (l) => l.size);
        dmaIovaUnlinkRuns(dev, r.state, offsets, sizes, sorted.length, first.dir, first.attrs);
      } else {
        for (const l of sorted) dmaIovaUnlink(dev, r.state, l.offset, l.size, l.dir, l.attrs);
      }
      dmaIovaFree(dev, r.state);
    }
    this.#forget(r, r.links);
  }

  #map(a: number, b: number, c: number): void {
    const mmio = c % 9 === 0;
    const buffer = mmio ? null : this.#buffer(a);
    if (!mmio && buffer === null) return;
    const bytes = mmio ? 65536 : this.#unit << buffer!.order;
    const start = b % 2 === 0 ? 0 : b % bytes;
    const size = 1 + (c % (bytes - start));
    const phys = (mmio ? 2 ** 40 : buffer!.pfn * 4096) + start;
    const dir = (b % 3) as DmaDataDirection;
    const attrs = mmio ? DMA_ATTR_MMIO : 0;
    const addr = dmaMapPhys(this.#dev, phys, size, dir, attrs);
    if (addr === DMA_MAPPING_ERROR) return;
    if (buffer !== null) buffer.users++;
    this.#mapped.push({ addr, size, dir, attrs, buffer });
  }

  #unmap(a: number): void {
    const index = a % Math.max(1, this.#mapped.length);
    const m = this.#mapped[index];
    if (m === undefined) return;
    this.#mapped.splice(index, 1);
    dmaUnmapPhys(this.#dev, m.addr, m.size, m.dir, m.attrs);
    if (m.buffer !== null) m.buffer.users--;
  }

  #sg(a: number, b: number): void {
    if (this.#lists.length > 0 && b % 2 === 0) return this.#unmapSg(a);
    const buffer = this.#buffer(a);
    if (buffer === null) return;
    const sg = new ScatterList(9);
    if (b % 4 === 1) sg.push((this.#peer.pfn + (b % 8) * 16) * 4096, this.#unit, this.#peer);
    const units = 2 ** buffer.order;
    const most = Math.min(8, units);
    // Backwards, so that neighbours are not contiguous, or as they come, so that they are mapped together.
    const forwards = b % 11 < 5;
    const long = forwards && units >= 16 ? 2 : 1;
    for (let i = 0; i < most; i++) {
      const at = forwards ? i * long : units - 1 - i;
      // The last may be ragged, the first start inside.
      const pad = i === 0 && b % 3 === 0 ? (b % 32) * 64 : 0;
      const cut = i === most - 1 && b % 5 === 0 ? b % 1024 : 0;
      sg.push(buffer.pfn * 4096 + at * this.#unit + pad, long * this.#unit - pad - cut);
    }
    const dir = (a % 3) as DmaDataDirection;
    const attrs = b % 7 === 0 ? DMA_ATTR_SKIP_CPU_SYNC : 0;
    if (dmaMapSg(this.#dev, sg, dir, attrs) <= 0) return;
    buffer.users++;
    this.#lists.push({ sg, buffer, dir, attrs });
  }

  #unmapSg(a: number): void {
    const [list] = this.#lists.splice(a % this.#lists.length, 1);
    if (list === undefined) return;
    dmaUnmapSg(this.#dev, list.sg, list.dir, list.attrs);
    list.buffer.users--;
  }

  #allocCoherent(a: number, b: number): void {
    const buffer = dmaAllocCoherent(
      this.#dev,
      1 + (a % 300_000),
      b % 4 === 0 ? DMA_ATTR_FORCE_CONTIGUOUS : 0,
    );
    if (buffer !== null) this.#coherent.push(buffer);
  }

  #freeCoherent(a: number): void {
    const [buffer] = this.#coherent.splice(a % Math.max(1, this.#coherent.length), 1);
    if (buffer !== undefined) dmaFreeCoherent(this.#dev, buffer);
  }

  /** Access through a scatter list or coherent memory. */
  #accessOther(a: number, b: number, c: number): void {
    const list = this.#lists[a % Math.max(1, this.#lists.length)];
    if (list !== undefined && b % 2 === 0) {
      const i = b % list.sg.mapped;
      touch(this.#dev, list.sg.dmaAddrBytes[i]! + (c % list.sg.dmaLengthBytes[i]!), list.dir, c);
    }
    const buffer = this.#coherent[a % Math.max(1, this.#coherent.length)];
    if (buffer !== undefined) touch(this.#dev, buffer.dmaAddrBytes + (c % buffer.sizeBytes), 0, c);
  }

  /** CPU and device take turns with a mapping. */
  #handOver(a: number, b: number): void {
    const list = this.#lists[a % Math.max(1, this.#lists.length)];
    if (b % 3 === 0 && list !== undefined) {
      if (b % 2 === 0) dmaSyncSgForCpu(this.#dev, list.sg, list.dir);
      else dmaSyncSgForDevice(this.#dev, list.sg, list.dir);
      return;
    }
    const m = this.#mapped[a % Math.max(1, this.#mapped.length)];
    if (m === undefined || m.buffer === null) return;
    if (b % 2 === 0) dmaSyncSingleForCpu(this.#dev, m.addr, m.size, m.dir);
    else dmaSyncSingleForDevice(this.#dev, m.addr, m.size, m.dir);
  }
}

function touch(dev: DmaDevice, addr: number, dir: DmaDataDirection, c: number): void {
  if (dir === 2 || (dir === 0 && c % 4 < 2)) dev.writeTag(addr, 7);
  else dev.readTag(addr);
}
