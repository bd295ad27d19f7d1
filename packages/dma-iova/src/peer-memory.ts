import type { Pfn } from '@gpusvm/kernel';
import type { P2pClient, P2pProvider } from './p2pdma.ts';
import { NO_PFN } from './physical-memory.ts';

/**
 * Memory behind a BAR of another PCI function: MMIO for everybody else, reachable through `dmaMapResource`, links with
 * DMA_ATTR_MMIO, and P2P segments of scatter lists. One content tag a page, as in a {@link TagMemory}.
 *
 * Devices reach it after {@link DmaDevice.connectPeer}: at its physical address when they are translated or not
 * behind the same switch, at its bus address when they are below the same switch.
 */
export class PeerMemory implements P2pProvider {
  readonly name: string;
  readonly upstreamBridge: string;
  readonly busOffsetBytes: number;
  /** First page of the BAR in physical address space. */
  readonly pfn: Pfn;
  readonly pages: number;
  readonly #tags: Float64Array;

  /**
   * @param o - `physBytes`: page-aligned start of the BAR, outside of RAM; `pages`: its length; `upstreamBridge`: the
   *   switch above the function; `busOffsetBytes`: what turns a physical address into a bus address (default 0).
   */
  constructor(o: {
    readonly name: string;
    readonly physBytes: number;
    readonly pages: number;
    readonly upstreamBridge: string;
    readonly busOffsetBytes?: number;
  }) {
    if ((o.physBytes & 4095) !== 0 || !(o.physBytes > 0))
      throw new RangeError(`BAR of ${o.name} at ${o.physBytes}: use a multiple of 4096`);
    this.name = o.name;
    this.upstreamBridge = o.upstreamBridge;
    this.busOffsetBytes = o.busOffsetBytes ?? 0;
    this.pfn = o.physBytes / 4096;
    this.pages = o.pages;
    this.#tags = new Float64Array(o.pages);
  }

  /** Whether a page of physical address space is in this BAR. */
  holds(pfn: Pfn): boolean {
    return pfn >= this.pfn && pfn < this.pfn + this.pages;
  }

  /** Page that a bus address page stands for; it may lie outside of the BAR. */
  pfnAtBus(busPage: number): Pfn {
    return busPage - this.busOffsetBytes / 4096;
  }

  /** Content tag of a page; 0 at first. */
  readTag(pfn: Pfn): number {
    if (!this.holds(pfn)) throw new RangeError(`pfn ${pfn} is not in ${this.name}`);
    return this.#tags[pfn - this.pfn]!;
  }

  /** Replace the content of a page. */
  writeTag(pfn: Pfn, tag: number): void {
    if (!this.holds(pfn)) throw new RangeError(`pfn ${pfn} is not in ${this.name}`);
    this.#tags[pfn - this.pfn] = tag;
  }
}

/** @internal The peers that one device reaches. */
export class PeerWindows {
  readonly #client: P2pClient;
  readonly #peers: PeerMemory[] = [];

  constructor(client: P2pClient) {
    this.#client = client;
  }

  get isEmpty(): boolean {
    return this.#peers.length === 0;
  }

  connect(peer: PeerMemory): void {
    this.#peers.push(peer);
  }

  /** The peer whose BAR holds a page of physical address space. */
  at(pfn: Pfn): PeerMemory | undefined {
    return this.#peers.find((peer) => peer.holds(pfn));
  }

  /** A bus address of a peer below the same switch never reaches the IOMMU: the switch routes it to the peer. */
  throughSwitch(busPage: number): Pfn {
    for (const peer of this.#peers) {
      if (peer.upstreamBridge !== this.#client.upstreamBridge) continue;
      if (peer.holds(peer.pfnAtBus(busPage))) return peer.pfnAtBus(busPage);
    }
    return NO_PFN;
  }
}
