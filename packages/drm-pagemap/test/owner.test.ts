import { ENOMEM, Machine } from '@gpusvm/kernel';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  drmPagemapAcquireOwner,
  DrmPagemapOwnerList,
  DrmPagemapPeer,
  drmPagemapReleaseOwner,
} from '../src/owner.ts';

/** First fit over cliques, from the definition: a group is the set of peers with one number. */
function reference(order: readonly number[], linked: (a: number, b: number) => boolean): number[][] {
  const groups: number[][] = [];
  for (const peer of order) {
    const home = groups.find((group) => group.every((other) => linked(peer, other)));
    if (home === undefined) groups.push([peer]);
    else home.push(peer);
  }
  return groups;
}

test('groups are the first-fit cliques of the order of arrival, for any interconnect', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.infiniteStream(fc.boolean()), (n, edges) => {
      const edge = Array.from({ length: n * n }, () => edges.next().value as boolean);
      const linked = (a: number, b: number): boolean => edge[Math.min(a, b) * n + Math.max(a, b)]!;
      const list = new DrmPagemapOwnerList(new Machine());
      const peers = Array.from({ length: n }, (_, i) => new DrmPagemapPeer(i));
      for (const peer of peers) {
        expect(drmPagemapAcquireOwner(peer, list, (a, b) => linked(a.data as number, b.data as number))).toBe(
          0,
        );
      }
      const groups = list.owners.map((owner) => owner.peers.map((peer) => peer.data));
      expect(groups).toEqual(reference([...peers.keys()], linked));
      expect(peers.every((peer) => peer.owner?.peers.includes(peer))).toBe(true);
    }),
    { seed: 1, numRuns: 200 },
  );
});

test('an owner goes with its last peer and nothing is left; a peer can come again', () => {
  const machine = new Machine();
  const list = new DrmPagemapOwnerList(machine);
  const [a, b] = [new DrmPagemapPeer('a'), new DrmPagemapPeer('b')];
  drmPagemapAcquireOwner(a, list, () => true);
  drmPagemapAcquireOwner(b, list, () => true);
  expect(a.owner).toBe(b.owner);
  const first = a.owner;
  drmPagemapReleaseOwner(a);
  expect(machine.ledger.live()).toMatchObject([{ kind: 'pagemap owner', count: 1 }]);
  drmPagemapReleaseOwner(b);
  drmPagemapReleaseOwner(b);
  expect(machine.ledger.live()).toEqual([]);
  drmPagemapAcquireOwner(a, list, () => true);
  expect(a.owner).not.toBe(first);
});

test('a failed allocation of an owner changes nothing', () => {
  const machine = new Machine();
  const list = new DrmPagemapOwnerList(machine);
  const peer = new DrmPagemapPeer(0);
  machine.faultInjection.failNth('pagemap.owner', 1);
  expect(drmPagemapAcquireOwner(peer, list, () => true)).toBe(-ENOMEM);
  expect([peer.owner, list.owners.length]).toEqual([null, 0]);
});

test('a peer cannot have two owners', () => {
  const list = new DrmPagemapOwnerList(new Machine());
  const peer = new DrmPagemapPeer(0);
  drmPagemapAcquireOwner(peer, list, () => true);
  expect(() => drmPagemapAcquireOwner(peer, list, () => true)).toThrow(/already/);
});
