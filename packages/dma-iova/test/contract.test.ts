import { Machine } from '@gpusvm/kernel';
import { describe, expect, it } from 'vitest';
import {
  type ContractCheck,
  iommuDomainContract,
  iovaAllocatorContract,
  physicalMemoryContract,
} from '../src/contract/index.ts';
import {
  ByteMemory,
  IO_PAGE_TABLES,
  iovaAllocator,
  type IovaAllocatorName,
  PagingDomain,
  TagMemory,
} from '../src/index.ts';

function suite(title: string, checks: readonly ContractCheck[]): void {
  describe(`${title} passes its contract`, () => {
    for (const check of checks) {
      it(`holds: ${check.name}`, () => {
        expect(check.run()).toBeUndefined();
      });
    }
  });
}

for (const format of Object.values(IO_PAGE_TABLES)) {
  for (const levels of [2, 3, 4, 5].filter((n) => n >= format.levels.min && n <= format.levels.max)) {
    suite(
      `${format.name}, ${levels} levels`,
      iommuDomainContract(() => {
        const machine = new Machine();
        return { machine, format, domain: new PagingDomain(machine, { name: 'dut', format, levels }) };
      }),
    );
  }
}

for (const name of ['linux-rbtree', 'segment-tree'] as const satisfies readonly IovaAllocatorName[]) {
  suite(
    name,
    iovaAllocatorContract(() => {
      const machine = new Machine();
      return { machine, iova: iovaAllocator(name, machine) };
    }),
  );
}

suite(
  'TagMemory',
  physicalMemoryContract((machine, pages) => new TagMemory(machine, { pages })),
);
suite(
  'ByteMemory',
  physicalMemoryContract((machine, pages) => new ByteMemory(machine, { pages })),
);
