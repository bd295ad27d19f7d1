const PAGE = 4096n;

/**
 * The physical region pages of a transfer: the first page, and the second or a list of all others.
 *
 * @param pages - IOVAs of the pages in order; only the first may start inside of a page.
 * @param lengthBytes - bytes of the transfer.
 * @param list - one page for the list.
 * @param listIova - where the device finds it.
 * @throws RangeError when the pages do not match the length, are not aligned, or do not fit one list.
 */
export function prpsOf(
  pages: readonly bigint[],
  lengthBytes: number,
  list: Uint8Array,
  listIova: bigint,
): { readonly prp1: bigint; readonly prp2: bigint } {
  const [prp1, ...rest] = pages;
  if (prp1 === undefined) throw new RangeError('a transfer needs at least one page');
  const needed = Math.ceil((Number(prp1 % PAGE) + lengthBytes) / Number(PAGE));
  if (needed !== pages.length)
    throw new RangeError(
      `${lengthBytes} bytes from 0x${prp1.toString(16)} are ${needed} pages, not ${pages.length}`,
    );
  const odd = rest.find((page) => page % PAGE !== 0n);
  if (odd !== undefined) throw new RangeError(`page 0x${odd.toString(16)} does not start at a page boundary`);
  if (rest.length <= 1) return { prp1, prp2: rest[0] ?? 0n };
  if (rest.length * 8 > list.length)
    throw new RangeError(`${rest.length} pages do not fit a list of ${list.length / 8}`);
  const view = new DataView(list.buffer, list.byteOffset, list.byteLength);
  for (const [i, page] of rest.entries()) view.setBigUint64(8 * i, page, true);
  return { prp1, prp2: listIova };
}
