import { ENOMEM, type Errno, type FaultSite, type Machine } from '@gpusvm/kernel';

/** A set of devices that all reach each other fast (struct drm_pagemap_owner); compared by identity. */
export class DrmPagemapOwner {
  /** Members. */
  readonly peers: DrmPagemapPeer[] = [];
}

/** A member of owner groups: a pagemap, or an address space that looks for one (struct drm_pagemap_peer). */
export class DrmPagemapPeer {
  /** What the interconnect test wants to know about the peer. */
  readonly data: unknown;
  /** Group; null before acquire and after release. */
  owner: DrmPagemapOwner | null = null;
  /** @internal */
  list: DrmPagemapOwnerList | null = null;

  constructor(data: unknown) {
    this.data = data;
  }
}

/** Groups in order of their making (struct drm_pagemap_owner_list). */
export class DrmPagemapOwnerList {
  /** @internal */
  readonly owners: DrmPagemapOwner[] = [];
  /** @internal */
  readonly site: FaultSite;

  constructor(machine: Machine) {
    this.site = machine.faultInjection.site('pagemap.owner');
    machine.ledger.register(() => [{ kind: 'pagemap owner', count: this.owners.length, detail: '' }]);
  }
}

/**
 * Give a peer an owner (drm_pagemap_acquire_owner): join the first group whose every member has an interconnect to
 * it, else begin a new one. Groups are therefore cliques and depend on the order of arrival; nothing is
 * re-evaluated later. The kernel's list mutex protects nothing here, because the call never suspends. Cost: number of
 * peers.
 *
 * @param hasInterconnect - taken as symmetric.
 * @returns 0, or -ENOMEM.
 * @throws Error when the peer has an owner.
 */
export function drmPagemapAcquireOwner(
  peer: DrmPagemapPeer,
  list: DrmPagemapOwnerList,
  hasInterconnect: (peer: DrmPagemapPeer, other: DrmPagemapPeer) => boolean,
): Errno {
  if (peer.owner !== null) throw new Error('peer already has an owner');
  let owner = list.owners.find((group) => group.peers.every((other) => hasInterconnect(peer, other)));
  if (owner === undefined) {
    if (list.site.shouldFail()) return -ENOMEM;
    owner = new DrmPagemapOwner();
    list.owners.push(owner);
  }
  owner.peers.push(peer);
  peer.owner = owner;
  peer.list = list;
  return 0;
}

/** Leave the group, which goes with its last member (drm_pagemap_release_owner). No-op without an owner. */
export function drmPagemapReleaseOwner(peer: DrmPagemapPeer): void {
  const { owner, list } = peer;
  if (owner === null || list === null) return;
  owner.peers.splice(owner.peers.indexOf(peer), 1);
  if (owner.peers.length === 0) list.owners.splice(list.owners.indexOf(owner), 1);
  peer.owner = null;
  peer.list = null;
}
