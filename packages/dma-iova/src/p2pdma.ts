/** How a device may reach memory of another one (enum pci_p2pdma_map_type), names of 6.16 and later. */
export type P2pMapType =
  /** No peer memory: the ordinary path. */
  | 'none'
  /** Not reachable: -EREMOTEIO, DMA_MAPPING_ERROR. */
  | 'not-supported'
  /** Below the same switch: the bus address itself, no IOVA, nothing to unmap. */
  | 'bus-addr'
  /** Through the host bridge: mapped like RAM, with DMA_ATTR_MMIO. */
  | 'thru-host-bridge';

/** Memory that a PCI function offers to its peers. */
export interface P2pProvider {
  readonly name: string;
  /** Switch above the function. */
  readonly upstreamBridge: string;
  /** What turns a physical address into a bus address. */
  readonly busOffsetBytes: number;
}

/** Where a client of peer memory sits. */
export interface P2pClient {
  readonly upstreamBridge: string;
  /** The host bridge between both passes peer transactions (it is on the kernel's list). */
  readonly hostBridgeAllowed: boolean;
}

/** Mapping type for a client and the memory of a provider (pci_p2pdma_map_type); null = ordinary memory. */
export function p2pdmaMapType(provider: P2pProvider | null, client: P2pClient): P2pMapType {
  if (provider === null) return 'none';
  if (provider.upstreamBridge === client.upstreamBridge) return 'bus-addr';
  return client.hostBridgeAllowed ? 'thru-host-bridge' : 'not-supported';
}

/** Bus address of a physical address of a provider (pci_p2pdma_bus_addr_map). */
export function p2pdmaBusAddr(provider: P2pProvider, physBytes: number): number {
  return physBytes + provider.busOffsetBytes;
}
