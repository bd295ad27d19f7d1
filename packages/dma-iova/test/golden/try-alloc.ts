import {
  DmaDevice,
  dmaGetMergeBoundary,
  dmaIovaFree,
  DmaIovaState,
  dmaIovaTryAlloc,
  dmaMapPhys,
  dmaMaxMappingSize,
  dmaOptMappingSize,
  dmaUseIova,
  type IommuMode,
} from '../../src/index.ts';
import { type Backend, Golden, hex, PAGE, type Row, type Same } from './fixture.ts';

const GIB = 2 ** 30;

/** Rows 10 and 11: what is asked, and the address each answer must have. */
const SEQUENCE: readonly string[] = [
  's0=1p→fffff000; s1=1p→ffffe000; s2=3p→ffff8000; s3=5p→ffff0000; s4=32p→fffc0000; s5=33p→fff80000',
  's6=512p→ffc00000; s7=513p→ff800000; s8=edd@123→ff7ff123; s9=1000@800→ff7fc800; free s1; s10=1p→ffffe000',
  'free s2; s11=4p→ffff8000; free s4; s12=17p→fffc0000; free s5; s13=64p→fff80000; s14=33p→fff40000; free s6',
  's15=512p→ffc00000; free s7; s16=300p→ffa00000; s17=1p→ff9ff000; free s0; free s10; s18=1p→ffffe000; s19=1p→fffff000',
];

function playSequence(g: Golden, same: Same, expected: (low: string) => string): void {
  const states = new Map<string, DmaIovaState>();
  for (const step of SEQUENCE.join('; ').split('; ')) {
    if (step.startsWith('free ')) {
      g.free(states.get(step.slice(5))!);
      continue;
    }
    const [, name, size, address] = /^(s\d+)=(\S+)→(\w+)$/.exec(step)!;
    const [length, offset = '0'] = size!.split('@');
    const bytes = length!.endsWith('p') ? Number.parseInt(length!, 10) * PAGE : Number.parseInt(length!, 16);
    const state = g.alloc(bytes, Number.parseInt(offset, 16));
    same(`${name} ${hex(state.addr)}`, `${name} ${expected(address!)}`);
    states.set(name!, state);
  }
}

function tryAlloc(g: Golden, bytes: number): boolean {
  const state = new DmaIovaState();
  return dmaIovaTryAlloc(g.dev, state, 0, bytes);
}

/** In one round under masks of 32, 28 and 24 bits: one page, freed again, then 64 pages. */
function threeMasks(g: Golden): { one: string[]; many: string[] } {
  const one: string[] = [];
  const many: string[] = [];
  for (const bits of [32, 28, 24]) {
    g.dev.dmaMaskBits = bits;
    const state = g.pages(1);
    g.free(state);
    one.push(hex(state.addr));
    many.push(hex(g.pages(64).addr));
  }
  return { one, many };
}

function directDevice(mode: IommuMode, same: Same): void {
  const g = new Golden('vtd');
  const dev = new DmaDevice(g.machine, g.memory, { name: 'direct', iommu: mode });
  const state = new DmaIovaState();
  state.addr = 1;
  state.size = 2;
  same(dmaIovaTryAlloc(dev, state, 0, 0), false);
  same(dmaIovaTryAlloc(dev, state, 0, PAGE), false);
  same([state.addr, state.size, dmaUseIova(state), g.warned()], [0, 0, false, 0]);
  same(dmaMapPhys(dev, 0x5000, PAGE, 0, 0), 0x5000);
  same([dmaGetMergeBoundary(dev), dmaOptMappingSize(dev)], [0, Number.POSITIVE_INFINITY]);
}

