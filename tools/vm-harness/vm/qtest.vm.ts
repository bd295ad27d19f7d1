import {
  encodeVtdTables,
  IO_PAGE_TABLES,
  IOMMU_READ,
  IOMMU_WRITE,
  IOTLB_INVALIDATE,
  IotlbGather,
  type IotlbInvalidateEvent,
  PagingDomain,
} from '@gpusvm/dma-iova';
import { Machine } from '@gpusvm/kernel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RandomSource } from '../src/oracle/random-source.ts';
import { TABLES_BYTES, VtdEdu } from '../src/qtest/vtd-edu.ts';

const SEED = Number(process.env['GPUSVM_VM_SEED'] ?? 0x5eed);
const LENGTH = 8;
/** Pages of the machine's memory that mappings use, 2M aligned; the last one is the test's own. */
const DATA_PFN = 0x2000;
const DATA_PAGES = 0x1800;
/** A page that is always mapped and always writable: it shows what a device read brought into the buffer. */
const WINDOW_IOVA_PAGE = 0x7fff000;
const WINDOW_PFN = DATA_PFN + DATA_PAGES;

let vtd: VtdEdu;
beforeEach(async () => {
  vtd = await VtdEdu.start();
});
afterEach(() => vtd.close());

/** A domain of the model whose tables and invalidations go to the emulated hardware. */
class MirroredDomain {
  readonly domain: PagingDomain;
  readonly #invalidations: IotlbInvalidateEvent[] = [];

