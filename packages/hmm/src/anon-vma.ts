import type { Mm } from './mm.ts';
import type { Vma } from './vma.ts';

/**
 * What anonymous pages of a mapping are found by (struct anon_vma). The reverse mapping of this model needs none; it matters
 * for which mappings may be merged.
 */
export class AnonVma {
  /** For traces and debuggers. */
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * A private page is about to be made in the VMA (anon_vma_prepare): it shares the object of a neighbour with which it could
 * be merged but for the access permissions, unless that came by fork, or gets one of its own. Does not sleep.
 */
export function prepareAnonVma(mm: Mm, vma: Vma): void {
  if (vma.anonVma !== null) return;
  const { before, after } = mm.vmas.neighbours(vma);
  const share = [after, before].find(
    (other) => other !== null && other.anonVma !== null && !other.forkChild && other.sharesAnonVma(vma),
  );
  vma.anonVma = share?.anonVma ?? new AnonVma(`${mm.name} ${vma.startPage}`);
}

/**
 * Whether the VMA that is being changed may become a part of its neighbour (is_mergeable_anon_vma): not when both have
 * pages of their own, nor when one came by fork; in 6.12 neither when only the changed one has any.
 */
export function anonVmaMerges(neighbour: Vma, changed: Vma, intoEmpty: boolean): boolean {
  if (neighbour.anonVma === changed.anonVma) return true;
  if (neighbour.anonVma === null) return intoEmpty && !changed.forkChild;
  return changed.anonVma === null && !neighbour.forkChild;
}
