import type { Machine } from '@gpusvm/kernel';
import type { IovaAllocator, IovaAllocatorName } from './iova-allocator.ts';
import { LinuxRbtree } from './linux-rbtree.ts';
import { SegmentTree } from './segment-tree.ts';

/** Make the allocator with this name. */
export function iovaAllocator(name: IovaAllocatorName, machine: Machine): IovaAllocator {
  return name === 'linux-rbtree' ? new LinuxRbtree(machine) : new SegmentTree(machine);
}
