import type { Machine } from '@gpusvm/kernel';
import type { IovaAllocator, IovaAllocatorName } from './iova-allocator.ts';
import { LinuxRbtree } from './linux-rbtree.ts';
import { SegmentTree } from './segment-tree.ts';

/**
 * Make the allocator with this name.
 *
 * @param pagesBelow4G - units below 4 GiB: 2^20 pages of 4 KiB (the default), fewer with larger granules.
 */
export function iovaAllocator(
  name: IovaAllocatorName,
  machine: Machine,
  pagesBelow4G: number = 2 ** 20,
): IovaAllocator {
  return name === 'linux-rbtree' ? new LinuxRbtree(machine, pagesBelow4G) : new SegmentTree(machine);
}
