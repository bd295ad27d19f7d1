import { EADDRINUSE, EBUSY, EEXIST, EINVAL, ENOENT, EOVERFLOW, EPERM, type Errno } from '@gpusvm/kernel';
import { pinArea, type SimArea, type SimSlice, unpinArea } from './sim-area.ts';
import type { SimRange } from './sim-driver.ts';
import { chooseIova } from './sim-iova-choice.ts';

export const U64_MAX: bigint = 2n ** 64n - 1n;
const PAGE = 4096n;

/** A page table that the IOAS fills, as far as the IOAS cares. */
export interface SimDomain {
  readonly aperture: SimRange;
  readonly ioPageBytes: bigint;
}

interface Reservation extends SimRange {
  readonly owner: object;
}

/**
 * The address space of iommufd (struct io_pagetable): areas, reserved and allowed ranges, the domains that all
 * hold the same translations. Every method returns what the kernel's function of that name returns.
 */
export class SimIoas {
  /** By address. */
  readonly areas: SimArea[] = [];
  readonly #reserved: Reservation[] = [];
  #allowed: readonly SimRange[] = [];
  readonly #domains: SimDomain[] = [];
  readonly #accessAlignments: bigint[] = [];
  #alignment = 1n;
  #hugePagesOff = false;
  /** Called before an area with accesses is unmapped; they have to drop it (iommufd_access_notify_unmap). */
  onUnmap: (area: SimArea) => void = () => undefined;

  get alignment(): bigint {
    return this.#alignment;
  }

  get hugePages(): boolean {
    return !this.#hugePagesOff;
  }

  get domainCount(): number {
    return this.#domains.length;
  }

