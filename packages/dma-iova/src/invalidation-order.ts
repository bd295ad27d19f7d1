/** log2 of the smallest naturally aligned block of pages that holds both. */
export function enclosingOrder(first: number, last: number): number {
  const high = Math.floor(first / 4294967296);
  const lastHigh = Math.floor(last / 4294967296);
  if (high === lastHigh) return 32 - Math.clz32(first ^ last);
  return 64 - Math.clz32(high ^ lastHigh);
}
