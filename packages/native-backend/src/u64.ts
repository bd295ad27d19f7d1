/** A value for a u64 field: a safe integer or a bigint. */
export type U64 = number | bigint;

/**
 * @internal A u64 from the kernel as a number.
 *
 * @throws RangeError when it is not exact, which no address that this package maps can be.
 */
export function toNumber(value: bigint, what: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError(`${what} 0x${value.toString(16)} exceeds 2^53`);
  return number;
}