  constructor() {
    const machine = new Machine();
    this.domain = new PagingDomain(machine, { name: 'edu', format: IO_PAGE_TABLES.vtd });
    machine.trace.on(IOTLB_INVALIDATE, (event) => this.#invalidations.push(event));
    this.domain.mapRange(WINDOW_IOVA_PAGE, WINDOW_PFN, 1, IOMMU_READ | IOMMU_WRITE);
  }

  /** Memory first, then what the model invalidated, in order: as a driver does it. */
  async publish(): Promise<void> {
    await vtd.writeTables(encodeVtdTables(this.domain, (index) => TABLES_BYTES + index * 4096));
    for (const { kind, iovaBytes, order } of this.#invalidations.splice(0)) {
      await vtd.invalidate(iovaBytes, kind === 'domain' ? -1 : order);
    }
  }

  async unmap(page: number, pages: number): Promise<void> {
    const gather = new IotlbGather();
    this.domain.unmapRange(page, pages, gather);
    this.domain.sync(gather);
    await this.publish();
  }
}

let tag = 1;
function nextTag(): Buffer {
  const bytes = Buffer.alloc(LENGTH);
  bytes.writeBigUInt64LE(BigInt(tag++) * 0x100000001n);
  return bytes;
}

/** Put bytes into the device's buffer, by a read through the window. */
async function loadBuffer(bytes: Buffer): Promise<void> {
  await vtd.machine.writeBytes(WINDOW_PFN * 4096, bytes);
  expect(await vtd.deviceRead(WINDOW_IOVA_PAGE * 4096, LENGTH)).toBeNull();
}

/** What is in the device's buffer, by a write through the window. */
async function readBuffer(): Promise<Buffer> {
  expect(await vtd.deviceWrite(WINDOW_IOVA_PAGE * 4096, LENGTH)).toBeNull();
  return vtd.machine.readBytes(WINDOW_PFN * 4096, LENGTH);
}

/** The page that a device write reaches, found by its bytes; -1 when it reaches none. */
async function pageOfWrite(iovaPage: number, expectedPfn: number): Promise<number> {
  const bytes = nextTag();
  await loadBuffer(bytes);
  const fault = await vtd.deviceWrite(iovaPage * 4096, LENGTH);
  if (fault !== null) {
    expect(fault).toEqual({ reason: 5, access: 'write', iovaBytes: iovaPage * 4096 });
    return -1;
  }
  const there = await vtd.machine.readBytes(expectedPfn * 4096, LENGTH);
  return there.equals(bytes) ? expectedPfn : -2;
}

/** The page that a device read comes from; -1 when it faults. */
async function pageOfRead(iovaPage: number, expectedPfn: number): Promise<number> {
  const bytes = nextTag();
  await vtd.machine.writeBytes(expectedPfn * 4096, bytes);
  const fault = await vtd.deviceRead(iovaPage * 4096, LENGTH);
  if (fault !== null) {
    expect(fault).toEqual({ reason: 6, access: 'read', iovaBytes: iovaPage * 4096 });
    return -1;
  }
  return (await readBuffer()).equals(bytes) ? expectedPfn : -2;
}

/**
 * One access by the device, in the model and in QEMU: both reach the same page, or both fault.
 *
 * @returns what differs; empty when nothing does.
 */
async function probe(domain: PagingDomain, page: number, access: number): Promise<string[]> {
  const pfn = domain.deviceTranslate(page, access);
  const target = pfn < 0 ? DATA_PFN : pfn;
  const found = access === IOMMU_WRITE ? await pageOfWrite(page, target) : await pageOfRead(page, target);
  if (found === pfn) return [];
  return [
    `access ${access} at page ${page.toString(16)}: model pfn ${pfn}, QEMU ${found} (-1 fault, -2 elsewhere)`,
  ];
}

describe("tables of our VT-d encoder, walked by QEMU's VT-d", () => {
  test('translate 4K, 2M and 1G leaves, and fault at holes and where a right is missing', async () => {
    const mirrored = new MirroredDomain();
    const { domain } = mirrored;
    domain.mapRange(0x12345, DATA_PFN, 1, IOMMU_READ | IOMMU_WRITE);
    domain.mapRange(0x12347, DATA_PFN + 5, 1, IOMMU_READ);
    domain.mapRange(0x12348, DATA_PFN + 6, 1, IOMMU_WRITE);
    domain.mapRange(0x40000, DATA_PFN + 512, 512, IOMMU_READ | IOMMU_WRITE);
    // A 1G leaf at physical address 0 holds all of the machine's memory.
    domain.mapRange(2 ** 18 * 5, 0, 2 ** 18, IOMMU_READ | IOMMU_WRITE);
    await mirrored.publish();
    const pages = [0x12345, 0x12346, 0x12347, 0x12348, 0x40000, 0x40001, 0x401ff, 0x3ffff, 0x40200];
    for (const page of [...pages, 2 ** 18 * 5 + DATA_PFN + 9, 2 ** 35]) {
      // A write and a read each meet an empty cache: a cached entry that forbids is refused without a record.
      for (const access of [IOMMU_WRITE, IOMMU_READ]) {
        expect(await probe(domain, page, access)).toEqual([]);
        domain.flushAll();
        await mirrored.publish();
      }
    }
  });

  test('a stale IOTLB entry translates until it is invalidated, then faults', async () => {
    const mirrored = new MirroredDomain();
    const { domain } = mirrored;
    domain.mapRange(0x500, DATA_PFN + 1, 2, IOMMU_READ | IOMMU_WRITE);
    await mirrored.publish();
    expect(await probe(domain, 0x500, IOMMU_WRITE)).toEqual([]);
    const gather = new IotlbGather();
    expect(domain.unmapRange(0x500, 2, gather)).toBe(2);
    await mirrored.publish();
    // In memory both are gone. The first was used before, the second never.
    expect([domain.translate(0x500), domain.isCached(0x500), domain.isCached(0x501)]).toEqual([
      -1,
      true,
      false,
    ]);
    expect(domain.deviceTranslate(0x500, IOMMU_WRITE)).toBe(DATA_PFN + 1);
    expect(await probe(domain, 0x500, IOMMU_WRITE)).toEqual([]);
    expect(await probe(domain, 0x500, IOMMU_READ)).toEqual([]);
    expect(await probe(domain, 0x501, IOMMU_WRITE)).toEqual([]);
    domain.sync(gather);
    await mirrored.publish();
    expect(domain.deviceTranslate(0x500, IOMMU_WRITE)).toBe(-1);
    expect(await probe(domain, 0x500, IOMMU_WRITE)).toEqual([]);
    expect(await probe(domain, 0x500, IOMMU_READ)).toEqual([]);
  });

  test('an invalidation of other pages leaves a stale entry, one of a block around it does not', async () => {
    const mirrored = new MirroredDomain();
    const { domain } = mirrored;
    domain.mapRange(0x600, DATA_PFN + 1, 8, IOMMU_READ | IOMMU_WRITE);
    await mirrored.publish();
    expect(await probe(domain, 0x603, IOMMU_WRITE)).toEqual([]);
    const gather = new IotlbGather();
    domain.unmapRange(0x600, 8, gather);
    await mirrored.publish();
    await vtd.invalidate(0x604000, 2);
    expect(await probe(domain, 0x603, IOMMU_WRITE)).toEqual([]);
    domain.sync(gather);
    await mirrored.publish();
    expect(await probe(domain, 0x603, IOMMU_WRITE)).toEqual([]);
  });

  test('any sequence of maps, unmaps and accesses reaches the same pages', async () => {
    const random = new RandomSource(SEED);
    const mirrored = new MirroredDomain();
    const { domain } = mirrored;
    const bases = [0x1000, 0x11f8, 0x40000, 0x3ff00, 2 ** 27 + 0x200, 0x200000];
    for (let round = 0; round < 60; round++) {
      const page = random.pick(bases) + random.pick([0, 0, 1, 7, 8, 511, 512]);
      const pages = random.pick([1, 1, 2, 8, 64, 512, 513]);
      if (random.oneIn(3)) {
        await mirrored.unmap(page, pages);
      } else {
        const pfn = DATA_PFN + random.pick([0, 512, 1024, 1024 + random.below(512)]);
        domain.mapRange(page, pfn, pages, random.pick([1, 2, 3, 3, 3]));
        await mirrored.publish();
      }
      for (const at of [page, page + pages - 1, page + pages, random.pick(bases)]) {
        // From an empty cache, so that a refusal is always a fault with its record.
        domain.flushAll();
        await mirrored.publish();
        expect(await probe(domain, at, random.pick([IOMMU_READ, IOMMU_WRITE]))).toEqual([]);
      }
    }
  });
});
