/*
 * What is mapped at a slot is the number of a mapping record, or, for a mapping of one whole page without attributes,
 * everything there is to know about it in one negative number: who made it, the direction, and by which API.
 */

/** A link of a reservation, a mapping of its own, a piece of a scatter list or of coherent memory. */
export type MappingKind = 'link' | 'page' | 'list' | 'coherent';
export const KINDS: readonly MappingKind[] = ['link', 'page', 'list', 'coherent'];

export const INLINE_LINK: 0 = 0;
export const INLINE_PAGE: 1 = 1;
export const INLINE_LIST: 2 = 2;
/** Never inline. */
export const COHERENT: 3 = 3;

/** Tasks with larger numbers get records. */
export const LARGEST_INLINE_TASK: number = 2 ** 26;

/** The number at a slot; always negative. */
export function inlineLink(task: number, dir: number, kind: 0 | 1 | 2): number {
  return ~(task * 16 + dir * 4 + kind);
}

export function inlineTask(link: number): number {
  return ~link >> 4;
}

export function inlineDir(link: number): number {
  return (~link >> 2) & 3;
}

export function inlineKind(link: number): MappingKind {
  return KINDS[~link & 3]!;
}