  /** The area that holds an address; null when nothing does. */
  areaAt(iova: bigint): SimArea | null {
    const area = this.areas[this.#indexAfter(iova)];
    return area !== undefined && area.iova <= iova ? area : null;
  }

  /** Ranges that nothing reserves, by address. */
  freeRanges(): SimRange[] {
    const out: SimRange[] = [];
    let next = 0n;
    for (const { start, last } of [...this.#reserved].sort((a, b) => (a.start < b.start ? -1 : 1))) {
      if (start > next) out.push({ start: next, last: start - 1n });
      if (last + 1n > next) next = last + 1n;
    }
    if (next <= U64_MAX) out.push({ start: next, last: U64_MAX });
    return out;
  }

  /** iopt_set_allow_iova. @param ranges - by address. Placement goes by spans: ranges that touch are one. */
  allow(ranges: readonly SimRange[]): Errno {
    const spans: { start: bigint; last: bigint }[] = [];
    for (const { start, last } of ranges) {
      if (this.#overlapsReserved(start, last)) return -EADDRINUSE;
      const before = spans.at(-1);
      if (before !== undefined && before.last + 1n === start) before.last = last;
      else spans.push({ start, last });
    }
    this.#allowed = spans;
    return 0;
  }

  /**
   * iopt_map_pages: place slices one behind the other and fill the domains.
   *
   * @param fixed - null to choose an address.
   * @returns the address, or a negated errno as a number.
   */
  map(
    slices: readonly SimSlice[],
    fixed: bigint | null,
    readable: boolean,
    writable: boolean,
  ): bigint | Errno {
    const length = slices.reduce((sum, slice) => sum + slice.length, 0n);
    if (length === 0n || length % this.#alignment !== 0n) return -EINVAL;
    const iova = fixed ?? chooseIova(slices[0]!, length, this.#alignment, this.#allowed, this.#used());
    if (typeof iova === 'number') return iova;
    if (fixed !== null) {
      const err = this.#check(iova, length);
      if (err !== 0) return err;
    }
    const made: SimArea[] = [];
    let at = iova;
    for (const { pages, startByte, length: bytes } of slices) {
      if (writable && !pages.writable) return this.#abort(made, 0, -EPERM);
      if ((startByte % PAGE) % this.#alignment !== 0n) return this.#abort(made, 0, -EINVAL);
      const area = {
        iova: at,
        last: at + bytes - 1n,
        pages,
        startByte,
        readable,
        writable,
        accesses: 0,
        locks: 0,
      };
      this.#insert(area);
      made.push(area);
      at += bytes;
    }
    if (this.#domains.length === 0) return iova;
    for (const [i, area] of made.entries()) {
      const err = pinArea(area);
      if (err !== 0) return this.#abort(made, i, err);
    }
    return iova;
  }

  /** iopt_get_pages: what a range consists of; it must be mapped without a gap. */
  slices(iova: bigint, length: bigint): SimSlice[] | Errno {
    if (length === 0n) return -EINVAL;
    const last = iova + length - 1n;
    if (last > U64_MAX) return -EOVERFLOW;
    const out: SimSlice[] = [];
    for (let at = iova; at <= last; ) {
      const area = this.areaAt(at);
      if (area === null) return -ENOENT;
      const end = last < area.last ? last : area.last;
      out.push({ pages: area.pages, startByte: area.startByte + at - area.iova, length: end - at + 1n });
      at = end + 1n;
    }
    return out;
  }

  /**
   * iopt_unmap_iova_range. Areas in front of one that the range would cut are gone although the call fails.
   *
   * @returns bytes unmapped, or a negated errno as a number; 0n when nothing was there.
   */
  unmap(start: bigint, last: bigint): bigint | Errno {
    let unmapped = 0n;
    for (;;) {
      const area = this.#firstIn(start, last);
      if (area === null) return unmapped;
      if (area.locks > 0) return -EBUSY;
      if (area.iova < start || area.last > last) return -ENOENT;
      if (area.accesses > 0) this.onUnmap(area);
      if (this.#domains.length > 0) unpinArea(area);
      this.areas.splice(this.#indexAfter(area.iova), 1);
      unmapped += area.last - area.iova + 1n;
    }
  }

  /** iopt_table_add_domain: all areas become visible in it, or nothing changes. */
  addDomain(domain: SimDomain): Errno {
    const alignment = domain.ioPageBytes > this.#alignment ? domain.ioPageBytes : this.#alignment;
    if (alignment !== this.#alignment && !this.#areasAligned(alignment)) return -EADDRINUSE;
    const { start, last } = domain.aperture;
    if (start > 0n && this.reserve(0n, start - 1n, domain) !== 0) return -EADDRINUSE;
    if (last < U64_MAX && this.reserve(last + 1n, U64_MAX, domain) !== 0) {
      this.release(domain);
      return -EADDRINUSE;
    }
    if (this.#domains.length === 0) {
      for (const [i, area] of this.areas.entries()) {
        const err = pinArea(area);
        if (err === 0) continue;
        for (const undo of this.areas.slice(0, i)) unpinArea(undo);
        this.release(domain);
        return err;
      }
    }
    this.#alignment = alignment;
    this.#domains.push(domain);
    return 0;
  }

  /** iopt_table_remove_domain. */
  removeDomain(domain: SimDomain): void {
    this.#domains.splice(this.#domains.indexOf(domain), 1);
    if (this.#domains.length === 0) for (const area of this.areas) unpinArea(area);
    this.release(domain);
    this.#updateAlignment();
  }

  /** iopt_reserve_iova: -EADDRINUSE when something is mapped or allowed there. */
  reserve(start: bigint, last: bigint, owner: object): Errno {
    const allowed = this.#allowed.some((range) => range.start <= last && range.last >= start);
    if (allowed || this.#firstIn(start, last) !== null) return -EADDRINUSE;
    this.#reserved.push({ start, last, owner });
    return 0;
  }

  /** Drop what an owner has reserved. */
  release(owner: object): void {
    for (let i = this.#reserved.length - 1; i >= 0; i--) {
      if (this.#reserved[i]!.owner === owner) this.#reserved.splice(i, 1);
    }
  }

  /** iopt_add_access. */
  addAccess(alignment: bigint): Errno {
    if (alignment > this.#alignment && !this.#areasAligned(alignment)) return -EADDRINUSE;
    this.#accessAlignments.push(alignment);
    this.#updateAlignment();
    return 0;
  }

  /** iopt_remove_access. */
  removeAccess(alignment: bigint): void {
    this.#accessAlignments.splice(this.#accessAlignments.indexOf(alignment), 1);
    this.#updateAlignment();
  }

  /** iopt_enable_large_pages, iopt_disable_large_pages. */
  setHugePages(on: boolean): Errno {
    if (!on && this.#hugePagesOff) return 0;
    if (!on && this.#domains.length > 0 && this.areas.length > 0) return -EINVAL;
    if (!on && !this.#areasAligned(PAGE)) return -EADDRINUSE;
    this.#hugePagesOff = !on;
    this.#updateAlignment();
    return 0;
  }

  /** iopt_check_iova. */
  #check(iova: bigint, length: bigint): Errno {
    if (iova % this.#alignment !== 0n) return -EINVAL;
    const last = iova + length - 1n;
    if (last > U64_MAX) return -EOVERFLOW;
    if (this.#overlapsReserved(iova, last)) return -EINVAL;
    return this.#firstIn(iova, last) === null ? 0 : -EEXIST;
  }

  /** Areas and reservations together, by address. */
  #used(): SimRange[] {
    const areas = this.areas.map(({ iova, last }) => ({ start: iova, last }));
    return [...areas, ...this.#reserved].sort((a, b) => (a.start < b.start ? -1 : 1));
  }

  #overlapsReserved(start: bigint, last: bigint): boolean {
    return this.#reserved.some((range) => range.start <= last && range.last >= start);
  }

  #firstIn(start: bigint, last: bigint): SimArea | null {
    const area = this.areas[this.#indexAfter(start)];
    return area !== undefined && area.iova <= last ? area : null;
  }

  /** Index of the first area that ends at or behind an address. */
  #indexAfter(iova: bigint): number {
    let low = 0;
    let high = this.areas.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.areas[middle]!.last < iova) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #areasAligned(alignment: bigint): boolean {
    return this.areas.every(
      ({ iova, last, startByte }) =>
        iova % alignment === 0n && (last + 1n) % alignment === 0n && (startByte % PAGE) % alignment === 0n,
    );
  }

  #updateAlignment(): void {
    const floor = this.#hugePagesOff ? PAGE : 1n;
    const asked = [...this.#domains.map((domain) => domain.ioPageBytes), ...this.#accessAlignments];
    this.#alignment = asked.reduce((most, one) => (one > most ? one : most), floor);
  }

  #insert(area: SimArea): void {
    this.areas.splice(this.#indexAfter(area.iova), 0, area);
  }

  #abort(made: readonly SimArea[], pinned: number, err: Errno): Errno {
    for (const [i, area] of made.entries()) {
      if (i < pinned) unpinArea(area);
      this.areas.splice(this.#indexAfter(area.iova), 1);
    }
    return err;
  }
}