export const tryAllocRows: readonly Row[] = [
  {
    no: 1,
    topic: 'setting',
    title: 'page sizes and aperture of the domain',
    run: (backend, same) => {
      const { domain } = new Golden(backend);
      const sizes = domain.leafOrders.map((order) => order + 12);
      if (backend === 'vtd') same(sizes, [12, 21, 30]);
      else
        same(
          sizes.reduce((map, bit) => map + 2 ** bit, 0),
          0x7f7ffffff000,
        );
      same(domain.apertureLastPage, 2 ** 36 - 1);
    },
  },
  {
    no: 2,
    topic: 'setting',
    title: 'merge boundary 0xfff, opt mapping size 0x20000, no maximum',
    run: (backend, same) => {
      const { dev } = new Golden(backend);
      same(dmaGetMergeBoundary(dev), 0xfff);
      same(dmaOptMappingSize(dev), 0x20000);
      same(dmaMaxMappingSize(dev), Number.POSITIVE_INFINITY);
    },
  },
  {
    no: 3,
    topic: 'setting',
    title: 'reserved windows are never handed out',
    run: (backend, same) => {
      const g = new Golden(backend);
      // Without the 32-bit preference being served below 4 GiB the 1 GiB requests come from above the windows.
      const got = [g.alloc(GIB), g.alloc(GIB), g.pages(1)].map((s) => s.addr);
      for (const addr of got) {
        for (const [first, last] of [
          [0x40000000, 0xafffffff],
          [0xc0000000, 0xfebfffff],
          [0xfee00000, 0xfeefffff],
          [0x100000000, 0x8ffffffff],
        ] as const) {
          same(addr > last || addr + PAGE - 1 < first, true);
        }
      }
    },
  },
  {
    no: 5,
    topic: 'setting',
    title: 'no IOMMU: try_alloc false without a warning, DMA address = physical address',
    run: (_backend, same) => directDevice('none', same),
  },
  {
    no: 7,
    topic: 'try_alloc',
    title: 'size 0 twice: false, one warning',
    run: (backend, same) => {
      const g = new Golden(backend);
      same([tryAlloc(g, 0), g.warned(), tryAlloc(g, 0), g.warned()], [false, 1, false, 0]);
    },
  },
  {
    no: 9,
    topic: 'try_alloc',
    title: 'phys 2M+5, size 0x1000: the offset stays, two pages, no 2M alignment',
    run: (backend, same) => {
      const g = new Golden(backend);
      const before = g.pages(1).addr;
      const state = g.alloc(0x1000, 0x200005);
      same(state.addr % PAGE, 5);
      same(before - Math.floor(state.addr / PAGE) * PAGE, 3 * PAGE); // two pages, aligned to two
      same((state.addr - 5) % 0x200000 === 0, false);
    },
  },
  {
    no: 10,
    topic: 'try_alloc',
    title: 'the recorded sequence on a fresh 40-bit domain, part 1',
    run: (backend, same) => playSequence(new Golden(backend), same, (low) => low),
  },
  {
    no: 11,
    topic: 'try_alloc',
    title: 'the recorded sequence on a fresh 40-bit domain, part 2 (played after part 1)',
    run: (backend, same) => playSequence(new Golden(backend), same, (low) => low),
  },
  {
    no: 15,
    topic: 'try_alloc',
    title: 'forcedac, 64-bit mask: same low 32 bits below ffff00000000',
    run: (backend, same) =>
      playSequence(
        new Golden(backend, { forcedac: true, dmaMaskBits: 64 }),
        same,
        (low) => `ffff${low.padStart(8, '0')}`,
      ),
  },
  {
    no: 16,
    topic: 'try_alloc',
    title: '4 x 1 GiB, 4 GiB, 2 MiB, 4 KiB: the first clears the 32-bit preference for good',
    run: (backend, same) => {
      const g = new Golden(backend);
      const sizes = [GIB, GIB, GIB, GIB, 4 * GIB, 2 ** 21, PAGE];
      same(
        sizes.map((size) => hex(g.alloc(size).addr)),
        backend === 'vtd'
          ? ['ffc0000000', 'ff80000000', 'ff40000000', 'ff00000000', 'fe00000000', 'fdffe00000', 'fdffdff000']
          : [
              'fcc0000000',
              'fc80000000',
              'fc40000000',
              'fc00000000',
              'fb00000000',
              'faffe00000',
              'faffdff000',
            ],
      );
    },
  },
  {
    no: 18,
    topic: 'try_alloc',
    title: '512 GiB, 1 TiB and 256 TiB do not fit',
    run: (backend, same) => {
      const g = new Golden(backend);
      for (const size of [GIB, GIB, GIB, GIB, 4 * GIB, 2 ** 21, PAGE]) g.alloc(size);
      same(
        [512 * GIB, 1024 * GIB, 256 * 1024 * GIB].map((size) => tryAlloc(g, size)),
        [false, false, false],
      );
    },
  },
  {
    no: 20,
    topic: 'try_alloc',
    title: 'forcedac, 64-bit mask: 4 x 1 GiB, 4 GiB, 2 MiB from the top of the aperture',
    run: (backend, same) => {
      const g = new Golden(backend, { forcedac: true, dmaMaskBits: 64 });
      const sizes = [GIB, GIB, GIB, GIB, 4 * GIB, 2 ** 21];
      same(
        sizes.map((size) => hex(g.alloc(size).addr)),
        ['ffffc0000000', 'ffff80000000', 'ffff40000000', 'ffff00000000', 'fffe00000000', 'fffdffe00000'],
      );
    },
  },
  {
    no: 21,
    topic: 'try_alloc',
    title: 'one page under masks of 32, 28 and 24 bits: a cached page above the limit is skipped',
    run: (backend, same) => {
      const g = new Golden(backend);
      g.free(g.pages(1));
      same(threeMasks(g).one, ['fffff000', 'ffff000', 'fff000']);
    },
  },
  {
    no: 22,
    topic: 'try_alloc',
    title: '64 pages under masks of 32, 28 and 24 bits',
    run: (backend, same) => {
      const g = new Golden(backend);
      g.free(g.pages(1));
      same(threeMasks(g).many, ['fff80000', 'ff80000', 'f80000']);
    },
  },
  {
    no: 24,
    topic: 'try_alloc',
    title: 'back to 40 bits: the page cached under the lowest mask comes back',
    run: (backend, same) => {
      const g = new Golden(backend);
      g.free(g.pages(1));
      threeMasks(g);
      g.dev.dmaMaskBits = 40;
      same(hex(g.pages(1).addr), 'fff000');
    },
  },
  {
    no: 25,
    topic: 'try_alloc',
    title: 'the cache is last in, first out',
    run: (backend, same) => {
      const g = new Golden(backend);
      const states = [g.pages(1), g.pages(1), g.pages(1), g.pages(1)];
      for (const state of states) dmaIovaFree(g.dev, state);
      const next = [g.pages(1), g.pages(1), g.pages(1), g.pages(1)];
      same(
        next.map((s) => s.addr),
        [3, 2, 1, 0].map((i) => states[i]!.addr),
      );
    },
  },
];

/** Rows of section 8 that no test of ours can show, and why. */
export const NOT_APPLICABLE: readonly {
  readonly no: number;
  readonly backend?: Backend;
  readonly reason: string;
}[] = [
  { no: 4, reason: 'iommu.strict is a boot parameter; a DmaDevice is made strict or lazy' },
  ...[117, 118, 119, 120, 121, 122, 124, 125, 128, 129].map((no) => ({
    no,
    backend: 'amdv1' as const,
    reason: 'not measured on AMD',
  })),
];
