import { EINVAL, ENOSPC, EOVERFLOW, type Errno } from '@gpusvm/kernel';
import type { SimSlice } from './sim-area.ts';
import type { SimRange } from './sim-driver.ts';

const PAGE = 4096n;
const HUGE = 2n ** 21n;
const U64_MAX = 2n ** 64n - 1n;
/** What automatic placement considers when nothing was allowed explicitly; never address 0. */
const EVERYWHERE: SimRange = { start: PAGE, last: U64_MAX - PAGE };

/**
 * iopt_alloc_iova: the lowest free place, with as much of the memory's own alignment as the length is worth (at
 * most that of a huge page).
 *
 * @param first - decides about the alignment and the offset in the page.
 * @param allowed - ranges of IOMMU_IOAS_ALLOW_IOVAS by address; empty = everywhere.
 * @param used - areas and reservations by address.
 */
export function chooseIova(
  first: SimSlice,
  length: bigint,
  minAlignment: bigint,
  allowed: readonly SimRange[],
  used: readonly SimRange[],
): bigint | Errno {
  if (length >= U64_MAX / 2n) return -EOVERFLOW;
  const address = first.pages.start + first.startByte;
  let alignment = roundUpPowerOfTwo(length);
  const lowestBit = address & -address;
  if (address !== 0n && lowestBit < alignment) alignment = lowestBit;
  if (alignment > HUGE) alignment = HUGE;
  if (alignment < minAlignment) return -EINVAL;
  const offset = address % PAGE;
  for (const range of allowed.length === 0 ? [EVERYWHERE] : allowed) {
    const end = { start: range.last + 1n, last: range.last + 1n };
    let from = range.start < PAGE ? PAGE : range.start;
    for (const { start, last } of [...used, end]) {
      const place = (((from + alignment - 1n) / alignment) * alignment) | offset;
      const limit = start > end.start ? end.start : start;
      if (place + length <= limit) return place;
      if (last + 1n > from) from = last + 1n;
    }
  }
  return -ENOSPC;
}

function roundUpPowerOfTwo(n: bigint): bigint {
  let power = 1n;
  while (power < n) power *= 2n;
  return power;
}
