/** Copy into an array of the same kind that is larger. */
export function larger<T extends { set(from: T): void }>(old: T, into: T): T {
  into.set(old);
  return into;
}
