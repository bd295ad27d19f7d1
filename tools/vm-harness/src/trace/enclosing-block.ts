/** The smallest naturally aligned block of `2^order` pages that holds two pages: what one descriptor can name. */
export function enclosingBlock(
  first: number,
  last: number,
): { readonly page: number; readonly order: number } {
  let order = 0;
  while (Math.floor(first / 2 ** order) !== Math.floor(last / 2 ** order)) order++;
  return { page: Math.floor(first / 2 ** order) * 2 ** order, order };
}
