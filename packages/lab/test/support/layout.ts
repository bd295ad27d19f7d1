import { type Capture, type CaptureVma, PageFlag } from '../../src/capture/capture.ts';

/** One run of a hand-made capture. */
export interface Run {
  readonly page: number;
  readonly pages: number;
  readonly pfn?: number;
  readonly order?: number;
  readonly flags?: number;
}

/** A writable anonymous mapping. */
export function anonVma(startPage: number, pages: number, more: Partial<CaptureVma> = {}): CaptureVma {
  return {
    startPage,
    endPage: startPage + pages,
    prot: { read: true, write: true, exec: false },
    shared: false,
    kind: 'anon',
    hugetlb: false,
    io: false,
    ...more,
  };
}

/** A capture from mappings and runs. */
export function layout(vmas: readonly CaptureVma[], runs: readonly Run[]): Capture {
  const column = (value: (run: Run) => number): number[] => runs.map(value);
  return {
    version: 1,
    physical: 'captured',
    pageSize: 4096,
    info: {},
    vmas,
    runs: {
      startPage: Float64Array.from(column((r) => r.page)),
      pageCount: Uint32Array.from(column((r) => r.pages)),
      pfn: Float64Array.from(column((r) => r.pfn ?? 0)),
      order: Uint8Array.from(column((r) => r.order ?? 0)),
      flags: Uint8Array.from(column((r) => r.flags ?? PageFlag.ANON)),
    },
  };
}
