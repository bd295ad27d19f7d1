/*
 * Programs over iommufd: what the rows of the behaviour tables and the random differential runs consist of. They are
 * plain data (JSON), name objects by number, and give the same transcript on every `Sys` that behaves the same.
 */

/** A number of bytes or an address; beyond 2^53 as a hexadecimal string (`0xffff...`). */
export type Bytes = number | string;

/** What a device may do with a mapping. */
export type Access = 'r' | 'w' | 'rw' | 'none';

/** One step. Objects are numbered in the order of their successful creation, from 0. */
export type Step =
  /** Make an address space; the engine's window is mapped into it at once. */
  | { readonly op: 'ioas' }
  /** Map bytes of a memory region; without `iova` the kernel places them. */
  | {
      readonly op: 'map';
      readonly ioas: number;
      readonly at: Bytes;
      readonly length: Bytes;
      readonly iova?: Bytes;
      readonly access?: Access;
      /** Memory region; default 0, the arena. -1: address 0x1000, where nothing is. */
      readonly region?: number;
      /** Flags beyond the known ones. */
      readonly extraFlags?: number;
    }
  /** Map bytes of a file in memory. */
  | {
      readonly op: 'mapFile';
      readonly ioas: number;
      readonly file: number;
      readonly at: Bytes;
      readonly length: Bytes;
      readonly iova?: Bytes;
      readonly access?: Access;
    }
  | { readonly op: 'unmap'; readonly ioas: number; readonly iova: Bytes; readonly length: Bytes }
  | {
      readonly op: 'copy';
      readonly from: number;
      readonly iova: Bytes;
      readonly length: Bytes;
      readonly to: number;
      readonly toIova?: Bytes;
      readonly access?: Access;
    }
  | { readonly op: 'ranges'; readonly ioas: number; readonly room?: number }
  | { readonly op: 'allow'; readonly ioas: number; readonly ranges: readonly (readonly [Bytes, Bytes])[] }
  | { readonly op: 'hwpt'; readonly ioas: number; readonly dirty?: boolean; readonly nestParent?: boolean }
  /** Attach the device, or replace what it is attached to. */
  | { readonly op: 'attach'; readonly ioas: number }
  | { readonly op: 'attach'; readonly hwpt: number }
  | { readonly op: 'detach' }
  | { readonly op: 'destroy'; readonly ioas: number }
  | { readonly op: 'destroy'; readonly hwpt: number }
  | { readonly op: 'hugePages'; readonly ioas: number; readonly on?: boolean }
  | { readonly op: 'rlimitMode'; readonly on: boolean }
  /** Ask about the IOMMU; `type` asks for data of one format (since 6.17), `room` is the place for it in bytes, default 24. */
  | { readonly op: 'hwInfo'; readonly type?: number; readonly room?: number }
  | { readonly op: 'faultQueue' }
  /** Map another region of memory, zeroed; numbered from 1. */
  | { readonly op: 'region'; readonly length: number; readonly access?: 'rw' | 'r' | 'none' }
  | { readonly op: 'munmap'; readonly region: number }
  /** Make a file in memory, zeroed; numbered from 0. */
  | { readonly op: 'file'; readonly length: number }
  /** The CPU writes a pattern. */
  | {
      readonly op: 'fill';
      readonly at: number;
      readonly length: number;
      readonly seed: number;
      readonly region?: number;
    }
  /** The CPU looks at memory. */
  | { readonly op: 'look'; readonly at: number; readonly length: number; readonly region?: number }
  /** The device writes a pattern; the transcript shows which pages of the arena changed. */
  | { readonly op: 'dmaWrite'; readonly iova: Bytes; readonly length: number; readonly seed: number }
  /** The device reads; the transcript shows what it got. */
  | { readonly op: 'dmaRead'; readonly iova: Bytes; readonly length: number }
  | { readonly op: 'dirty'; readonly hwpt: number; readonly on: boolean }
  | {
      readonly op: 'readDirty';
      readonly hwpt: number;
      readonly iova: Bytes;
      readonly length: Bytes;
      readonly page: Bytes;
    }
  /** Any call with any fields: wrong sizes, unknown numbers, tails. */
  | {
      readonly op: 'raw';
      readonly call: string;
      readonly fields?: Readonly<Record<string, Bytes>>;
      /** Size field, when it is not the structure's. */
      readonly size?: number;
      /** Bytes behind the structure, all of this value. */
      readonly tail?: { readonly bytes: number; readonly value: number };
    };

/** Steps that run one after the other on a fresh iommufd and a freshly bound device. */
export type Program = readonly Step[];

/** @internal */
export function bytes(value: Bytes): bigint {
  return BigInt(value);
}
